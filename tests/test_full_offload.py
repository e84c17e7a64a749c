"""Full offload (FastDecode+ and the strawmen of NEO's paper), and NEO by work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neo_by_the_paper import Asker, Predicted, State, StateView
from offload_kit import ROUGH, STEEP, TINY, host_attention, offload_cost, times
from serving_kit import Outcome, simulate

from models.errors import ConfigError
from models.offload.sub_batch import NOTHING, SubBatch
from policies.batching.contract import Batching
from policies.batching.full_offload import FullOffload
from policies.batching.neo import Neo
from policies.batching.neo_by_work import NeoByWork
from policies.batching.swiftllm import SwiftLlm
from sim.serving.facts import Iterations

BLOCK = 4
PROFILE = times(STEEP, max_sequences=16, max_batch_tokens=256)
PROFILE.cover(60 * BLOCK, 300 * BLOCK, BLOCK)


@st.composite
def states(draw: st.DrawFn) -> State:
    hosted = draw(st.lists(st.integers(1, 60), max_size=10))
    prompts = draw(st.lists(st.integers(1, 100), max_size=6))
    cpu_run = [Asker(i, kv=kv, swapped=True) for i, kv in enumerate(hosted)]
    waiting = [Asker(100 + i, prompt=size) for i, size in enumerate(prompts)]
    budgets = draw(st.integers(1, 16)), draw(st.sampled_from([8, 40, 256]))
    return State(waiting, [], cpu_run, 30, 300, BLOCK, *budgets)


def _chosen(state: State) -> list[Asker]:
    """Prompts, all for the host: first come first served, by budgets, buffer and host memory."""
    used = sum(state.blocks(r.kv) for r in state.cpu_run)
    chosen: list[Asker] = []
    for r in state.waiting:
        sizes = sum(other.prompt for other in chosen)
        blocks = sum(state.blocks(other.prompt) for other in [*chosen, r])
        fits = blocks <= 30 and used + blocks <= 300 - 30
        alone = r.prompt > state.most_tokens and not chosen
        if len(chosen) == state.most_requests or not fits:
            break
        if sizes + r.prompt > state.most_tokens and not alone:
            break
        chosen.append(r)
    return chosen


@given(states())
def test_each_goes_to_the_half_whose_host_has_more_slack(state: State) -> None:
    """Hidden or not; as many as the budgets of the iteration leave beside the prompts."""
    plan = FullOffload(PROFILE).plan(StateView(state), 0.0)  # type: ignore[arg-type]
    chosen = _chosen(state)
    assert [r for r, _ in plan.chunks] == chosen
    if not state.cpu_run:
        assert plan.offload is None or list(plan.offload.to_host) == chosen
        return
    assert plan.offload is not None
    assert list(plan.offload.to_host) == chosen
    predicted = Predicted(PROFILE)
    predicted.prompts = chosen
    if predicted.width(0) > 256:
        return
    tokens = state.most_tokens - sum(r.prompt for r in chosen)
    left = max(0, min(state.most_requests - len(chosen), tokens))
    target = 1
    for r in state.cpu_run[:left]:
        predicted.cpu[target].append(r)
        slacks = predicted.slacks()
        target = 1 if slacks[1] > slacks[0] else 0
    assert list(plan.offload.beside) == predicted.cpu[0]
    assert list(plan.offload.aside) == state.cpu_run[left:]
    assert plan.offload.split


@given(states())
def test_by_work_stays_within_the_budgets(state: State) -> None:
    plan = NeoByWork(PROFILE).plan(StateView(state), 0.0)  # type: ignore[arg-type]
    taken = [r for r, _ in plan.chunks]
    assert taken == state.waiting[: len(taken)]
    offload = plan.offload
    if offload is None or not offload.split:
        return
    back = len(offload.back)
    served = len(state.cpu_run) - len(plan.preempt) - back - len(offload.aside)
    assert served > 0
    assert len(taken) + back + served <= state.most_requests
    assert sum(r.prompt for r in taken) + back + served <= state.most_tokens


def test_by_work_prompts_put_off_leave_their_tokens_to_decodes() -> None:
    """Of 204 tokens two prompts leave four; one of them is enough to hide the host."""
    waiting = [Asker(100 + i, prompt=100) for i in range(2)]
    cpu_run = [Asker(i, kv=100, swapped=True) for i in range(10)]
    state = State(waiting, [], cpu_run, 30, 300, BLOCK, 16, 204)
    plan = NeoByWork(PROFILE).plan(StateView(state), 0.0)  # type: ignore[arg-type]
    assert plan.offload is not None
    assert plan.offload.split
    assert [r.id for r, _ in plan.chunks] == [100]
    assert len(cpu_run) - len(plan.offload.back) - len(plan.offload.aside) > 4


@pytest.mark.parametrize(
    ("halving", "beside"), [("symmetric", [0, 2, 4]), ("none", [0, 1, 2, 3, 4])]
)
def test_the_strawmen(halving: Any, beside: list[int]) -> None:
    cpu_run = [Asker(i, kv=10, swapped=True) for i in range(5)]
    state = State([], [], cpu_run, 30, 300, BLOCK, 16, 256)
    plan = FullOffload(PROFILE, halving).plan(StateView(state), 0.0)  # type: ignore[arg-type]
    assert plan.offload is not None
    assert [r.id for r in plan.offload.beside] == beside


def test_in_one_batch_gpus_and_host_take_turns() -> None:
    """T = L (linear + attention on the host), then the head and the host's own time."""
    batch = SubBatch((), 0, 0, 5, 700, 0, 5)
    layer_s = STEEP.linear_s(5) + STEEP.host_attention_s(5, 700)
    head_s, _ = STEEP.cost.operators.head(5)
    seconds = STEEP.totals(batch, NOTHING).seconds
    assert seconds == pytest.approx(TINY.layers * layer_s + head_s + ROUGH.host_s)


