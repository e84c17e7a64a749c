"""Predictions of output lengths: models of their error that know the truth."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Predictor(Protocol):
    """Predicts a request's output length when it arrives."""

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        """Predicted output tokens, from the truth and a random stream."""
        ...


class Oracle:
    """Knows the output length."""

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        return float(output_tokens)


def no_predictor() -> None:
    """No predictions at all."""
    return
