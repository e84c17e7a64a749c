"""Who may be predicted to have a bound left, against a look at all of a batch."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.ordering.contract import FOREVER
from sim.serving.decode_batch import DecodeBatch
from sim.serving.reach import Reach
from sim.serving.request import Request

SHARE = 0.7


class Paths:
    """Predictions of any shape, a path for each request."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def path(self, request: Request) -> array[float]:
        rng = np.random.default_rng([self.seed, request.id])
        left = rng.integers(0, 12, request._output_tokens) - 0.1 * np.arange(request._output_tokens)
        request._path = array("d", np.maximum(left, 0.0))
        return request._path


def begun(number: int, output: int, predicted: float, paths: Paths | None) -> Request:
    """A request that has made its first token."""
    request = Request(number, 0.0, 3, output, predicted=predicted)
    request._predictions = paths  # type: ignore[assignment]
    request._kv, request._generated = 3, 1
    return request


def young(batch: DecodeBatch) -> list[Request]:
    return [request for request in batch if request.remaining_while_young(SHARE) is not None]


def steps_below(batch: DecodeBatch, tokens: float, besides: set[int]) -> int:
    """Step by step, until somebody ends."""
    for step in range(1, batch.next_end - batch.steps + 1 if batch.size else 0):
        for request in batch:
            age = request.generated_tokens + step
            locked = age >= SHARE * request.predicted_output_tokens
            if locked or request.id in besides or request._path is None:
                continue
            if request._path[age : age + 1] and request._path[age] >= tokens:
                return step
    return FOREVER


@settings(max_examples=200)
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(["join", "leave", "step"]), st.integers(0, 9), st.floats(0, 12)),
        max_size=60,
    ),
)
def test_as_a_look_at_all(seed: int, refined: bool, moves: list[tuple[str, int, float]]) -> None:
    """Whoever joins, leaves and comes back, and whatever bound is asked for."""
    rng = np.random.default_rng(seed)
    paths = Paths(seed) if refined else None
    batch = DecodeBatch(4)
    reach = Reach(batch)
    away = [begun(n, int(rng.integers(2, 40)), float(rng.integers(1, 50)), paths) for n in range(9)]
    for move, which, bound in moves:
        if move == "join" and away:
            batch.join(away.pop(which % len(away)))
        elif move == "leave" and batch.size:
            request = [*batch][which % batch.size]
            batch.leave(request)
            away.append(request)
        elif move == "step" and batch.size:
            batch.advance(min(which % 3 + 1, batch.next_end - batch.steps))
            batch.ended()
        expected = {
            (request.predicted_remaining_tokens, request.id, request)
            for request in young(batch)
            if request.predicted_remaining_tokens >= bound
        }
        found = reach.at_least(bound, SHARE)
        assert len(found) == len(expected)
        assert set(found) == expected
        behind = {number for _, number, _ in found}
        assert reach.steps_below(bound, SHARE, behind) == steps_below(batch, bound, behind)


def test_another_share_is_looked_at_anew() -> None:
    batch = DecodeBatch(4)
    reach = Reach(batch)
    batch.join(begun(0, 10, 10.0, None))
    batch.advance(3)
    assert reach.at_least(0.0, 0.2) == []
    assert [left for left, _, _ in reach.at_least(0.0, 0.9)] == pytest.approx([6.0])
