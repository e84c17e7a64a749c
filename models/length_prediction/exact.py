"""The exact remaining length, with an error of a given size where one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np

from models.length_prediction.bin_classifier import Floats
from models.length_prediction.charged import Charged, number
from models.length_prediction.request_errors import paths_by_block, request_errors
from models.prediction import Asked


@dataclass(frozen=True, kw_only=True)
class Exact(Charged):
    """TRAIL+: the true remaining length at every token, and the true length on arrival.

    mae_tokens: mean absolute error of normal noise of mean 0 on both (standard deviation
    `mae_tokens` sqrt(pi / 2)), before predictions below 0 are taken as 0. correlation: of a
    request's noise from one token to the next. The default, 1, draws it once for a request's life
    (and once for its arrival), so that two running requests keep their predicted order: noise
    that changes would displace requests by itself, and independent noise for each token is not
    what a predictor makes.
    """

    mae_tokens: float = 0.0
    correlation: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number("mae_tokens", self.mae_tokens)
        number("correlation", self.correlation, high=1.0)

    @property
    def deviation_tokens(self) -> float:
        """Standard deviation of the noise."""
        return self.mae_tokens * sqrt(pi / 2.0)

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        """The length with noise; one normal number is drawn."""
        return max(0.0, output_tokens + self.deviation_tokens * float(rng.standard_normal()))

    def paths(self, asked: Sequence[Asked], seed: int) -> list[Sequence[float]]:
        """Predicted remaining tokens at each age (see `Refining.paths`)."""
        return paths_by_block(asked, lambda block: self._rows(block, seed))

    def _rows(self, asked: Sequence[Asked], seed: int) -> Floats:
        """Paths of some requests, longest output first: (requests, ages)."""
        lengths = np.array([request.output_tokens for request in asked], dtype=np.float64)
        rows = lengths[:, None] - np.arange(asked[0].output_tokens)
        if self.mae_tokens > 0.0:
            for first, errors in request_errors(asked, seed, self.correlation):
                looks, active = errors.shape
                rows[:active, first : first + looks] += self.deviation_tokens * errors.T
        return np.maximum(rows, 0.0, out=rows)
