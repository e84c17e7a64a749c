"""The classifier of the remaining length that looks at the served model's own state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models.errors import ConfigError
from models.length_prediction.bin_classifier import BinClassifier, Floats
from models.length_prediction.charged import flag, number, whole
from models.length_prediction.prompt_classifier import PromptClassifier
from models.length_prediction.request_errors import CHUNK, paths_by_block, request_errors
from models.length_prediction.smoothing import NARROWEST_TOKENS, Smoothing
from models.prediction import Asked, Predictor


@dataclass(frozen=True, kw_only=True)
class RefinedClassifier(BinClassifier):
    """TRAIL's predictor (Shahout et al., ICLR 2025): a classifier of the remaining length in the
    place of the served model's embedding, and Bayesian smoothing of what it says.

    prompt: predicts on arrival, at no cost of its own (`arrival_s` is this predictor's).
    correlation: of a request's errors from one token to the next (0.9 is an assumption).
    smoothed: whether `Smoothing` follows. every: tokens between looks; in between the prediction
    counts down by 1 for each token, not below 0. clipped: whether no prediction exceeds
    `range_tokens` less the age, as in TRAIL's release, which serves no longer output.

    The defaults have, unsmoothed, the bin accuracy 0.624 and the mean absolute error 33.9 tokens
    of the layer-11 classifier in TRAIL's release, over 16 even ages of each request, fitted on
    the lengths of its workload by `experiments.calibration.predictors`.
    """

    error_tokens: float = 15.4
    error_share: float = 0.141
    spread_tokens: float = 60.1
    prompt: Predictor = field(default_factory=PromptClassifier)
    correlation: float = 0.9
    smoothed: bool = True
    every: int = 1
    clipped: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        number("correlation", self.correlation, high=1.0)
        whole("every", self.every)
        flag("smoothed", self.smoothed)
        flag("clipped", self.clipped)
        if not callable(getattr(self.prompt, "predict", None)):
            raise ConfigError(f"predictor.prompt: {self.prompt!r} must be a predictor")
        for cost in ("arrival_s", "per_token_s"):
            if getattr(self.prompt, cost, 0.0):
                raise ConfigError(
                    f"predictor.prompt.{cost}: {getattr(self.prompt, cost)!r} would not be "
                    f"charged; give it as predictor.{cost}"
                )
        if self.smoothed and self.width_tokens < NARROWEST_TOKENS:
            raise ConfigError(
                f"predictor.bins: {self.bins} bins over {self.range_tokens:g} tokens; bins of "
                f"fewer than {NARROWEST_TOKENS:g} tokens cannot be smoothed"
            )

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        """What `prompt` predicts."""
        return self.prompt.predict(prompt_tokens, output_tokens, rng)

    def paths(self, asked: Sequence[Asked], seed: int) -> list[Sequence[float]]:
        """Predicted remaining tokens at each age (see `Refining.paths`)."""
        return paths_by_block(asked, lambda block: self._rows(block, seed))

    def _rows(self, asked: Sequence[Asked], seed: int) -> Floats:
        """Paths of some requests, longest output first: (requests, ages)."""
        lengths = np.array([request.output_tokens for request in asked], dtype=np.float64)
        # Zero where a request has ended: what memory held there may be no number at all.
        looked = np.zeros((len(asked), -(-asked[0].output_tokens // self.every)))
        smoothing = Smoothing(self.width_tokens, self.every) if self.smoothed else None
        state = None
        # Large arrays made again and again would cost more than what is computed in them.
        room = np.empty(CHUNK * self.bins * len(asked))
        for first, errors in request_errors(asked, seed, self.correlation, self.every):
            looks, active = errors.shape
            ages = self.every * np.arange(first, first + looks)
            remaining = np.maximum(lengths[:active] - ages[:, None], 0.0)
            weights = self.weights(self.seen(remaining, errors), room)
            if smoothing is not None:
                state = smoothing.follow(weights, state)
            looked[:active, first : first + looks] = self.expected(weights).T
        if self.every == 1 and not self.clipped:
            return looked
        rows = np.repeat(looked, self.every, axis=1)
        ages = np.arange(rows.shape[1])
        rows -= ages % self.every
        if self.clipped:
            np.minimum(rows, self.range_tokens - ages, out=rows)
        return np.maximum(rows, 0.0, out=rows)