def test_another_halving_is_refused() -> None:
    with pytest.raises(ConfigError, match="'thirds' is not balanced, symmetric or none"):
        FullOffload(PROFILE, "thirds")  # type: ignore[arg-type]


def _burst(policy: Any, output: int, cost: Any, kv_blocks: int = 60) -> Outcome:
    return simulate(
        [(0.0, 60, output)] * 60,
        cost=cost.cost,
        offload=cost,
        kv_bytes_per_token=cost.kv_bytes * cost.layers,
        link_bytes_per_s=1e9,
        batching=policy,
        engine={
            "max_sequences": 64,
            "max_batch_tokens": 256,
            "block_tokens": BLOCK,
            "kv_blocks": kv_blocks,
            "host_swap_bytes": 2000 * BLOCK * cost.kv_bytes * cost.layers,
        },
    )


def test_full_offload_falls_behind_with_the_output_and_neo_does_not() -> None:
    """On a slow host all decode attention there takes ever more of the time; NEO falls back."""
    slow = offload_cost(host_attention(reach=0.02), gemm_compute=2e-3, kernel_s=1e-6)
    profile = partial(times, slow, launch_s=2e-4)
    full, neo = [], []
    for output in (10, 40, 120):
        alone = _burst(SwiftLlm, output, slow, 60).simulation.now
        full.append(
            alone / _burst(partial(FullOffload, profile()), output, slow, 80).simulation.now
        )
        neo.append(alone / _burst(partial(Neo, profile(), 16), output, slow, 80).simulation.now)
    assert full == sorted(full, reverse=True)
    assert full[0] > full[-1] + 0.1
    assert min(neo) > 0.97


@pytest.mark.parametrize("kind", [partial(Neo, saturation_tokens=16), NeoByWork])
def test_a_fast_host_beside_wide_prompts_is_worth_its_time(kind: Callable[..., Batching]) -> None:
    """Few fit on the GPUs, whose time grows with what they compute: more is decoded at once."""
    fast = partial(kind, times(STEEP, launch_s=0.0))
    run = _burst(fast, 60, STEEP, 80)
    alone = _burst(SwiftLlm, 60, STEEP, 60)
    assert alone.simulation.now > 1.1 * run.simulation.now
    assert run.result.summary["serving.offload.tokens"] > 100  # type: ignore[operator]


@pytest.mark.parametrize("kind", [partial(Neo, saturation_tokens=16), NeoByWork])
def test_those_on_the_host_make_no_token_where_the_gpus_work_alone(
    kind: Callable[..., Batching],
) -> None:
    """A host that is never worth it, by prediction: all decode on the GPUs in the end."""
    hopeless = partial(kind, times(STEEP, launch_s=1e3))
    run = _burst(hopeless, 20, STEEP, 80)
    assert run.log is not None
    assert not any(fact.host_decodes for fact in run.log.of(Iterations))
    assert run["requests_finished"] == 60


def test_by_work_more_wait_on_the_host_than_an_iteration_takes() -> None:
    """More than the profile has measured, and some have ended, so that outputs are known."""
    policy = NeoByWork(PROFILE)
    for i in range(40):
        view = StateView(State([Asker(i, prompt=20)], [], [], 30, 300, BLOCK, 16, 256))
        view.iterations = i
        assert policy.plan(view, 0.0).chunks  # type: ignore[arg-type]
    hosted = [Asker(i, kv=30, swapped=True) for i in range(20)]
    waiting = [Asker(100 + i, prompt=20) for i in range(4)]
    view = StateView(State(waiting, [], hosted, 30, 300, BLOCK, 16, 256))
    view.iterations = 40
    plan = policy.plan(view, 0.0)  # type: ignore[arg-type]
    assert plan.offload is not None
    assert len(hosted) - len(plan.offload.aside) - len(plan.offload.back) <= 16
