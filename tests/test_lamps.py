"""LAMPS on the serving engine: the order of memory over time, its refresh, its starvation bound."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import floor
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_kit import Listed, Outcome, simulate

from models.constant_cost import LinearCost
from models.errors import ConfigError
from models.tool_calls.forward_time import ForwardTime
from models.tool_calls.released_score import ReleasedScore
from policies.batching.chunked_prefill import ChunkedPrefill
from policies.ordering.fcfs import Fcfs
from policies.ordering.memory_time import MemoryTime
from policies.ordering.shortest_job_first import ShortestJobFirst
from policies.tools.always import Always
from sim.hardware.faults import Fault
from sim.serving.clients import OpenLoop
from sim.serving.facts import CallEnded
from sim.serving.law_check import LawCheck
from workloads.arrivals import TraceTimes
from workloads.demand import Call, Demand

MODES = pytest.mark.parametrize("mode", ["jump", "step"])
#: GPT-J-6B on an A100.
LINE = ForwardTime(0.010, 4.63e-5)
SLOT = {"max_sequences": 1, "max_batch_tokens": 1 << 14}
LAMPS = partial(MemoryTime, LINE, 4e-5, starvation_iterations=None)


def serve(demands: Sequence[Demand], **settings: Any) -> Outcome:
    return simulate(client=OpenLoop(Listed(demands), TraceTimes()), **settings)


def order(run: Outcome) -> list[int]:
    """Requests as they were scheduled."""
    return [row["id"] for row in sorted(run.rows, key=lambda row: row["scheduled_s"])]


# --- the order ---------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.integers(1, 50),
    st.sampled_from(["jump", "step"]),
    st.integers(1, 3),
)
def test_without_calls_and_with_equal_prompts_it_is_shortest_job_first(
    outputs: list[int], prompt: int, mode: str, slots: int
) -> None:
    demands = [Demand(prompt, output, 0.0) for output in outputs]
    engine = SLOT | {"max_sequences": slots}
    lamps, shortest = (
        serve(demands, ordering=ordering, mode=mode, engine=engine)
        for ordering in (LAMPS, ShortestJobFirst)
    )
    assert lamps.column("finish_s") == shortest.column("finish_s")
    if slots == 1:
        assert order(lamps) == sorted(range(len(outputs)), key=lambda n: (outputs[n], n))


@MODES
@pytest.mark.parametrize(
    ("handling", "first"), [("preserve", "plain"), ("discard", "calls"), ("swap", "calls")]
)
def test_a_long_call_counts_as_the_memory_it_holds(handling: Any, first: str, mode: str) -> None:
    """60 tokens with 700 preserved for 28 s are more memory over time than 1,000 plain tokens;
    discarded or swapped they are less. By length they always go first."""
    demands = [
        Demand(10, 50, 0.0),
        Demand(640, 60, 0.1, calls=(Call(59, 28.0, 0),)),
        Demand(640, 1000, 0.2),
    ]
    cost = LinearCost(0.010, 4.63e-5)
    tools = partial(Always, handling)
    engine = SLOT | {"host_swap_bytes": 1e6}
    by_memory = serve(demands, ordering=LAMPS, tools=tools, cost=cost, engine=engine, mode=mode)
    by_length = serve(
        demands, ordering=ShortestJobFirst, tools=tools, cost=cost, engine=engine, mode=mode
    )
    assert order(by_memory) == ([0, 2, 1] if first == "plain" else [0, 1, 2])
    assert order(by_length) == [0, 1, 2]


@MODES
def test_a_returned_request_is_ranked_by_what_is_left(mode: str) -> None:
    """A's first segment is long, its last short: back from its call it goes before B, which is
    shorter than A was and longer than A is; its preserved prompt costs little to hold for 2
    tokens."""
    demands = [
        Demand(10, 30, 0.0, calls=(Call(20, 5.0, 0),)),
        Demand(10, 60, 1.0),
        Demand(10, 25, 26.0),
    ]
    run = serve(demands, ordering=LAMPS, engine=SLOT, mode=mode)
    # A runs from 0 to 20 s, B from then to 80 s; C and what is left of A, 10 tokens, wait.
    assert run.column("scheduled_s") == [0.0, 20.0, 90.0]
    assert run.column("finish_s") == [90.0, 80.0, 115.0]


@MODES
def test_a_call_after_the_last_token_holds_no_memory(mode: str) -> None:
    """A gives up its KV with its last token, so that its call of 100 s does not put it behind B,
    which is longer."""
    demands = [
        Demand(10, 20, 0.0),
        Demand(10, 30, 0.5, calls=(Call(30, 100.0, 0),)),
        Demand(10, 40, 0.5),
    ]
    run = serve(demands, ordering=LAMPS, engine=SLOT, mode=mode)
    assert run.column("scheduled_s") == [0.0, 20.0, 50.0]


@MODES
def test_a_running_request_is_not_displaced(mode: str) -> None:
    run = serve([Demand(10, 100, 0.0), Demand(1, 1, 0.5)], ordering=LAMPS, engine=SLOT, mode=mode)
    assert run.column("finish_s") == [100.0, 101.0]
    assert run["preemptions"] == 0


@pytest.mark.parametrize(
    ("asked", "scores"),
    [
        ((400, 120, 20, 8e-5), (61.998, 139.392, 102.452)),
        ((934, 180, 57, 0.72), (999.808, 387.2, 332.44)),
        ((112, 112, 40, 28.2), (7250.176, 61.952, 41.796)),
    ],
)
def test_the_rank_of_the_release(
    asked: tuple[int, int, int, float], scores: tuple[float, float, float]
) -> None:
    """Beside 64 tokens in the batch; prompt, length, returned tokens, seconds."""
    policy = MemoryTime(LINE, 4e-5, released=ReleasedScore())
    prompt, before, returned, call_s = asked
    view: Any = SimpleNamespace(decoding=64)
    for handling, score in zip(("preserve", "discard", "swap"), scores, strict=True):
        request: Any = SimpleNamespace(
            id=1,
            waits_since=-1,
            generated_tokens=0,
            handling=handling,
            context_tokens=prompt,
            predicted_segment_tokens=float(before),
            predicted_segment_remaining_tokens=float(before),
            predicted_call_s=call_s,
            predicted_returned_tokens=float(returned),
        )
        assert policy.rank(request, view, 0.0) == pytest.approx(score, abs=1e-3)


@MODES
def test_the_score_of_the_release_orders_admission(mode: str) -> None:
    """By blocks of 64 tokens alone: 60 and 20 tokens tie, and the earlier goes first; 120 come
    last, since they are two blocks and wait for one more."""
    demands = [Demand(10, 9, 0.0), Demand(400, 500, 0.5), Demand(1, 60, 0.5), Demand(1, 20, 0.5)]
    policy = partial(LAMPS, released=ReleasedScore())
    run = serve(demands, ordering=policy, engine=SLOT, mode=mode)
    assert order(run) == [0, 2, 3, 1]


# --- fresh ranks -------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize(("every", "first"), [(None, 5), (1, 4), (3, 4), (1000, 5)])
def test_refreshed_ranks_follow_the_batch(every: int | None, first: int, mode: str) -> None:
    """An iteration is priced by the sequences that decode: none as A and B come, four later. B's
    25 tokens cost less than A's prompt of 40 then, and more when they are remade; a slot is free
    at 6 s."""
    line = ForwardTime(0.0, 1.0)
    demands = [
        Demand(1, 6, 0.0),
        *(Demand(1, 100, 0.0) for _ in range(3)),
        Demand(40, 1, 0.5),
        Demand(1, 25, 0.5),
    ]
    # A: 40 * 20 + 41 steps; B: 0.5 + 350 steps; of 1 s: 841 and 350.5; of 4 s: 964 and 1400.5.
    policy = partial(MemoryTime, line, 0.0, starvation_iterations=None, refresh_iterations=every)
    run = serve(demands, ordering=policy, engine={"max_sequences": 4}, mode=mode)
    assert order(run)[4] == first
    assert run.rows[first]["scheduled_s"] == 6.0


# --- starvation --------------------------------------------------------------------------------


#: Short ones, of 2 iterations each, come all the time and go before a long one.
STREAM = [
    Demand(1, 2, 0.0),
    Demand(1, 50, 0.5),
    *(Demand(1, 2, 0.75 + 2 * n) for n in range(29)),
]


@MODES
@pytest.mark.parametrize(
    ("limit", "scheduled_s"), [(None, 60.0), (1000, 60.0), (13, 14.0), (12, 12.0), (11, 12.0)]
)
def test_a_long_request_goes_first_once_it_has_waited(
    limit: int | None, scheduled_s: float, mode: str
) -> None:
    """It waits from iteration 0 on, and a slot is free every second second."""
    policy = partial(MemoryTime, LINE, 4e-5, starvation_iterations=limit)
    run = serve(STREAM, ordering=policy, engine=SLOT, mode=mode)
    assert run.rows[1]["scheduled_s"] == scheduled_s


@MODES
def test_only_those_that_have_begun_count_in_the_release(mode: str) -> None:
    """By the release's rule the long one never counts, since nothing of it has been made."""
    policy = partial(MemoryTime, LINE, 4e-5, starvation_iterations=12, starving="begun")
    run = serve(STREAM, ordering=policy, engine=SLOT, mode=mode)
    assert run.rows[1]["scheduled_s"] == 60.0


