"""Full offload (FastDecode+ and the strawmen of NEO's paper), and NEO by work."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neo_by_the_paper import Asker, Predicted, State, StateView
from offload_kit import ROUGH, STEEP, TINY, host_attention, offload_cost, times
from serving_kit import Outcome, simulate

from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes
from models.offload.sub_batch import NOTHING, SubBatch
from policies.batching.contract import Batching, Offload
from policies.batching.full_offload import FullOffload
from policies.batching.halves import Halves
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


@pytest.mark.parametrize(("requests", "tokens"), [(16, 204), (6, 256)])
def test_by_work_prompts_put_off_leave_their_budgets_to_decodes(requests: int, tokens: int) -> None:
    """Of 204 tokens, or 6 requests, two prompts leave four; one of them is enough to hide the
    host."""
    waiting = [Asker(100 + i, prompt=100) for i in range(2)]
    cpu_run = [Asker(i, kv=100, swapped=True) for i in range(10)]
    state = State(waiting, [], cpu_run, 30, 300, BLOCK, requests, tokens)
    plan = NeoByWork(PROFILE).plan(StateView(state), 0.0)  # type: ignore[arg-type]
    assert plan.offload is not None
    assert plan.offload.split
    assert [r.id for r, _ in plan.chunks] == [100]
    assert len(cpu_run) - len(plan.offload.aside) > 4


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


def _slow_host(reach: float) -> ProfiledTimes:
    truth = offload_cost(
        host_attention(reach=reach, call_s=1e-5),
        gemm_compute=2e-3,
        kernel_s=1e-6,
        launch_per_layer_s=0.0,
    )
    profile = times(truth, launch_s=0.0, max_sequences=64, max_batch_tokens=256)
    profile.cover(200 * BLOCK, 3000 * BLOCK, BLOCK)
    return profile


@pytest.mark.parametrize(
    ("waiting", "made", "most"), [(3, 100, 3), (6, 400, 6), (6, 200, 6), (20, 400, 8), (20, 200, 8)]
)
def test_by_work_prompts_share_their_passes(waiting: int, made: int, most: int) -> None:
    """k (k - 1) = 2 Q F / (o^2 h), as far as the GPUs' buffer lets; one prompt would hide the host.

    140 have begun, of which 21 are present, one of them on the GPUs, which he fills: outputs come
    to the tokens made for each of 119 + 21 / 2."""
    profile = _slow_host(0.05)
    policy = NeoByWork(profile)
    for i in range(140):
        view = StateView(State([Asker(i, prompt=20)], [], [], 30, 3000, BLOCK, 64, 256))
        assert len(policy.plan(view, 0.0).chunks) == 1  # type: ignore[arg-type]
    hosted = [Asker(i, kv=30, swapped=True) for i in range(20)]
    prompts = [Asker(100 + i, prompt=10) for i in range(waiting)]
    view = StateView(State(prompts, [Asker(90, kv=102)], hosted, 26, 3000, BLOCK, 64, 256))
    # A token in each iteration since.
    view.iterations = made
    plan = policy.plan(view, 0.0)  # type: ignore[arg-type]
    output = made / (119 + 10.5)
    host_s = profile.host_attention(20, 20 * 31) / 20
    balance = 0.5 + sqrt(0.25 + 2 * waiting * profile.linear[1] / (output**2 * host_s))
    assert len(plan.chunks) == min(most, int(balance)) > 1


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=40),
    st.integers(1, 100),
    st.sampled_from([0.0, 1e-4, 1e-3]),
    st.sampled_from([0.0, 3e-4]),
    st.sampled_from([1e-6, 3e-5, 1e-3]),
)
def test_by_work_those_on_the_host_join_while_it_pays(
    reads: list[int], width: int, gpu_s: float, launch_s: float, token_s: float
) -> None:
    """Each is worth a token's time: the work done in a second must not fall. After one who would
    make it fall only those that read less are tried."""
    profile = _slow_host(0.02)
    profile.launch_s = launch_s
    work_s = 20.0 * token_s
    taken: tuple[list[int], list[int]] = ([], [])

    def layer_s(one: list[int], other: list[int]) -> float:
        linear, host = profile.linear, profile.host_attention
        return max(linear[width + len(one)], launch_s + host(len(other), sum(other))) + max(
            linear[len(other)] + gpu_s, launch_s + host(len(one), sum(one))
        )

    def slacks() -> tuple[float, float]:
        linear, host = profile.linear, profile.host_attention
        one, other = taken
        return (
            linear[len(other)] + gpu_s - launch_s - host(len(one), sum(one)),
            linear[width + len(one)] - launch_s - host(len(other), sum(other)),
        )

    aside, target, cutoff = [], 1, 1 << 60
    for number, tokens in enumerate(reads):
        before_s = layer_s(*taken)
        done_s = work_s + token_s * sum(map(len, taken))
        taken[target].append(tokens)
        falls = (done_s + token_s) * before_s < done_s * layer_s(*taken) * (1.0 - 1e-12)
        if tokens >= cutoff or (min(slacks()) < 0.0 and falls):
            taken[target].pop()
            aside.append(number)
            cutoff = min(cutoff, tokens)
        else:
            first, second = slacks()
            target = 1 if second > first else 0
    halves = Halves(profile, width, gpu_s)
    askers: list[Any] = [Asker(i, kv=n - 1) for i, n in enumerate(reads)]
    halves.spread(askers, reads, 64, 10**6, BLOCK, work_s=work_s, token_s=token_s)
    assert [r.id for r in halves.aside] == aside
    assert [r.kv + 1 for r in halves.beside] == taken[0]
    assert halves.second == len(taken[1])
    assert halves.stages_s() == pytest.approx(layer_s(*taken))


def test_by_work_nobody_comes_back_while_the_host_keeps_up() -> None:
    """The iteration would wait for the copy, and a prompt fills the GPUs as well; without one, or
    where some sat out, they come back."""
    hosted = [Asker(i, kv=9, swapped=True) for i in range(4)]
    prompts = [Asker(100, prompt=16)]
    policy = NeoByWork(PROFILE)

    def plan(prompts: list[Asker], gpu_blocks: int) -> Offload:
        state = State(prompts, [Asker(50, kv=5)], hosted, gpu_blocks, 300, BLOCK, 16, 256)
        found = policy.plan(StateView(state), 0.0).offload  # type: ignore[arg-type]
        assert found is not None
        return found

    # Nothing has been served yet, and one fits.
    assert len(plan(prompts, 5).back) == 1
    # None fits, and all are served.
    served = plan(prompts, 4)
    assert served.split
    assert not served.back
    assert not served.aside
    assert not plan(prompts, 5).back
    assert len(plan([], 5).back) == 1


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
