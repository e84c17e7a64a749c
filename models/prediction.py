"""Predictions of output lengths: models of their error that know the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class Asked(NamedTuple):
    """A request whose predictions are asked for: its number in order of arrival, its lengths in
    tokens, and its prediction on arrival."""

    number: int
    prompt_tokens: int
    output_tokens: int
    predicted_tokens: float


class Predictor(Protocol):
    """Predicts a request's output length when it arrives.

    A predictor may say what it costs: `arrival_s` seconds between a request's arrival and its
    replica's queue, `per_token_s` seconds for each sequence of an iteration. Without these
    attributes it costs nothing.
    """

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        """Predicted output tokens, from the truth and a random stream."""
        ...


@runtime_checkable
class Refining(Protocol):
    """A predictor that looks again at every token.

    A refined prediction depends on the request and its age alone, so all of a request's are made
    at once, and those of many requests together.
    """

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        """Predicted output tokens on arrival (see `Predictor`)."""
        ...

    def paths(self, asked: Sequence[Asked], seed: int) -> list[Sequence[float]]:
        """For each request its predicted *remaining* output tokens at the ages 0 to
        `output_tokens - 1` (tokens made so far), as plain floats.

        A path follows from `seed` and the request alone: however requests are put together and
        in which order, it is the same.
        """
        ...


class Oracle:
    """Knows the output length."""

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        return float(output_tokens)


def no_predictor() -> None:
    """No predictions at all."""
    return