@MODES
@pytest.mark.parametrize("ordering", [LAMPS, ShortestJobFirst, Fcfs])
@pytest.mark.parametrize(("handling", "first"), [("preserve", 0), ("discard", 2)])
def test_who_kept_his_kv_runs_on(handling: Any, first: int, ordering: Any, mode: str) -> None:
    """A's long rest goes last by memory, by length and, at the tail, by time; but with its KV on
    the GPU it is not asked to wait for memory, and goes before C as soon as B's slot is free."""
    demands = [
        Demand(10, 90, 0.0, calls=(Call(10, 5.0, 0),)),
        Demand(10, 20, 1.0),
        Demand(10, 15, 12.0),
    ]
    if ordering is Fcfs:
        ordering = partial(Fcfs, after_call="tail")
    run = serve(demands, ordering=ordering, tools=partial(Always, handling), engine=SLOT, mode=mode)
    assert run.column("scheduled_s") == [0.0, 10.0, 110.0 if first == 0 else 30.0]
    assert min((0, 2), key=lambda n: run.column("finish_s")[n]) == first


@pytest.mark.parametrize(("call_s", "first"), [(2.0, 1), (9.0, 2)])
def test_shortest_with_calls(call_s: float, first: int) -> None:
    """At a second a token: 3 + 2 tokens and the call, against 12 plain tokens."""
    demands = [Demand(5, 20, 0.0), Demand(5, 5, 0.1, calls=(Call(3, call_s, 0),)),
               Demand(5, 12, 0.2)]  # fmt: skip
    run = serve(
        demands,
        ordering=partial(ShortestJobFirst, iteration_s=1.0),
        tools=partial(Always, "discard"),
        engine=SLOT,
    )
    assert order(run)[1] == first
    with pytest.raises(ConfigError, match=r"iteration_s: .* must be finite and > 0"):
        ShortestJobFirst(iteration_s=0.0)


