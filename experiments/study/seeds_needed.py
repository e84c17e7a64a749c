"""How many replications resolve a difference of a given size, from a pilot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.study.intervals import Spread, spread_of, t_quantile, welch

#: Recommendations end here: a pilot that asks for more says that the difference is out of reach.
MOST = 10_000_000


def seeds_needed(
    pilot: Sequence[float] | tuple[Sequence[float], Sequence[float]],
    detect: float,
    power: float = 0.9,
    *,
    level: float = 0.95,
    confidence: float = 0.9,
) -> int:
    """Seeds for each arm that show a true difference of `detect` with this power.

    `pilot`: paired differences, or a tuple of the values of two independent arms; at least two
    each. `detect`: an absolute difference, > 0. The variance taken is not the pilot's own but its
    upper bound at `confidence` (chi-square), so that an easy pilot does not promise too much.

    The smallest n with n >= (t(1 - (1 - level) / 2) + t(power))^2 variance / detect^2, the
    quantiles of Student's t at the degrees of freedom of n replications (Chow, Shao and Wang,
    Sample Size Calculations in Clinical Research, 2nd ed. (2008), sections 3.1.1 and 3.2.1; the
    bound: Browne, Statistics in Medicine 14 (1995) 1933-1940). Never more than `MOST`.
    """
    if not detect > 0.0 or not math.isfinite(detect):
        raise ValueError(f"detect is {detect}, not a difference > 0")
    if not 0.5 <= power < 1.0 or not 0.0 < level < 1.0 or not 0.0 < confidence < 1.0:
        raise ValueError("power lies in [0.5, 1), level and confidence in (0, 1)")
    if isinstance(pilot, tuple) and len(pilot) == 2 and not isinstance(pilot[0], float | int):
        first, second = (spread_of(arm) for arm in pilot)
        variance, freedom = welch(first.variance, first.freedom, second.variance, second.freedom)
        bound = _upper_bound(Spread(variance, freedom), confidence)
        per_seed = welch(first.variance, 1.0, second.variance, 1.0)[1]
    else:
        bound = _upper_bound(spread_of(pilot), confidence)
        per_seed = 1.0

    def enough(n: int) -> bool:
        freedom = per_seed * (n - 1)
        quantiles = t_quantile((1 + level) / 2, freedom) + t_quantile(power, freedom)
        return n * detect**2 >= quantiles**2 * bound

    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if low >= MOST:
            return MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return min(high, MOST)


def _upper_bound(spread: Spread, confidence: float) -> float:
    """Upper confidence bound of a variance."""
    from scipy.special import chdtri

    # chdtri(v, p) leaves probability p above it: the quantile at 1 - confidence.
    return spread.variance * spread.freedom / float(chdtri(spread.freedom, confidence))
