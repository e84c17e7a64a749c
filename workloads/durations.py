"""Distributions of how long something outside takes: seconds of at least 0.

As with lengths, each maps a uniform number to a value, so one value costs one uniform number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from workloads.checks import at_least, positive
from workloads.draws import Floats


class Durations(ABC):
    """A distribution of durations in seconds."""

    @abstractmethod
    def at(self, u: Floats) -> Floats:
        """The duration for each uniform number of `u`, in [0, 1); rising with it."""


class Normal(Durations):
    """Normal of `mean_s` and deviation `sd_s`; what would fall below 0 is 0.

    What would be longer than `most_s` (`None`: no limit) takes `most_s`. A deviation of 0 makes
    every duration the same.
    """

    def __init__(self, mean_s: float, sd_s: float, most_s: float | None = None) -> None:
        self.mean_s = at_least("mean_s", mean_s, 0.0)
        self.sd_s = at_least("sd_s", sd_s, 0.0)
        self.most_s = None if most_s is None else positive("most_s", most_s)

    def at(self, u: Floats) -> Floats:
        from scipy.special import ndtri

        durations: Floats = np.full(u.shape, self.mean_s)
        if self.sd_s:
            durations += self.sd_s * ndtri(u)
        return np.clip(durations, 0.0, self.most_s)


class Lognormal(Durations):
    """Lognormal: `median_s`, and `sigma`, the deviation of the natural logarithm.

    What would be longer than `most_s` takes `most_s`, as a reply does that is not waited for.
    """

    def __init__(self, median_s: float, sigma: float, most_s: float) -> None:
        self.median_s = positive("median_s", median_s)
        self.sigma = positive("sigma", sigma)
        self.most_s = positive("most_s", most_s)

    def at(self, u: Floats) -> Floats:
        from scipy.special import ndtri

        with np.errstate(over="ignore"):
            durations: Floats = self.median_s * np.exp(self.sigma * ndtri(u))
        return np.minimum(durations, self.most_s)