Admission = tuple[float, int, list[int]]


def overloaded(seed: int, limit: int, mode: str) -> tuple[Outcome, list[Admission]]:
    """A run in steps of a second that is never idle, and its admissions: when, who, and who was
    left waiting."""
    rng = Random(seed)
    demands = []
    for at in sorted(rng.uniform(0.0, 60.0) for _ in range(60)):
        output = rng.choice([1, 2, 3, 20])
        calls = () if rng.random() < 0.5 or output < 3 else (Call(2, rng.uniform(0.0, 9.0), 1),)
        demands.append(Demand(rng.randint(1, 9), output, at, calls=calls))
    demands.insert(0, Demand(1, 300, 0.0))
    admissions: list[Admission] = []

    class Noted(ChunkedPrefill):
        def plan(self, view: Any, now_s: float) -> Any:
            plan = super().plan(view, now_s)
            under_way = {request.id for request in view.prefilling}
            new = [r.id for r, _ in plan.chunks if r.id not in under_way]
            left = [request.id for request in view.waiting]
            for number in new:
                left.remove(number)
                admissions.append((now_s, number, list(left)))
            return plan

    run = serve(
        demands,
        ordering=partial(MemoryTime, LINE, 4e-5, starvation_iterations=limit),
        batching=Noted,
        tools=partial(Always, "discard"),  # who kept his KV would run on
        engine={"max_sequences": 3},
        mode=mode,
    )
    return run, admissions


