"""A figure known only within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, fsum, isfinite
from typing import Literal

import numpy as np

from models.errors import ConfigError

Level = Literal["low", "mid", "high"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A low, a middle and a high figure, of one unit. Raises ConfigError unless
    0 <= low <= mid <= high."""

    low: float
    mid: float
    high: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.low <= self.mid <= self.high and isfinite(self.high)):
            raise ConfigError(
                f"low = {self.low!r}, mid = {self.mid!r}, high = {self.high!r} must be finite "
                "and 0 <= low <= mid <= high"
            )

    @classmethod
    def of(cls, value: float) -> Spread:
        """A figure without bounds of its own."""
        return cls(value, value, value)

    def at(self, level: Level) -> float:
        """One of the three."""
        if level not in ("low", "mid", "high"):
            raise ConfigError(f"level = {level!r} is none of low, mid, high")
        return float(getattr(self, level))

    def times(self, factor: float) -> Spread:
        return Spread(factor * self.low, factor * self.mid, factor * self.high)


def total(spreads: Iterable[Spread]) -> Spread:
    """Sum, all low, all middle or all high together."""
    found = list(spreads)
    return Spread(*(fsum(getattr(one, level) for one in found) for level in ("low", "mid", "high")))


def lognormal(mean: float, sd_log: float, rng: np.random.Generator) -> float:
    """A draw about `mean` whose logarithm has the deviation `sd_log` (CarbonClarity's form)."""
    if not sd_log >= 0.0:
        raise ConfigError(f"sd_log = {sd_log!r} must be >= 0")
    return mean * exp(sd_log * rng.standard_normal() - 0.5 * sd_log * sd_log)
