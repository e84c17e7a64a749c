"""Tool calls against closed forms: latency at zero load, memory over time, Little's law."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_kit import Listed, Outcome, simulate

from models.constant_cost import LinearCost
from models.tool_calls.forward_time import Forward, ForwardTime
from models.tool_calls.memory_time import Segment, request_area, segments
from models.tool_calls.stretches import area, duration_s, stretches
from policies.ordering.memory_time import MemoryTime
from policies.tools.always import Always
from sim.serving.clients import OpenLoop
from sim.serving.facts import CallEnded, Iterations
from workloads.arrivals import TraceTimes
from workloads.demand import Call, Demand

#: GPT-J-6B on an A100 (InferCept's release): seconds of an iteration, of a token in it, and of
#: moving a token's KV one way.
FIXED_S, TOKEN_S, SWAP_S = 0.010, 4.63e-5, 4e-5
LINE = ForwardTime(FIXED_S, TOKEN_S)


def ask(demands: Sequence[Demand], **settings: Any) -> Outcome:
    return simulate(client=OpenLoop(Listed(demands), TraceTimes()), **settings)


# --- one request on an empty engine ------------------------------------------------------------

lone = st.tuples(
    st.integers(1, 900),
    st.lists(st.tuples(st.integers(1, 60), st.floats(0.0, 9.0), st.integers(0, 90)), max_size=4),
    st.integers(0, 60),
)


def lone_demand(prompt: int, parts: Sequence[tuple[int, float, int]], last: int) -> Demand:
    """A request of segments (tokens, call, returned tokens) and `last` tokens after them."""
    if not parts:
        last = max(last, 1)
    points = accumulate(part[0] for part in parts)
    calls = [Call(point, *part[1:]) for point, part in zip(points, parts, strict=True)]
    return Demand(prompt, sum(part[0] for part in parts) + last, 0.0, calls=tuple(calls))


def alone(demand: Demand, handling: Any, **settings: Any) -> Outcome:
    """One request on an empty engine that prefills whole prompts; a token of KV is a byte."""
    return ask(
        [demand],
        cost=LinearCost(FIXED_S, TOKEN_S),
        tools=partial(Always, handling),
        engine={
            "block_tokens": 1,
            "kv_blocks": 1 << 14,
            "max_batch_tokens": 1 << 14,
            "host_swap_bytes": float(1 << 14),
        },
        link_bytes_per_s=1.0 / SWAP_S,
        **settings,
    )


@settings(max_examples=60)
@given(lone, st.sampled_from(["preserve", "discard", "swap"]))
def test_latency_at_zero_load(asked: Any, handling: str) -> None:
    """The prompt, a forward pass for each token but those that a prefill yields, the calls, and at
    each return the returned tokens and the last one made, or all, prefilled."""
    demand = lone_demand(*asked)
    expected, kv, made, context = 0.0, 0, 0, demand.prompt_tokens
    recomputed = 0
    for point, call_s, returned in [*demand.calls, (demand.output_tokens, 0.0, 0)]:
        if made < point:
            expected += LINE(context + made - kv) + (point - made - 1) * LINE(1)
            kv, made = context + point - 1, point
        expected += call_s
        if made == demand.output_tokens:
            continue
        if handling == "discard":
            recomputed += kv
            kv = 0
        elif handling == "swap" and call_s > SWAP_S * kv:
            expected += SWAP_S * kv
        context += returned
    run = alone(demand, handling)
    assert run.column("e2e_latency_s") == pytest.approx([expected], rel=1e-9)
    assert run.column("recomputed_tokens") == [recomputed]


LONG = {
    "one call": lone_demand(300, [(400, 6.0, 40)], 500),
    "a call that dominates": lone_demand(700, [(200, 28.0, 20)], 400),
    "several calls": lone_demand(200, [(300, 0.9, 60), (250, 12.0, 0), (350, 4.0, 200)], 450),
    "no call": lone_demand(500, [], 800),
}
#: Most of what these take are passes over prompts, in which tokens grow in.
SHORT = {
    "one short call": lone_demand(1973, [(4, 0.09, 11)], 4),
    "short segments": lone_demand(1973, [(4, 0.09, 11), (3, 0.7, 11), (5, 0.09, 11)], 4),
}


def measured_area(run: Outcome, handling: str) -> tuple[float, float]:
    """Token seconds of KV that the engine counted, and those plus what the ramps within an
    iteration add: it counts what was there as the iteration began."""
    assert run.log is not None
    (replica,) = run.serving.replicas
    counted = run["kv_occupancy.mean"] * replica.pool.total_blocks * run.simulation.now
    ramps = 0.0
    for fact in run.log.of(Iterations):
        step_s = (fact.end_s - fact.start_s) / fact.steps
        ramps += 0.5 * step_s * (fact.prefilled + fact.steps * fact.decodes)
    if handling == "swap":
        # Blocks are held until the last byte has moved, each way: half of it is no ramp.
        for fact in run.log.of(CallEnded):
            ramps -= SWAP_S * _at_call(fact.request, fact.start_s, run) ** 2
    return counted, counted + ramps


def _at_call(request: Any, called_s: float, run: Outcome) -> int:
    """KV tokens at a call, from what was written before it."""
    assert run.log is not None
    facts = [fact for fact in run.log.of(Iterations) if fact.end_s <= called_s + 1e-9]
    return sum(fact.prefilled + fact.steps * fact.decodes for fact in facts)


def predicted_area(
    parts: Sequence[Segment], handlings: Sequence[Any], forward: Forward, step_s: float
) -> tuple[float, float]:
    """Token seconds and seconds of a request by `stretches`, tokens growing in linearly."""
    listed = list(
        stretches(parts[0], handlings[0] if handlings else "preserve", forward, step_s, SWAP_S,
                  slot_from_start=False)
    )  # fmt: skip
    for part, handling in zip(parts[1:-1], handlings[1:], strict=True):
        context = part.call_tokens
        again = part._replace(prompt_tokens=context, before_tokens=0, cached_tokens=context)
        listed += stretches(again, handling, forward, step_s, SWAP_S, slot_from_start=False)
    return area(listed), duration_s(listed)


@pytest.mark.parametrize("handling", ["preserve", "discard", "swap"])
@pytest.mark.parametrize("name", sorted(LONG | SHORT))
def test_the_predicted_area_is_the_measured_one(name: str, handling: Any) -> None:
    demand = (LONG | SHORT)[name]
    run = alone(demand, handling)
    counted, measured = measured_area(run, handling)
    parts = [
        part.computed for part in segments(demand.prompt_tokens, demand.output_tokens, demand.calls)
    ]
    handlings = [handling] * len(demand.calls)
    score = request_area(parts, handlings, LINE, LINE(1), SWAP_S)
    assert score == pytest.approx(measured, rel=0.01)
    if name in LONG:
        assert score == pytest.approx(counted, rel=0.02)
    by_iteration, lasted_s = predicted_area(parts, handlings, LINE, LINE(1))
    assert by_iteration == pytest.approx(measured, rel=1e-9)
    assert lasted_s == pytest.approx(run.column("e2e_latency_s")[0], rel=1e-9)


@pytest.mark.parametrize("handling", ["preserve", "discard", "swap"])
@pytest.mark.parametrize("name", ["one call", "a call that dominates", "one short call", "no call"])
def test_the_rank_is_the_measured_area(name: str, handling: Any) -> None:
    """With an oracle, and at most one call, so that the segment is the request."""
    ranks: list[float] = []

    class Told(MemoryTime):
        def rank(self, request: Any, view: Any, now_s: float) -> float:
            ranks.append(super().rank(request, view, now_s))
            return ranks[-1]

    run = alone((LONG | SHORT)[name], handling, ordering=partial(Told, LINE, SWAP_S))
    assert ranks[0] == pytest.approx(measured_area(run, handling)[1], rel=0.01)


# --- many requests -----------------------------------------------------------------------------


def callers(rate_rps: float, number: int, mean_s: float) -> list[Demand]:
    """Poisson arrivals of requests with a call each, of a two-point duration."""
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.exponential(1.0 / rate_rps, number)).tolist()
    spread = rng.choice([0.25 * mean_s, 4.0 * mean_s], number, p=[0.8, 0.2]).tolist()
    return [
        Demand(int(prompt), 3, at, calls=(Call(2, call_s, 1),))
        for at, call_s, prompt in zip(times, spread, rng.integers(1, 9, number), strict=True)
    ]


def test_calls_are_an_infinite_server() -> None:
    """The mean number in calls is throughput times the mean call, and their number is Poisson
    whatever the distribution of durations: its variance is its mean."""
    demands = callers(8.0, 6000, 1.0)
    run = ask(demands, cost=LinearCost(1e-4, 1e-5), series_interval_s=0.05, log=False)
    samples = run.table("series")
    numbers = np.array([row["in_calls"] for row in samples])
    throughput_rps = run["request_throughput_rps"]
    assert numbers.mean() == pytest.approx(throughput_rps * run["call_s.mean"], rel=2e-3)
    settled = numbers[int(8.0 / 0.05) : -int(8.0 / 0.05)]
    assert settled.var() / settled.mean() == pytest.approx(1.0, abs=0.15)


def test_memory_in_calls_obeys_littles_law() -> None:
    """Token seconds preserved in calls: each call's context times its duration."""
    demands = callers(8.0, 1500, 1.0)
    run = ask(demands, cost=LinearCost(1e-3, 1e-4), log=False)
    areas = [(d.prompt_tokens + 1) * d.calls[0].duration_s for d in demands]
    held = run["kv_tokens_in_calls.mean"]
    assert held == pytest.approx(run["request_throughput_rps"] * float(np.mean(areas)), rel=1e-9)


def test_memory_obeys_littles_law() -> None:
    """The mean of KV tokens is throughput times the mean area of requests: alone one after another,
    each area is measured by itself."""
    demands = [d._replace(arrival_s=60.0 * n) for n, d in enumerate(callers(8.0, 12, 1.0))]
    areas = []
    for demand in demands:
        run = alone(demand._replace(arrival_s=0.0), "preserve")
        areas.append(measured_area(run, "preserve")[0])
    together = ask(
        demands,
        cost=LinearCost(FIXED_S, TOKEN_S),
        engine={"block_tokens": 1, "kv_blocks": 1 << 14, "max_batch_tokens": 1 << 14},
    )
    held = together["kv_occupancy.mean"] * (1 << 14)
    assert held == pytest.approx(together["request_throughput_rps"] * np.mean(areas), rel=1e-9)
