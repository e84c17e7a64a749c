"""InferCept and foreseen handling on the engine: when a caller is let go, and how."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from serving_kit import Listed, Outcome, simulate

from models.constant_cost import LinearCost
from models.tool_calls.forward_time import ForwardTime
from models.tool_calls.waste_formulas import ChunkedWaste, PlainWaste, ReleasedWaste
from policies.ordering.fcfs import Fcfs
from policies.tools.foreseen import Foreseen
from policies.tools.infercept import InferCept
from sim.serving.clients import OpenLoop
from sim.serving.facts import CallBegan, CallSwapped
from sim.serving.law_check import LawCheck
from workloads.arrivals import TraceTimes
from workloads.demand import Call, Demand

MODES = pytest.mark.parametrize("mode", ["jump", "step"])

Change = tuple[float, int, str]


def serve(
    policy: Any,
    *asked: tuple[float, int, int, Sequence[tuple[int, float, int]]],
    mode: str = "jump",
    host: float = 1000.0,
    pool: int = 1000,
    **settings: Any,
) -> tuple[Outcome, list[Change]]:
    """A run in steps of a second, and who was let go in calls: when, and how."""
    changes: list[Change] = []

    def watched() -> Any:
        tools = policy()
        review = tools.review

        def told(view: Any, now_s: float) -> Any:
            found, again_s = review(view, now_s)
            changes.extend((now_s, request.id, handling) for request, handling in found)
            return found, again_s

        tools.review = told
        return tools

    demands = [
        Demand(prompt, output, at, calls=tuple(Call(*call) for call in calls))
        for at, prompt, output, calls in asked
    ]
    engine = {"block_tokens": 1, "kv_blocks": pool, "host_swap_bytes": host}
    done = simulate(
        client=OpenLoop(Listed(demands), TraceTimes()),
        tools=watched,
        mode=mode,
        **{"engine": engine, "link_bytes_per_s": 20.0, "observers": [LawCheck()]} | settings,
    )
    return done, changes


#: Recomputing a token takes 25 ms, whatever else; there is no swap.
SLOPE = ForwardTime(0.0, 0.025)
DISCARDS = partial(InferCept, PlainWaste(SLOPE), SLOPE, None)


@MODES
def test_alone_a_caller_goes_when_recomputing_would_have_been_as_cheap(mode: str) -> None:
    """W_d / C = T_fwd(100) = 2.5 s after 1 s, at once, since nothing runs."""
    run, changes = serve(DISCARDS, (0.0, 100, 2, [(1, 20.0, 0)]), mode=mode)
    assert changes == [(3.5, 0, "discard")]
    assert run.column("recomputed_tokens") == [100]
    assert run["calls.discard"] == 1


@MODES
@pytest.mark.parametrize(("call_s", "kept"), [(2.4, True), (2.6, False)])
def test_a_call_shorter_than_that_keeps_its_kv(call_s: float, kept: bool, mode: str) -> None:
    """The true duration is not looked at: what has elapsed stands for it."""
    run, changes = serve(DISCARDS, (0.0, 100, 2, [(1, call_s, 0)]), mode=mode)
    assert bool(changes) is not kept
    assert run.column("recomputed_tokens") == [0 if kept else 100]
    assert (run["calls.preserve"], run["calls.discard"]) == (int(kept), int(not kept))


@MODES
def test_the_batch_is_priced_as_it_is_at_each_boundary(mode: str) -> None:
    """B holds 59 + t tokens at t. A, called at 1 s with 100, is due at 1 + 2.5 (159 + t) / 100 s:
    at 5 s that is 5.1 s, so it goes at the boundary at 6 s (5.125 s); at B's size at the call, 60,
    it would have been due at 5 s sharp."""
    run, changes = serve(DISCARDS, (0.0, 100, 2, [(1, 20.0, 0)]), (0.0, 60, 15, []), mode=mode)
    assert changes == [(6.0, 0, "discard")]
    assert run.column("finish_s") == [22.0, 15.0]


@MODES
def test_a_batch_that_grows_pushes_the_moment_out_and_one_that_ends_pulls_it_in(mode: str) -> None:
    """C joins at 3 s with 200 tokens: due after 1 + 2.5 (159 + t + 197 + t) / 100 = 9.9 + t / 20 s,
    the boundary at 11 s. Had C ended at 8 s, A would be due at 1 + 2.5 * 1.67 s, at once."""
    asked = [(0.0, 100, 2, [(1, 40.0, 0)]), (0.0, 60, 30, [])]
    _, late = serve(DISCARDS, *asked, (2.5, 200, 20, []), mode=mode)
    assert late == [(11.0, 0, "discard")]
    _, early = serve(DISCARDS, *asked, (2.5, 200, 5, []), mode=mode)
    assert early == [(8.0, 0, "discard")]


#: Recomputing takes 1 s, and so does the iteration behind which swaps hide.
FLAT = ForwardTime(1.0, 0.0)
PAIR = [(0.0, 10, 30, []), (0.0, 100, 2, [(1, 20.0, 0)]), (0.0, 60, 2, [(1, 20.0, 0)])]


@MODES
@pytest.mark.parametrize(
    ("swap_s", "host", "expected"),
    [
        (0.01, 1000.0, ["swap", "discard"]),
        (0.005, 1000.0, ["swap", "swap"]),
        (0.005, 120.0, ["swap", "discard"]),
        (0.005, 80.0, ["discard", "swap"]),
        (0.005, 10.0, ["discard", "discard"]),
    ],
)
def test_swap_within_the_budget_and_discard_beyond(
    swap_s: float, host: float, expected: list[str], mode: str
) -> None:
    """A (100 tokens) and B (60) are due 1 + (C + 12) / C s after the start, 2.12 and 2.2 s, and go
    at 3 s, the larger waste first."""
    policy = partial(InferCept, PlainWaste(FLAT, swap_s), FLAT, swap_s)
    run, changes = serve(policy, *PAIR, mode=mode, host=host)
    assert changes == [(3.0, 1, expected[0]), (3.0, 2, expected[1])]
    lost = [kv if how == "discard" else 0 for kv, how in zip((100, 60), expected, strict=True)]
    assert run.column("recomputed_tokens") == [0, *lost]


@MODES
def test_what_is_on_its_way_counts_against_the_budget(mode: str) -> None:
    """A's 100 tokens are on their way from 3 to 8 s. B, called at 2 s with 50, is due at 3.26 s,
    and nothing of the budget of 100 is left."""
    policy = partial(InferCept, PlainWaste(FLAT, 0.01), FLAT, 0.01)
    asked = [*PAIR[:2], (0.5, 50, 2, [(1, 20.0, 0)])]
    run, changes = serve(policy, *asked, mode=mode)
    assert changes == [(3.0, 1, "swap"), (4.0, 2, "discard")]
    assert run.log is not None
    assert [fact.out_bytes for fact in run.log.of(CallSwapped)] == [100.0, 0.0]
    # A link twenty times as fast has moved them by 3.25 s.
    _, later = serve(policy, *asked, mode=mode, link_bytes_per_s=400.0)
    assert later == [(3.0, 1, "swap"), (4.0, 2, "swap")]


@MODES
def test_ablations(mode: str) -> None:
    """Without swaps both are discarded; without discards B waits until A's KV has left, at 8 s;
    with neither all stays."""
    policy = partial(InferCept, PlainWaste(FLAT, 0.01), FLAT, 0.01)
    _, changes = serve(partial(policy, swap=False), *PAIR, mode=mode)
    assert changes == [(3.0, 1, "discard"), (3.0, 2, "discard")]
    run, changes = serve(partial(policy, discard=False), *PAIR, mode=mode)
    assert changes == [(3.0, 1, "swap"), (8.0, 2, "swap")]
    assert run["recomputed_tokens"] == 0
    run, changes = serve(partial(policy, swap=False, discard=False), *PAIR, mode=mode)
    assert changes == []
    assert run["calls.preserve"] == 2


@MODES
@pytest.mark.parametrize("queue", [False, True])
def test_with_swaps_alone_room_in_the_host_is_seen_as_soon_as_it_is_free(
    queue: bool, mode: str
) -> None:
    """A's 100 tokens fill the host from 3 s on; its call returns at 21 s, and they are back at
    26 s. B, whose call goes on, takes their place at that boundary, whether A enters the batch
    there or queues behind D, which has no room."""
    policy = partial(InferCept, PlainWaste(FLAT, 0.005), FLAT, 0.005, discard=False)
    _, changes = serve(
        policy,
        (0.0, 10, 60, []),
        (0.0, 100, 2, [(1, 20.0, 0)]),
        (0.0, 60, 2, [(1, 45.0, 0)]),
        *([(1.5, 350, 1, [])] if queue else []),
        mode=mode,
        host=120.0,
        pool=400,
        ordering=partial(Fcfs, after_call="tail") if queue else Fcfs,
    )
    assert changes == [(3.0, 1, "swap"), (26.0, 2, "swap")]


@MODES
def test_on_an_idle_engine_nothing_hides_a_swap(mode: str) -> None:
    policy = partial(InferCept, PlainWaste(FLAT, 0.01), FLAT, 0.01)
    _, changes = serve(policy, (0.0, 100, 2, [(1, 20.0, 0)]), mode=mode)
    assert changes == [(2.0, 0, "discard")]


# --- foreseen ----------------------------------------------------------------------------------

#: GPT-J-6B on an A100, by InferCept's release.
LINE = ForwardTime(0.010, 4.63e-5)
FORMULAS: dict[str, Any] = {
    "chunked": ChunkedWaste(LINE, 384, 4e-5),
    "released": ReleasedWaste(LINE, 384),
}
CALL_S = {"math": 9e-5, "ve": 0.09, "qa": 0.69, "chatbot": 28.6, "image": 20.03, "tts": 17.24}


def began(run: Outcome) -> list[tuple[int, str]]:
    """Requests as they called, and the handling."""
    assert run.log is not None
    return [(fact.request.id, fact.handling) for fact in run.log.of(CallBegan)]


def profiled(formula: Any, *asked: Any, **settings: Any) -> Outcome:
    run, changes = serve(
        partial(Foreseen, formula),
        *asked,
        cost=LinearCost(0.010, 4.63e-5),
        engine={"kv_blocks": 1 << 14, "max_batch_tokens": 384},
        **settings,
    )
    assert changes == []
    return run


@pytest.mark.parametrize("name", sorted(FORMULAS))
@pytest.mark.parametrize("kind", sorted(CALL_S))
def test_the_map_of_strategies(kind: str, name: str) -> None:
    """With about 1,024 tokens: chats, images and speech never stay; calculators always do;
    Wikipedia and the embodied task stay only where 20,000 other tokens would wait for the
    recomputation."""
    asked = (20.0, 1000, 40, [(24, CALL_S[kind], 20)])
    at_rest = profiled(FORMULAS[name], asked)
    ((_, quiet),) = began(at_rest)
    busy = profiled(FORMULAS[name], (0.0, 19_000, 4000, []), asked)
    ((_, loaded),) = began(busy)
    stays = {"math": (True, True), "ve": (False, True), "qa": (False, True)}
    expected = stays.get(kind, (False, False))
    assert (quiet == "preserve", loaded == "preserve") == expected


@MODES
def test_a_choice_is_kept_until_the_next_return(mode: str) -> None:
    """A comes to an empty engine: its first call, of 0.69 s, will be discarded. 20,000 tokens come
    before it calls, and do not change that; after its return its second one will be preserved,
    although they are gone when it calls."""
    formula = ReleasedWaste(LINE, 384)
    run = profiled(
        formula,
        (0.0, 1000, 600, [(100, 0.69, 20), (500, 0.69, 0)]),
        (0.5, 20_000, 250, []),
        mode=mode,
    )
    ends = run.column("finish_s")
    assert run.log is not None
    first, second = run.log.of(CallBegan)
    assert (first.handling, second.handling) == ("discard", "preserve")
    assert first.time_s < ends[1] < second.time_s


def test_the_context_is_rounded_up_to_blocks() -> None:
    """A break-even of 1 s a token: 65 tokens are judged as 80."""
    asked: list[float] = []

    class Told(PlainWaste):
        def wastes(self, context_tokens: float, *rest: Any) -> Any:
            asked.append(context_tokens)
            return super().wastes(context_tokens, *rest)

    policy = Foreseen(Told(SLOPE))
    view: Any = SimpleNamespace(block_tokens=16, batch_kv_tokens=0, decoding=0)
    for call_s, handling in ((1.99, "preserve"), (2.01, "discard")):
        request: Any = SimpleNamespace(
            context_tokens=50, predicted_segment_tokens=15.0, predicted_call_s=call_s
        )
        assert policy.foresee(request, view, 0.0) == handling
    assert asked == [80, 80]
