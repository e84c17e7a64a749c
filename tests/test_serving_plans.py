"""Plans that cannot be are refused, with the numbers, before they do harm."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from serving_kit import Outcome, simulate

from policies.batching.contract import Plan
from sim.core.errors import CapacityError, LawBroken, Stalled
from sim.serving.facts import Iterations

Make = Callable[[Any, Plan], None]


class Scripted:
    """A batching policy that makes the given plans one after the other, then empty ones."""

    def __init__(self, *makes: Make) -> None:
        self._makes = list(makes)

    def plan(self, view: Any, now_s: float) -> Plan:
        plan = Plan()
        plan.steps = 1
        if self._makes:
            self._makes.pop(0)(view, plan)
        return plan


def follow(*makes: Make, number: int = 1, **settings: Any) -> Outcome:
    """Requests of 4 + 3 tokens under such plans."""
    return simulate([(0.0, 4, 3)] * number, batching=lambda: Scripted(*makes), **settings)


def admit(view: Any, plan: Plan) -> None:
    plan.chunks = [(request, request.prefill_tokens) for request in view.waiting]


def pieces(*sizes: int, steps: int = 1) -> Make:
    """Pieces of the first request that waits or prefills."""

    def make(view: Any, plan: Plan) -> None:
        request = next(iter([*view.prefilling, *view.waiting]))
        plan.chunks = [(request, size) for size in sizes]
        plan.steps = steps

    return make


def preempt(*fates: str) -> Make:
    """The first running request, once for each fate."""

    def make(view: Any, plan: Plan) -> None:
        plan.preempt = [(next(iter(view.running)), fate) for fate in fates]  # type: ignore[misc]

    return make


def evict(view: Any, plan: Plan) -> None:
    plan.evict = [(request, "recompute") for request in view.waiting]


def resume(view: Any, plan: Plan) -> None:
    plan.resume = list(view.waiting)


def admit_who_runs(view: Any, plan: Plan) -> None:
    plan.chunks = [(request, 1) for request in view.running]


@pytest.mark.parametrize(
    ("makes", "said"),
    [
        ([pieces(5)], "a piece of 5 tokens for Request(0, prompt 4"),
        ([pieces(0)], "a piece of 0 tokens"),
        ([pieces(-1)], "a piece of -1 tokens"),
        ([pieces(2), pieces(3)], "which has 2 to prefill"),
        ([resume], "cannot decode without prefill"),
        ([evict], "nothing to evict"),
        ([admit, preempt("recompute", "recompute")], "names 2 requests, 1 different"),
        ([admit, admit_who_runs], "not waiting"),
    ],
)
def test_a_broken_plan_is_named(makes: list[Make], said: str) -> None:
    with pytest.raises(LawBroken, match=re.escape(said)):
        follow(*makes)


def test_a_swap_needs_room_in_the_host() -> None:
    with pytest.raises(CapacityError, match="1 blocks asked, 0 of 0 free"):
        follow(admit, preempt("swap"))


def test_more_requests_than_slots_are_refused() -> None:
    with pytest.raises(LawBroken, match="3 requests in the batch, max_sequences is 2"):
        follow(admit, number=3, engine={"max_sequences": 2})


def test_more_blocks_than_there_are_are_refused() -> None:
    with pytest.raises((CapacityError, LawBroken), match="4 blocks asked, 2 of 6 free"):
        follow(admit, number=2, engine={"block_tokens": 1, "kv_blocks": 6})


def test_growth_without_blocks_is_refused() -> None:
    """Two of four tokens in a pool of eight: neither can write its next."""
    with pytest.raises(LawBroken, match="needs 2 KV blocks where 0 are free"):
        follow(admit, number=2, engine={"block_tokens": 1, "kv_blocks": 8})


def test_a_policy_that_stops_planning_stalls_with_a_snapshot() -> None:
    """Two requests are admitted, one leaves the batch, and nobody takes it in again."""
    with pytest.raises(Stalled, match="work unfinished in: serving") as caught:
        follow(admit, preempt("keep"), number=2)
    (replica,) = caught.value.snapshot["serving"]["replicas"]  # type: ignore[index]
    assert (replica["waiting"], replica["decoding"], replica["up"]) == (1, 0, True)


@pytest.mark.parametrize(
    "makes",
    [
        pytest.param([pieces(3, 3)], id="pieces that are too much together"),
        pytest.param([pieces(1, 1)], id="a request named in two pieces"),
        pytest.param([pieces(3, steps=5)], id="a piece repeated past the prompt"),
    ],
)
def test_pieces_are_checked_together(makes: list[Make]) -> None:
    with pytest.raises(LawBroken):
        follow(*makes)


def test_several_pieces_hold_for_one_iteration() -> None:
    def make(view: Any, plan: Plan) -> None:
        plan.chunks = [(request, 1) for request in view.waiting]
        plan.steps = 3

    with pytest.raises(LawBroken):
        follow(make, number=2)


def test_a_request_is_named_once_in_a_plan() -> None:
    def make(view: Any, plan: Plan) -> None:
        request = next(iter(view.running))
        plan.preempt = [(request, "recompute")]
        plan.chunks = [(request, 4)]

    with pytest.raises(LawBroken):
        follow(admit, make)


def test_an_unknown_fate_is_refused() -> None:
    with pytest.raises(LawBroken, match="burn"):
        follow(admit, preempt("burn"))


@pytest.mark.parametrize("steps", [0, -3])
def test_a_plan_holds_for_an_iteration_at_least(steps: int) -> None:
    with pytest.raises(LawBroken, match="steps"):
        follow(pieces(4, steps=steps))


def test_the_scripts_can_make_a_sound_run() -> None:
    """So that what is refused above is refused for its own sake."""
    run = follow(pieces(2), pieces(2), number=1)
    assert run.rows[0]["finish_s"] == 4.0
    assert run.log is not None
    assert [fact.prefill_tokens for fact in run.log.of(Iterations)] == [2, 2, 0, 0]
