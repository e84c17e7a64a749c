"""What is predicted of a request's segments when it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from models.prediction import Predictor
from models.tool_calls.durations import DurationPredictor
from sim.core.errors import ConfigError
from workloads.demand import Demand


class Foretold(NamedTuple):
    """Predicted output tokens of a segment (None without a predictor), and seconds of the call
    that ends it (the last segment has none)."""

    tokens: float | None
    call_s: float | None


def check_calls(demand: Demand, number: int) -> None:
    """Raise ConfigError unless calls stand in order within the output, each after a token."""
    points = [0, *(call.after_tokens for call in demand.calls)]
    if any(b <= a for a, b in pairwise(points)) or points[-1] > demand.output_tokens:
        raise ConfigError(
            f"request {number}: calls after {points[1:]} of {demand.output_tokens} output tokens; "
            "each must come at least one token after the one before, within the output"
        )
    for call in demand.calls:
        if not (0.0 <= call.duration_s < float("inf") and call.returned_tokens >= 0):
            raise ConfigError(
                f"request {number}: a call of {call.duration_s!r} s that returns "
                f"{call.returned_tokens!r} tokens"
            )


def foretell(
    demand: Demand,
    predictor: Predictor | None,
    durations: DurationPredictor,
    rng: np.random.Generator,
) -> Sequence[Foretold]:
    """Predictions of all segments of a request with calls, each segment with the context so far
    as its prompt."""
    found = []
    made, context = 0, demand.prompt_tokens
    for call in demand.calls:
        tokens = call.after_tokens - made
        predicted = _tokens(predictor, context, tokens, rng)
        found.append(Foretold(predicted, durations.predict(demand.kind, call.duration_s, rng)))
        made = call.after_tokens
        context += tokens + call.returned_tokens
    rest = demand.output_tokens - made
    found.append(Foretold(_tokens(predictor, context, rest, rng) if rest else 0.0, None))
    return found


def _tokens(
    predictor: Predictor | None, context: int, tokens: int, rng: np.random.Generator
) -> float | None:
    return None if predictor is None else predictor.predict(context, tokens, rng)
