"""Confidence intervals of means and of differences, by Student's t.

Law and Kelton, Simulation Modeling and Analysis, 5th ed. (2015), sections 9.4.1 (replications),
10.2.1 (paired differences) and 10.2.2 (Welch's interval for independent arms).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the half width of its interval at `level`, from `n` replications an arm."""

    estimate: float
    half_width: float
    level: float
    n: int

    @property
    def low(self) -> float:
        """Lower end."""
        return self.estimate - self.half_width

    @property
    def high(self) -> float:
        """Upper end."""
        return self.estimate + self.half_width

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside: a difference is resolved."""
        return abs(self.estimate) > self.half_width


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance of what is averaged over replications, known with so many degrees of freedom."""

    variance: float
    freedom: float


def of_mean(values: Sequence[float], level: float = 0.95) -> Interval:
    """Interval of the mean of independent replications. Raises ValueError for fewer than two."""
    sample = _sample(values)
    return _interval(float(sample.mean()), spread_of(values), len(sample), level)


def paired(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """Interval of the mean of b - a, replication by replication (common random numbers).

    Raises ValueError for unequal lengths and fewer than two.
    """
    return of_mean(differences(a, b), level)


def independent(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """Welch's interval of mean(b) - mean(a) for arms with seeds of their own."""
    first, second = _sample(a), _sample(b)
    error, freedom = welch(
        float(first.var(ddof=1)) / len(first), len(first) - 1,
        float(second.var(ddof=1)) / len(second), len(second) - 1,
    )  # fmt: skip
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(error)
    return Interval(float(second.mean() - first.mean()), half, level, min(len(first), len(second)))


def differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """b - a. Raises ValueError for unequal lengths."""
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values of A and {len(b)} of B make no pairs")
    return [float(y) - float(x) for x, y in zip(a, b, strict=True)]


def spread_of(values: Sequence[float]) -> Spread:
    """Sample variance of the values."""
    sample = _sample(values)
    return Spread(float(sample.var(ddof=1)), len(sample) - 1)


def welch(first: float, freedom_1: float, second: float, freedom_2: float) -> tuple[float, float]:
    """Sum of two variances and its degrees of freedom by Welch and Satterthwaite."""
    total = first + second
    if total == 0.0:
        return 0.0, freedom_1 + freedom_2
    share = first / total
    return total, 1.0 / (share**2 / freedom_1 + (1.0 - share) ** 2 / freedom_2)


def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _interval(mean: float, spread: Spread, n: int, level: float) -> Interval:
    half = t_quantile((1 + level) / 2, spread.freedom) * math.sqrt(spread.variance / n)
    return Interval(mean, half, level, n)


def _sample(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) < 2:
        raise ValueError(f"an interval needs two replications or more, not {sample.size}")
    if not np.isfinite(sample).all():
        raise ValueError("a replication is not finite")
    return sample
