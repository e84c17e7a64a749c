"""A class of devices of which each make is better than the last, and what wears them out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp

from models.carbon.power import ExponentPower, PowerCurve
from models.carbon.units import S_PER_DAY, S_PER_YEAR
from models.carbon.wear import Odometer, WeibullLife
from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClass:
    """Devices that do the same work, whatever their make.

    embodied_g: to make one; life_years: over which that is written off. idle_w, peak_w: of one made
    at time 0; one made t years later draws exp(-gain x t) times that. mean_life_years, life_shape:
    of the Weibull time to failure. cycles_per_day: of heating up. most_on_years, most_cycles: wear
    beyond which it has no second life (0: no limit). power: the curve between idle_w and peak_w, by
    these two. A year is of 365 days.
    """

    name: str
    embodied_g: float
    life_years: float
    idle_w: float
    peak_w: float
    gain: float
    mean_life_years: float
    life_shape: float
    cycles_per_day: float
    most_on_years: float
    most_cycles: float
    source: Mapping[str, str]
    power: Callable[..., PowerCurve] = ExponentPower

    def __post_init__(self) -> None:
        zero = ("embodied_g", "idle_w", "gain", "cycles_per_day", "most_on_years", "most_cycles")
        check("device class", self, may_be_zero=zero)
        if self.idle_w > self.peak_w:
            raise ConfigError(
                f"device class {self.name}: idle_w = {self.idle_w!r} exceeds peak_w = "
                f"{self.peak_w!r}"
            )

    @property
    def life_s(self) -> float:
        return self.life_years * S_PER_YEAR

    @property
    def gain_per_s(self) -> float:
        return self.gain / S_PER_YEAR

    @property
    def failures(self) -> WeibullLife:
        return WeibullLife(self.mean_life_years * S_PER_YEAR, self.life_shape)

    @property
    def limits(self) -> Odometer:
        """Of wear, for a second life."""
        return Odometer(on_s=self.most_on_years * S_PER_YEAR, thermal_cycles=self.most_cycles)

    def draw(self, made_s: float) -> float:
        """Power of one made at a time, relative to one made at time 0."""
        return exp(-self.gain_per_s * made_s)

    @property
    def curve(self) -> PowerCurve:
        """Power by use of one made at time 0."""
        return self.power(idle_w=self.idle_w, peak_w=self.peak_w)

    def power_w(self, use: float, made_s: float) -> float:
        """Mean power at a use in [0, 1]."""
        return self.draw(made_s) * self.curve.watts(use)

    def after(self, odometer: Odometer, seconds: float) -> Odometer:
        """Wear after more time in service."""
        return odometer.plus(on_s=seconds, thermal_cycles=self.cycles_per_day * seconds / S_PER_DAY)
