"""Tool calls in a crowd: nothing is lost or left behind, and a jump is its steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_kit import Listed, Outcome, simulate

from models.constant_cost import ConstantCost, LinearCost
from models.tool_calls.forward_time import ForwardTime
from models.tool_calls.waste_formulas import ChunkedWaste, PlainWaste
from policies.batching.chunked_prefill import ChunkedPrefill
from policies.batching.prefill_first import PrefillFirst
from policies.ordering.fcfs import Fcfs
from policies.ordering.memory_time import MemoryTime
from policies.tools.always import Always
from policies.tools.foreseen import Foreseen
from policies.tools.infercept import InferCept
from sim.serving.clients import OpenLoop
from sim.serving.facts import CallEnded, Iterations
from sim.serving.law_check import LawCheck
from workloads.arrivals import TraceTimes
from workloads.demand import Call, Demand

QUICK = ForwardTime(0.05, 0.01)
TOOLS: dict[str, Any] = {
    "preserve": partial(Always, "preserve"),
    "discard": partial(Always, "discard"),
    "swap": partial(Always, "swap"),
    "foreseen": partial(Foreseen, PlainWaste(QUICK, 0.02)),
    "infercept": partial(InferCept, PlainWaste(QUICK, 0.02), QUICK, 0.02),
    "infercept, discard": partial(InferCept, ChunkedWaste(QUICK, 8), QUICK, None),
    "infercept, swap": partial(InferCept, PlainWaste(QUICK, 0.02), QUICK, 0.02, discard=False),
    "infercept, neither": partial(
        InferCept, PlainWaste(QUICK), QUICK, None, swap=False, discard=False
    ),
}
ORDERINGS: dict[str, Any] = {
    "fcfs": Fcfs,
    "lamps": partial(MemoryTime, QUICK, 0.02, starvation_iterations=7),
    "lamps, fresh": partial(
        MemoryTime, QUICK, 0.02, starvation_iterations=None, refresh_iterations=3
    ),
    "lamps, begun": partial(
        MemoryTime, QUICK, 0.02, starvation_iterations=4, starving="begun", refresh_iterations=5
    ),
}


def ask(demands: Sequence[Demand], **settings: Any) -> Outcome:
    return simulate(client=OpenLoop(Listed(demands), TraceTimes()), **settings)


@st.composite
def crowds(draw: st.DrawFn) -> list[Demand]:
    """Requests that call tools."""
    rng = Random(draw(st.integers(0, 1 << 30)))
    span_s = draw(st.sampled_from([0.0, 2.0, 6.0]))
    demands = []
    for at in sorted(rng.choice([0.0, span_s, span_s * rng.random()]) for _ in range(12)):
        output = rng.randint(1, 15)
        points = sorted(rng.sample(range(1, output + 1), min(output, rng.choice([0, 1, 2, 3]))))
        calls = tuple(
            Call(point, rng.choice([0.0, 0.125, 0.7, 3.0]), rng.choice([0, 0, 2, 5]))
            for point in points
        )
        demands.append(Demand(rng.randint(1, 15), output, at, calls=calls))
    return demands


def crowded(demands: Sequence[Demand], **changes: Any) -> Outcome:
    """Run them in a pool for little more than the longest."""
    longest = max(demand.total_tokens for demand in demands)
    engine = {
        "block_tokens": 2,
        "kv_blocks": longest // 2 + 9,
        "host_swap_bytes": 60.0,
        "max_batch_tokens": 8,
        "max_sequences": 4,
    }
    return ask(
        demands,
        **{
            "cost": LinearCost(0.0625, 0.03125),
            "engine": engine | changes.pop("engine", {}),
            "link_bytes_per_s": 16.0,
            "series_interval_s": 0.25,
        }
        | changes,
    )


@settings(max_examples=60)
@given(crowds(), st.sampled_from(sorted(TOOLS)), st.sampled_from(sorted(ORDERINGS)))
def test_all_that_is_asked_is_made_and_nothing_is_left_behind(
    demands: list[Demand], tools: str, ordering: str
) -> None:
    run = crowded(demands, tools=TOOLS[tools], ordering=ORDERINGS[ordering], observers=[LawCheck()])
    assert run["requests_finished"] == len(demands)
    assert run["output_tokens"] == sum(demand.output_tokens for demand in demands)
    assert run.column("output_tokens") == [demand.output_tokens for demand in demands]
    assert run.column("call_s") == pytest.approx(
        [sum(call.duration_s for call in demand.calls) for demand in demands]
    )
    assert run.log is not None
    assert len(run.log.of(CallEnded)) == sum(len(demand.calls) for demand in demands)
    (replica,) = run.serving.replicas
    replica.pool.check()
    assert replica.pool.free == replica.pool.total_blocks
    assert replica.swap.pool.free == replica.swap.pool.total_blocks
    assert replica.calls.held.value == 0
    middle = [c for d in demands for c in d.calls if c.after_tokens < d.output_tokens]
    assert sum(replica.calls.handled.values()) == len(middle)


BATCHINGS: dict[str, Any] = {
    "chunked": ChunkedPrefill,
    "chunked, swap": partial(ChunkedPrefill, preemption="swap"),
    "prefill first": PrefillFirst,
}


def assert_same_in_jumps_and_steps(demands: Sequence[Demand], **changes: Any) -> None:
    jump, step = (crowded(demands, mode=mode, **changes) for mode in ("jump", "step"))
    for name in jump.result.tables:
        assert jump.table(name) == step.table(name)
    figures, reference = dict(jump.result.summary), dict(step.result.summary)
    del figures["facts"], reference["facts"]
    assert figures == reference


@settings(max_examples=300)
@given(
    crowds(),
    st.sampled_from(sorted(TOOLS)),
    st.sampled_from(sorted(ORDERINGS)),
    st.sampled_from(sorted(BATCHINGS)),
    st.sampled_from([1, 2, 3, 8]),
    st.booleans(),
)
def test_a_jump_is_its_steps(
    demands: list[Demand],
    tools: str,
    ordering: str,
    batching: str,
    batch_tokens: int,
    async_scheduling: bool,
) -> None:
    assert_same_in_jumps_and_steps(
        demands,
        tools=TOOLS[tools],
        ordering=ORDERINGS[ordering],
        batching=BATCHINGS[batching],
        engine={"max_batch_tokens": batch_tokens, "async_scheduling": async_scheduling},
    )


def test_what_is_foreseen_does_not_depend_on_the_boundaries_that_are_told() -> None:
    """A prompt in pieces, under which arrivals change nothing, while others come that the policy
    judges by the batch of the moment at which it sees them."""
    asked = [(0.0, 6, 12, False), (0.5, 20, 3, True), (0.5, 3, 6, True), (4.5, 20, 2, True)]
    assert_same_in_jumps_and_steps(
        [
            Demand(prompt, output, at, calls=(Call(1, 2.5, 0),) if calls else ())
            for at, prompt, output, calls in asked
        ],
        cost=ConstantCost(1.0),
        tools=partial(Foreseen, PlainWaste(ForwardTime(0.0, 0.05))),
        engine={
            "max_batch_tokens": 3,
            "max_sequences": 256,
            "kv_blocks": 1 << 10,
            "block_tokens": 1,
            "async_scheduling": True,
        },
    )


def test_a_refresh_comes_at_its_iteration_whatever_the_boundaries_that_are_told() -> None:
    """Prompts in pieces of 3 tokens while others wait, whose ranks are made anew every third
    iteration."""
    asked = [(0.0, 20, 6), (0.0, 3, 1), (1.5, 20, 12), (2.5, 6, 25), (4.5, 3, 3)]
    assert_same_in_jumps_and_steps(
        [Demand(prompt, output, at) for at, prompt, output in asked],
        cost=ConstantCost(1.0),
        ordering=partial(
            MemoryTime,
            ForwardTime(0.0, 1.0),
            0.0,
            starvation_iterations=None,
            refresh_iterations=3,
        ),
        engine={"max_batch_tokens": 3, "max_sequences": 3, "kv_blocks": 1 << 10},
    )


@settings(max_examples=20)
@given(crowds())
def test_with_ample_memory_preserving_computes_nothing_again(demands: list[Demand]) -> None:
    run = crowded(demands, engine={"kv_blocks": 10_000})
    assert run["recomputed_tokens"] == 0
    written = sum(
        demand.prompt_tokens
        + demand.output_tokens
        - 1
        + sum(c.returned_tokens for c in demand.calls if c.after_tokens < demand.output_tokens)
        for demand in demands
    )
    assert run.log is not None
    facts = run.log.of(Iterations)
    assert sum(f.prefilled + f.steps * f.decodes for f in facts) == written
