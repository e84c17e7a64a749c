"""Output of wind farms that nobody has measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gamma, sqrt

import numpy as np
from scipy.special import log_ndtr

from models.carbon.signal import Floats, StepSignal
from models.carbon.units import S_PER_HOUR
from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class WindFarm:
    """Winds of a Weibull law of mean `mean_m_per_s` and `shape`, which follow each other as a
    Gaussian first-order autoregression (correlation `hourly` over an hour) through the law's
    quantiles; power with the cube of the wind from cut-in to rated, then full, none beyond cut-out.
    """

    name: str
    mean_m_per_s: float
    shape: float
    hourly: float
    cut_in_m_per_s: float
    rated_m_per_s: float
    cut_out_m_per_s: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("farm", self, may_be_zero=("hourly",))
        if not self.hourly < 1.0:
            raise ConfigError(f"farm {self.name}: hourly = {self.hourly!r} must be below 1")
        if not self.cut_in_m_per_s < self.rated_m_per_s < self.cut_out_m_per_s:
            raise ConfigError(
                f"farm {self.name}: cut_in_m_per_s = {self.cut_in_m_per_s!r}, rated_m_per_s = "
                f"{self.rated_m_per_s!r}, cut_out_m_per_s = {self.cut_out_m_per_s!r} must rise"
            )

    def share(self, wind: Floats) -> Floats:
        """Share of the rated power at winds in m/s."""
        low, high = self.cut_in_m_per_s**3, self.rated_m_per_s**3
        rising = np.clip((wind**3 - low) / (high - low), 0.0, 1.0)
        return np.where(wind < self.cut_out_m_per_s, rising, 0.0)

    def winds(self, shocks: Floats) -> Floats:
        """Hourly winds in m/s from standard normal shocks (of one farm, or a column for each)."""
        level = np.empty_like(shocks)
        level[0] = shocks[0]
        fresh = sqrt(1.0 - self.hourly**2)
        for i in range(1, len(shocks)):
            level[i] = self.hourly * level[i - 1] + fresh * shocks[i]
        scale = self.mean_m_per_s / gamma(1.0 + 1.0 / self.shape)
        # The quantile of a level's probability: -log of what lies above it, to the power 1/shape.
        found: Floats = scale * (-log_ndtr(-level)) ** (1.0 / self.shape)
        return found

    def output(self, rng: np.random.Generator, hours: int) -> StepSignal:
        """Share of the rated power by hour."""
        if hours < 1:
            raise ConfigError(f"farm {self.name}: hours = {hours!r} must be >= 1")
        return StepSignal.regular(
            0.0,
            S_PER_HOUR,
            self.share(self.winds(rng.standard_normal(hours))),
            self.name,
            "of rated power",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WindRegion:
    """Equal farms on a square grid, whose winds rise and fall together the more the nearer they
    are: the levels of two of them are correlated by exp(-distance / decay_km).

    farm: each of them; rows: of the grid, which has as many columns. extent_km: length of a side.
    """

    name: str
    farm: WindFarm
    rows: int
    extent_km: float
    decay_km: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("region", self)

    def correlations(self) -> Floats:
        """Of the levels of each pair of farms."""
        places = np.linspace(0.0, self.extent_km, self.rows) if self.rows > 1 else np.zeros(1)
        x, y = (axis.ravel() for axis in np.meshgrid(places, places))
        found: Floats = np.exp(-np.hypot(x[:, None] - x, y[:, None] - y) / self.decay_km)
        return found

    def output(self, rng: np.random.Generator, hours: int) -> StepSignal:
        """Mean share of the rated power by hour."""
        if hours < 1:
            raise ConfigError(f"region {self.name}: hours = {hours!r} must be >= 1")
        mixed = (
            rng.standard_normal((hours, self.rows**2)) @ np.linalg.cholesky(self.correlations()).T
        )
        shares = self.farm.share(self.farm.winds(mixed))
        return StepSignal.regular(0.0, S_PER_HOUR, shares.mean(axis=1), self.name, "of rated power")
