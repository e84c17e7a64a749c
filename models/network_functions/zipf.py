"""Popularity of flows: rank i has weight i^-exponent (Zipf)."""

from __future__ import annotations

from functools import lru_cache
from math import floor, log

#: Terms summed one by one; the rest by Euler and Maclaurin's formula, exact to about 1e-13 then.
_SUMMED = 64


@lru_cache(maxsize=64)
def _head(exponent: float) -> tuple[float, ...]:
    sums = [0.0]
    for rank in range(1, _SUMMED + 1):
        sums.append(sums[-1] + rank**-exponent)
    return tuple(sums)


@lru_cache(maxsize=65536)
def harmonic(count: float, exponent: float) -> float:
    """Sum of i^-exponent over the ranks 1 to `count`, for exponent >= 0. Between whole numbers of
    ranks it rises steadily; 0 for a count of at most 0."""
    if count <= 0.0:
        return 0.0
    head = _head(exponent)
    if count <= _SUMMED:
        whole = floor(count)
        part = count - whole
        return head[whole] + (part * (whole + 1) ** -exponent if part else 0.0)
    return head[_SUMMED] + _tail(count, exponent) - _tail(float(_SUMMED), exponent)


def _tail(x: float, exponent: float) -> float:
    """Antiderivative of the sum, up to a constant: integral, half of the last term and the first
    two corrections."""
    term: float = x**-exponent
    integral = log(x) if exponent == 1.0 else x * term / (1.0 - exponent)
    slope = exponent * term / x
    third = slope * (exponent + 1.0) * (exponent + 2.0) / (x * x)
    return integral + 0.5 * term - slope / 12.0 + third / 720.0


def head_share(head: float, flows: float, exponent: float) -> float:
    """Share of packets that belong to the `head` most popular of `flows` flows, in [0, 1]."""
    if head >= flows:
        return 1.0
    return harmonic(head, exponent) / harmonic(flows, exponent)
