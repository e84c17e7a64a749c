"""Bayesian smoothing of what a classifier says of a remaining length, token after token."""

from __future__ import annotations

import numpy as np

from models.length_prediction.bin_classifier import Floats

NARROWEST_TOKENS = 2.0
"""Narrowest bins that can be smoothed."""

#: Added to the weights of each look, whose largest is 1; added to those of the smoothed
#: distribution, their largest 1 too, once in so many looks. So no bin is ever lost, and no
#: product leaves the range of floating point.
_LEAST_WEIGHT = 1e-30
_LEAST_SHARE = 1e-50
_SCALED_EVERY = 8


class Smoothing:
    """TRAIL's filter (ICLR 2025; as in its release) for many requests at once.

    With each token a share 1/`width` of a bin's probability moves to the bin below, and bin 0
    keeps its own: T[i][i] = 1 - 1/width, T[i][i-1] = 1/width, T[0][0] = 1. A look multiplies this
    prior by the classifier's weights. With `every` tokens between looks the prior is T^every.
    """

    def __init__(self, width: float, every: int = 1) -> None:
        # All is divided by 1 - 1/width for each token, and bin 0 is kept `_stay` times as large:
        # then a token adds `_fall` times the bin above to each, and bin 0 grows by `_stay`.
        self._stay = width / (width - 1.0)
        self._fall = 1.0 / (width - 1.0)
        self._every = every

    def follow(self, weights: Floats, before: Floats | None) -> Floats:
        """Turn weights (looks, bins, requests) into those of the smoothed distribution, in place.

        `before`: what the call for the looks before these returned, for these requests and perhaps
        others behind them; None at the first look, which is taken as it is.
        """
        looks, bins, requests = weights.shape
        weights += _LEAST_WEIGHT
        weights[:, 0] *= self._stay
        fall = np.full((bins - 1, requests), self._fall)
        fallen = np.zeros((bins, requests))
        low = fallen[:-1]
        prior = np.empty((bins, requests))
        state = weights[0] if before is None else np.ascontiguousarray(before[:, :requests])
        for look in range(before is None, looks):
            for _ in range(self._every - 1):
                np.multiply(state[1:], fall, low)
                np.add(state, fallen, prior)
                prior[0] *= self._stay
                prior /= self._stay
                state = prior
            np.multiply(state[1:], fall, low)
            np.add(state, fallen, prior)
            state = weights[look]
            np.multiply(state, prior, state)
            if look % _SCALED_EVERY == 0:
                state /= state.max(axis=0)
                state += _LEAST_SHARE
        after = state.copy()
        weights[:, 0] /= self._stay
        return after
