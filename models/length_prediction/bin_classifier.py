"""A classifier of lengths into equal bins, as a model of its error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.length_prediction.charged import Charged, number, whole

Floats: TypeAlias = NDArray[np.float64]

MOST_BINS = 200
MOST_TOKENS = 2.0**31
"""Longer than any context; with the least spread it keeps all exponents finite."""


@dataclass(frozen=True, kw_only=True)
class BinClassifier(Charged):
    """Sees a length with a Gaussian error and is unsure to which bin it belongs.

    `bins` equal bins over 0 to `range_tokens` with middles m_i, the top one also for what is
    longer. Of a length n it sees z = n + e with e normal of mean 0 and standard deviation
    `error_tokens` + `error_share` n, and gives bin i a probability proportional to
    exp(-(z - m_i)^2 / (2 `spread_tokens`^2)). The form is an assumption, in place of a network.
    """

    bins: int = 10
    range_tokens: float = 512.0
    error_tokens: float
    error_share: float
    spread_tokens: float

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("bins", self.bins, high=MOST_BINS)
        number("range_tokens", self.range_tokens, low=1.0, high=MOST_TOKENS)
        number("error_tokens", self.error_tokens, high=MOST_TOKENS)
        number("error_share", self.error_share, high=1000.0)
        number("spread_tokens", self.spread_tokens, low=0.01, high=MOST_TOKENS)

    @property
    def width_tokens(self) -> float:
        """Width of a bin."""
        return self.range_tokens / self.bins

    @cached_property
    def midpoints(self) -> Floats:
        """Middles of the bins, in tokens; shape (bins,)."""
        return self.width_tokens * (np.arange(self.bins, dtype=np.float64) + 0.5)

    def seen(self, lengths: Floats, errors: Floats) -> Floats:
        """What it sees of `lengths` (tokens) with errors given in standard deviations."""
        return lengths + errors * (self.error_tokens + self.error_share * lengths)

    def weights(self, seen: Floats, room: Floats | None = None) -> Floats:
        """Relative probabilities of the bins for what is seen, the likeliest bin's 1.

        From shape (..., n) to (..., bins, n); in `room`, a row of at least as many numbers, where
        one is given.
        """
        if room is None:
            room = np.empty(self.bins * seen.size)
        away = room[: self.bins * seen.size].reshape(*seen.shape[:-1], self.bins, seen.shape[-1])
        scale = 1.0 / (sqrt(2.0) * self.spread_tokens)
        np.subtract((scale * seen)[..., None, :], (scale * self.midpoints)[:, None], out=away)
        np.square(away, out=away)
        np.subtract(away.min(axis=-2, keepdims=True), away, out=away)
        return np.exp(away, out=away)

    def expected(self, weights: Floats) -> Floats:
        """Expected tokens for relative probabilities, from shape (..., bins, n) to (..., n).

        The sum of i p_i as the sum of the tails of p; bin after bin, so that no value depends on
        the others of an array.
        """
        total = weights[..., -1, :].copy()
        above = np.zeros_like(total)
        for index in range(self.bins - 2, -1, -1):
            above += total
            total += weights[..., index, :]
        above /= total
        above *= self.width_tokens
        above += 0.5 * self.width_tokens
        return above

    def expected_of(self, seen: float) -> float:
        """Expected tokens for one length that is seen."""
        width = self.width_tokens
        scale = 0.5 / self.spread_tokens**2
        nearest = width * (min(max(seen // width, 0.0), self.bins - 1) + 0.5)
        least = (seen - nearest) ** 2
        total = weighted = 0.0
        for index in range(self.bins):
            weight = exp(scale * (least - (seen - width * (index + 0.5)) ** 2))
            total += weight
            weighted += weight * index
        return width * (weighted / total + 0.5)
