"""A figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

#: An interval narrower than this share of the value is rounding of the machine.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A simulated value and its interval. `samples`: one value for each seed, where it comes from
    replications; those of two estimates are compared pair by pair, so both have the same seeds in
    the same order. Raises ValueError unless low <= value <= high, all finite."""

    value: float
    low: float
    high: float
    samples: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high) and self.low <= self.value <= self.high):
            raise ValueError(f"{self.value} with the interval {self.low} to {self.high}")

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """A value without chance: of a closed form, a search, or a deterministic run."""
        return cls(float(value), float(value), float(value))

    @property
    def certain(self) -> bool:
        """Whether the interval has no width beyond rounding."""
        return self.high - self.low <= _ROUNDING * abs(self.value)

    def text(self, unit: str = "") -> str:
        """The value and its interval, to two significant digits of the interval's half-width; an
        exact one to four digits."""
        from experiments.report.formats import digits

        if self.certain:
            whole = self.value == int(self.value)
            shown = f"{int(self.value):,}" if whole else digits(self.value, 4)
        else:
            half = 0.5 * (self.high - self.low)
            places = 1 - int(f"{half:.1e}".partition("e")[2])
            value, low, high = (
                _fixed(number, places) for number in (self.value, self.low, self.high)
            )
            shown = f"{value} ({low} to {high})"
        return f"{shown} {unit}".rstrip()


def _fixed(number: float, places: int) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(number, places) + 0.0:,.{max(0, places)}f}"
