"""Predictions for queueing theory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.length_prediction.charged import Charged


@dataclass(frozen=True, kw_only=True)
class Exponential(Charged):
    """An exponential number whose mean is the true length: the exponential predictor of the
    theory of scheduling with predictions (Mitzenmacher, "Scheduling with predictions and the
    price of misprediction", ITCS 2020)."""

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        """Predicted output tokens; one exponential number is drawn."""
        return output_tokens * float(rng.standard_exponential())
