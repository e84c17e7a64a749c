"""Wear: what a device has been through, and whether it may have a second life."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, gamma

from models.errors import ConfigError

#: Intervals of an integral; an even number.
_STEPS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Odometer:
    """Power-on time, thermal cycles and bytes written."""

    on_s: float = 0.0
    thermal_cycles: float = 0.0
    written_bytes: float = 0.0

    def plus(
        self, on_s: float = 0.0, thermal_cycles: float = 0.0, written_bytes: float = 0.0
    ) -> Odometer:
        """After more use."""
        if min(on_s, thermal_cycles, written_bytes) < 0.0:
            raise ConfigError(
                f"odometer: {on_s!r} s, {thermal_cycles!r} cycles, {written_bytes!r} bytes must "
                "be >= 0: wear does not go back"
            )
        return Odometer(
            on_s=self.on_s + on_s,
            thermal_cycles=self.thermal_cycles + thermal_cycles,
            written_bytes=self.written_bytes + written_bytes,
        )

    def worn(self, limits: Odometer) -> float:
        """Share of the tightest limit that is used up; a limit of 0 is none."""
        return max(
            used / limit if limit > 0.0 else 0.0
            for used, limit in (
                (self.on_s, limits.on_s),
                (self.thermal_cycles, limits.thermal_cycles),
                (self.written_bytes, limits.written_bytes),
            )
        )


@dataclass(frozen=True, slots=True)
class WeibullLife:
    """Time to failure of mean `mean_s`; `shape` above 1 ages."""

    mean_s: float
    shape: float

    def __post_init__(self) -> None:
        if not (self.mean_s > 0.0 and self.shape > 0.0):
            raise ConfigError(
                f"Weibull life: mean_s = {self.mean_s!r} and shape = {self.shape!r} must be > 0"
            )

    def survives(self, age_s: float, further_s: float, failures: float = 1.0) -> float:
        """Chance that a device that works at an age works so much later. failures: their rate,
        relative to this law's."""
        scale = self.mean_s / gamma(1.0 + 1.0 / self.shape)
        spent = (age_s / scale) ** self.shape
        return exp(failures * (spent - ((age_s + further_s) / scale) ** self.shape))

    def serves_s(self, age_s: float, further_s: float, failures: float = 1.0) -> float:
        """How long it works of a further time, on average: the integral of its survival, by
        Simpson's rule."""
        step_s = further_s / _STEPS
        chances = [self.survives(age_s, i * step_s, failures) for i in range(_STEPS + 1)]
        return (
            (chances[0] + chances[-1] + 4.0 * sum(chances[1::2]) + 2.0 * sum(chances[2:-1:2]))
            * step_s
            / 3.0
        )


def fit_for_second_life(
    odometer: Odometer,
    limits: Odometer,
    life: WeibullLife,
    further_s: float,
    survival: float,
    failures: float = 1.0,
) -> bool:
    """Whether no limit is passed and the device lasts `further_s` with a chance of `survival`."""
    lasts = life.survives(odometer.on_s, further_s, failures)
    return odometer.worn(limits) < 1.0 and lasts >= survival
