"""TRAIL and multilevel feedback on the serving engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

import pytest
from serving_kit import simulate

from experiments.compose import compose
from models.constant_cost import ConstantCost
from models.errors import ConfigError, LawBroken
from models.prediction import Asked, Oracle
from policies.ordering.multilevel_feedback import MultilevelFeedback
from policies.ordering.trail import Trail
from sim.core.run import run
from sim.serving.facts import RequestPreempted
from sim.serving.request import Request

SLOT = {"max_sequences": 1, "max_batch_tokens": 1 << 20, "kv_blocks": 1 << 20}


class Scripted:
    """Predictions as given: on arrival, and at each age."""

    def __init__(self, first: Sequence[float], paths: Sequence[Sequence[float]]) -> None:
        self.first = list(first)
        self._paths = paths

    def predict(self, prompt_tokens: int, output_tokens: int, rng: Any) -> float:
        return self.first.pop(0)

    def paths(self, asked: Sequence[Asked], seed: int) -> list[Sequence[float]]:
        return [self._paths[each.number] for each in asked]


@pytest.mark.parametrize("mode", ["jump", "step"])
@pytest.mark.parametrize(
    ("lock_share", "ends"),
    [
        (1.0, [15.5, 7.5, 6.5, 10.9]),
        (0.5, [14.5, 7.0, 7.5, 15.5]),
        (0.0, [10.0, 15.5, 10.5, 11.5]),
    ],
)
def test_hand_trace(lock_share: float, ends: list[float], mode: str) -> None:
    """Jobs A(0, 10), B(3, 4), D(6, 0.5), E(9.9, 1) with perfect predictions, in steps of 10 ms."""
    step_s = 0.01
    jobs = [(0.0, 10.0), (3.0, 4.0), (6.0, 0.5), (9.9, 1.0)]
    done = simulate(
        [(at, 1, round(size / step_s)) for at, size in jobs],
        cost=ConstantCost(step_s),
        ordering=partial(Trail, lock_share),
        predictor=Oracle(),
        engine=SLOT,
        mode=mode,
    )
    assert done.column("finish_s") == pytest.approx(ends, abs=step_s)


def test_a_refined_prediction_displaces_at_the_age_at_which_it_rises() -> None:
    """A seems shorter than B until it has made 4 tokens."""
    script = Scripted([5.0, 6.0], [[5, 4, 3, 2, 9, 8, 7, 6, 5, 4], [6, 5, 4, 3, 2, 1]])
    done = simulate(
        [(0.0, 1, 10), (1.5, 1, 6)], predictor=script, ordering=partial(Trail, 1.0), engine=SLOT
    )
    assert done.log is not None
    (preempted,) = done.log.of(RequestPreempted)
    assert (preempted.time_s, preempted.request.id, preempted.fate) == (4.0, 0, "keep")
    assert done.column("finish_s") == [16.0, 10.0]
    assert done["kv_tokens_waiting.peak"] == 4
    assert done["kv_tokens_waiting.mean"] == pytest.approx(4 * 6 / 16)


def test_a_locked_request_is_not_displaced() -> None:
    script = Scripted([5.0, 6.0], [[5, 4, 3, 2, 9, 8, 7, 6, 5, 4], [6, 5, 4, 3, 2, 1]])
    done = simulate(
        [(0.0, 1, 10), (1.5, 1, 6)], predictor=script, ordering=partial(Trail, 0.8), engine=SLOT
    )
    assert done["preemptions"] == 0
    assert done.column("finish_s") == [10.0, 16.0]


@pytest.mark.parametrize("mode", ["jump", "step"])
def test_nothing_reads_a_prediction_beyond_the_present_age(mode: str) -> None:
    """Paths that are the same up to the ages reached by some moment give the same run until it;
    what policies see of a request has no way to a later age but to ask how long a bound holds."""
    shown = {name for name in dir(Request) if not name.startswith("_")}
    assert {name for name in shown if "predict" in name or "path" in name} == {
        "predicted_output_tokens",
        "predicted_remaining_tokens",
        "predicted_segment_tokens",
        "predicted_segment_remaining_tokens",
        "predicted_next_segment_tokens",
        "predicted_call_s",
        "predicted_returned_tokens",
    }
    requests = [(0.0, 1, 40), (1.0, 1, 40), (2.0, 1, 40), (3.0, 1, 40)]
    draw = Random(1).uniform
    base = [[draw(10.0, 30.0 + age) for age in range(40)] for _ in range(4)]
    seen = []
    for later in (0.0, 500.0):
        paths = [[*path[:25], *(value + later for value in path[25:])] for path in base]
        done = simulate(
            requests,
            predictor=Scripted([15.0] * 4, paths),
            ordering=partial(Trail, 1.0),
            engine=SLOT,
            mode=mode,
        )
        assert done.log is not None
        moves = [(fact.time_s, fact.request.id) for fact in done.log.of(RequestPreempted)]
        seen.append([move for move in moves if move[0] < 25.0])
    assert seen[0] == seen[1]
    assert len(seen[0]) > 2


@pytest.mark.parametrize("mode", ["jump", "step"])
def test_of_equal_remainders_the_earlier_runs_until_it_rises(mode: str) -> None:
    """Ranks of A and B are equal when B comes; A's rises at its next token."""
    script = Scripted([9.0, 6.0], [[9, 8, 6, 7, 6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1]])
    done = simulate(
        [(0.0, 1, 10), (1.5, 1, 6)],
        predictor=script,
        ordering=partial(Trail, 1.0),
        engine=SLOT,
        mode=mode,
    )
    assert done.column("finish_s") == [16.0, 9.0]


