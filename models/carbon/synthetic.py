"""A made-up year of carbon intensity: a daily shape, weekends, and weather that lingers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import cos, pi, sqrt
from typing import Protocol

import numpy as np

from models.carbon.signal import StepSignal
from models.carbon.units import S_PER_HOUR
from models.errors import ConfigError
from models.hardware.sourced import check


class DayShape(Protocol):
    def at(self, hour: float) -> float:
        """Share by which an hour of the day (0 to 24) stands above the day's mean."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakAndTrough:
    """Half a cosine from the peak's hour down to the trough's, and another back up; with 12 hours
    between them one cosine."""

    name: str
    amplitude: float
    peak_hour: float
    trough_hour: float

    def at(self, hour: float) -> float:
        fall = (self.trough_hour - self.peak_hour) % 24.0
        since = (hour - self.peak_hour) % 24.0
        if since < fall:
            return self.amplitude * cos(pi * since / fall)
        return -self.amplitude * cos(pi * (since - fall) / (24.0 - fall))


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyShape:
    """Twenty-four hourly levels, in any unit; only their ratios matter."""

    name: str
    levels: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.levels) != 24:
            raise ConfigError(f"shape {self.name}: has {len(self.levels)} levels, a day 24 hours")

    def at(self, hour: float) -> float:
        return 24.0 * self.levels[int(hour % 24.0)] / sum(self.levels) - 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticIntensity:
    """mean x (1 + day + weekend + noise), never below `floor` x mean.

    mean_g_per_kwh: over weeks. weekend_drop: share by which Saturdays and Sundays lie
    below weekdays. noise_sd: of a first-order autoregression, stationary; noise_hourly: its
    correlation over an hour. floor: share of the mean below which no step falls (it binds at
    times where the noise is wide, and then lifts the mean a little).
    """

    name: str
    mean_g_per_kwh: float
    day: DayShape
    weekend_drop: float
    noise_sd: float
    noise_hourly: float
    floor: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        zero = ("weekend_drop", "noise_sd", "noise_hourly", "floor")
        check("intensity", self, may_be_zero=zero)
        for key in ("weekend_drop", "noise_hourly", "floor"):
            if not getattr(self, key) < 1.0:
                raise ConfigError(
                    f"intensity {self.name}: {key} = {getattr(self, key)!r} must be below 1"
                )

    def signal(
        self, rng: np.random.Generator, hours: float, step_s: float, first_weekday: int = 0
    ) -> StepSignal:
        """So many hours from midnight, in equal steps; `first_weekday`: 0 is a Monday."""
        count = round(hours * S_PER_HOUR / step_s)
        if count < 1 or abs(count * step_s - hours * S_PER_HOUR) > 1e-6 * step_s:
            raise ConfigError(f"intensity {self.name}: {hours!r} h are no steps of {step_s!r} s")
        keeps = self.noise_hourly ** (step_s / S_PER_HOUR)
        fresh = sqrt(1.0 - keeps * keeps)
        level = self.mean_g_per_kwh / (1.0 - 2.0 / 7.0 * self.weekend_drop)
        shocks = (rng.standard_normal(count) * self.noise_sd).tolist()
        noise = list(accumulate(shocks, lambda before, new: keeps * before + fresh * new))
        middles = (np.arange(count) + 0.5) * step_s / S_PER_HOUR
        times, which = np.unique(middles % 24.0, return_inverse=True)
        day = np.array([self.day.at(time) for time in times.tolist()])[which]
        weekend = (middles // 24.0 + first_weekday) % 7.0 >= 5.0
        share = 1.0 + day + noise - np.where(weekend, self.weekend_drop, 0.0)
        values = np.maximum(level * share, self.floor * self.mean_g_per_kwh)
        return StepSignal.regular(0.0, step_s, values, self.name)