@MODES
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [5, 25])
def test_nobody_who_has_starved_is_overtaken_by_a_newcomer(
    limit: int, seed: int, mode: str
) -> None:
    """Only by those that starved before, in that order: a request starves `limit` iterations after
    its arrival or return, and stays so."""
    run, admissions = overloaded(seed, limit, mode)
    assert run.log is not None
    since = {row["id"]: [row["arrival_s"]] for row in run.rows}
    for fact in run.log.of(CallEnded):
        since[fact.request.id].append(fact.time_s)
    in_line: dict[int, tuple[int, float]] = {}
    jumps = 0
    for now_s, number, left in admissions:
        for waiting in [number, *left]:
            came_s = max(time_s for time_s in since[waiting] if time_s <= now_s)
            if waiting not in in_line and now_s >= floor(came_s) + limit:
                in_line[waiting] = floor(came_s) + limit, came_s
        for waiting in left:
            if waiting in in_line:
                assert number in in_line, (now_s, number, waiting)
                assert in_line[number] < in_line[waiting], (now_s, number, waiting)
                jumps += 1
    assert jumps > 3
    assert run["requests_finished"] == 61


@pytest.mark.parametrize("seed", range(3))
def test_starvation_is_the_same_in_jumps_and_steps(seed: int) -> None:
    jump, step = (overloaded(seed, 9, mode) for mode in ("jump", "step"))
    assert jump[0].rows == step[0].rows
    assert [a[:2] for a in jump[1]] == [a[:2] for a in step[1]]


@MODES
def test_a_request_that_loses_its_kv_while_it_waits_goes_on_waiting(mode: str) -> None:
    """B's call returns at 1.5 s, in iteration 1, and B waits with 8 tokens of KV for A's slot. At
    6 s A's growth takes them. At 13 s, after 12 iterations of waiting all the same, B goes before
    C, whose area is smaller."""
    demands = [
        Demand(8, 3, 0.0, calls=(Call(1, 0.5, 0),)),
        Demand(1, 12, 0.5),
        Demand(1, 1, 11.5),
    ]
    run = serve(
        demands,
        ordering=partial(MemoryTime, LINE, 4e-5, starvation_iterations=12),
        engine={"max_sequences": 1, "block_tokens": 1, "kv_blocks": 13},
        mode=mode,
    )
    assert run.column("recomputed_tokens") == [8, 0, 0]
    assert run.column("finish_s") == [15.0, 13.0, 16.0]


@MODES
def test_a_request_that_a_failure_sent_elsewhere_waits_there_alone(mode: str) -> None:
    """Node 0 fails at 1.5 s. X, which waited there since iteration 1, waits on node 1 since its
    iteration 1; when node 0 is back, the same number there means nothing."""
    demands = [
        Demand(1, 20, 0.0),
        Demand(1, 40, 0.0),
        Demand(1, 1, 1.25),
        Demand(1, 1, 3.0),
        Demand(1, 20, 3.0),
        Demand(1, 1, 3.0),
        Demand(1, 1, 3.5),
    ]
    run = serve(
        demands,
        ordering=partial(MemoryTime, LINE, 4e-5, starvation_iterations=4),
        engine={"max_sequences": 1},
        replicas=2,
        faults=[Fault(time_s=1.5, target="node0/gpu0", kind="fail", duration_s=1.0)],
        observers=[LawCheck()],
        mode=mode,
    )
    assert run.column("replica") == [1, 1, 1, 1, 0, 1, 0]
    assert run.column("finish_s") == [59.0, 40.0, 60.0, 61.0, 23.0, 62.0, 24.0]


@pytest.mark.parametrize("value", [0, -3, True])
@pytest.mark.parametrize("key", ["starvation_iterations", "refresh_iterations"])
def test_bad_iterations_are_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        MemoryTime(LINE, 4e-5, **{key: value})


def test_bad_starving_is_named() -> None:
    with pytest.raises(ConfigError, match="starving: 'some'"):
        MemoryTime(LINE, 4e-5, starving="some")  # type: ignore[arg-type]