@pytest.mark.parametrize("mode", ["jump", "step"])
@pytest.mark.parametrize(
    ("margin_tokens", "at_s", "ends"),
    [(0.0, 2.0, [16.0, 8.0]), (1.9, 2.0, [16.0, 8.0]), (2.1, 5.0, [16.0, 11.0])],
)
def test_a_margin_by_hand(margin_tokens: float, at_s: float, ends: list[float], mode: str) -> None:
    """B asks for 6; A has 8 left at 2 s, and 11 from 5 s."""
    script = Scripted([10.0, 6.0], [[10, 9, 8, 7, 6, 11, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1]])
    done = simulate(
        [(0.0, 1, 10), (1.5, 1, 6)],
        predictor=script,
        ordering=partial(Trail, 1.0, margin_tokens),
        engine=SLOT,
        mode=mode,
    )
    assert done.log is not None
    assert [fact.time_s for fact in done.log.of(RequestPreempted)] == [at_s]
    assert done.column("finish_s") == ends


@pytest.mark.parametrize("mode", ["jump", "step"])
@pytest.mark.parametrize(
    ("waits_locked", "ends"), [("first", [8.0, 10.0, 11.0]), ("last", [8.0, 10.0, 9.0])]
)
def test_where_the_locked_wait_that_ran_out_of_memory(
    waits_locked: Any, ends: list[float], mode: str
) -> None:
    """At 5 s A and B hold 5 of 10 blocks each, both locked, and B leaves. C (at 2.5 s) needs one
    block, B six, which are free when A ends."""
    done = simulate(
        [(0.0, 1, 8), (0.0, 1, 7), (2.5, 1, 3)],
        predictor=Scripted(
            [4.0, 4.0, 3.0], [[4, 3, 2, 1, 0, 0, 0, 0], [4, 3, 2, 1, 0, 0, 0], [3, 2, 1]]
        ),
        ordering=partial(Trail, waits_locked=waits_locked),
        engine={"max_sequences": 2, "kv_blocks": 10, "block_tokens": 1},
        mode=mode,
    )
    assert done.log is not None
    (preempted,) = done.log.of(RequestPreempted)
    assert (preempted.time_s, preempted.request.id, preempted.fate) == (5.0, 1, "recompute")
    assert done.column("finish_s") == ends


@pytest.mark.parametrize("mode", ["jump", "step"])
@pytest.mark.parametrize(
    ("takes_kv", "ends", "recomputed"), [(True, [7.0, 4.0], 4), (False, [6.0, 7.0], 0)]
)
def test_kv_of_running_requests_is_taken_or_not(
    takes_kv: bool, ends: list[float], recomputed: int, mode: str
) -> None:
    """At 3 s B lacks 5 blocks of 8, of which the young A holds 4; a slot is free."""
    done = simulate(
        [(0.0, 2, 6), (2.5, 5, 1)],
        predictor=Scripted([20.0, 1.0], [[20, 19, 18, 17, 16, 15], [1]]),
        ordering=partial(Trail, takes_kv=takes_kv),
        engine={"max_sequences": 2, "kv_blocks": 8, "block_tokens": 1},
        mode=mode,
    )
    assert done.column("finish_s") == ends
    assert done["recomputed_tokens"] == recomputed


def test_a_path_of_another_length_is_an_error() -> None:
    script = Scripted([5.0, 4.0], [[5.0] * 9, [4.0] * 6])
    with pytest.raises(LawBroken, match="9 predictions for request 0, which makes 10 tokens"):
        simulate([(0.0, 1, 10), (0.5, 1, 6)], predictor=script, ordering=Trail, engine=SLOT)


def test_without_predictions_it_says_so() -> None:
    with pytest.raises(ConfigError, match="predictor: none"):
        run(compose(["ordering=trail", "workload.count=9", "arrivals=burst"]))


@pytest.mark.parametrize("lock_share", [-0.1, 1.1, float("nan")])
def test_lock_share_is_a_share(lock_share: float) -> None:
    with pytest.raises(ConfigError, match="lock_share"):
        Trail(lock_share)


def test_options_of_the_release_are_named() -> None:
    for margin_tokens in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="margin_tokens"):
            Trail(margin_tokens=margin_tokens)
    with pytest.raises(ConfigError, match="waits_locked: 'sometimes'"):
        Trail(waits_locked="sometimes")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["jump", "step"])
def test_multilevel_feedback_by_hand(mode: str) -> None:
    """Levels of 2, 4, 8 tokens: A makes 2, B 2, A its next 4, B its last, A the rest."""
    done = simulate(
        [(0.0, 1, 10), (0.5, 1, 3)],
        ordering=partial(MultilevelFeedback, 2),
        engine=SLOT,
        mode=mode,
    )
    assert done.column("finish_s") == [13.0, 9.0]
    assert done["preemptions"] == 3


def test_bad_levels_are_named() -> None:
    with pytest.raises(ConfigError, match="first_tokens"):
        MultilevelFeedback(0)
    with pytest.raises(ConfigError, match="factor"):
        MultilevelFeedback(16, 1)
