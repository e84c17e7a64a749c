"""What NEO decides for an iteration, against the procedure of its paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neo_by_the_paper import Asker, Decision, State, StateView, decide
from offload_kit import STEEP, host_attention, offload_cost, times

from experiments.compose import compose
from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import CARRY_ON, Plan
from policies.batching.halves import Halves
from policies.batching.neo import Neo
from policies.batching.swiftllm import SwiftLlm
from sim.core.run import run

BLOCK = 4


def _profile(truth: Any, **changes: Any) -> ProfiledTimes:
    profile = times(truth, max_sequences=16, max_batch_tokens=256, **changes)
    profile.cover(60 * BLOCK, 200 * BLOCK, BLOCK)
    return profile


#: Hosts that are worth almost anything, something with a wide first sub-batch, and hardly anything.
PROFILES = {
    "steep": _profile(STEEP, launch_s=0.0),
    "launches": _profile(STEEP, launch_s=1e-4),
    "flat": _profile(offload_cost(host_attention(reach=1.0)), launch_s=1e-4),
    "slow host": _profile(
        offload_cost(host_attention(reach=0.02), gemm_compute=2e-3, kernel_s=1e-6), launch_s=0.0
    ),
    "misled": _profile(STEEP, launch_s=0.0, noise=0.3, seed=3, bias={"host_attention": 5.0}),
}


@st.composite
def states(draw: st.DrawFn) -> State:
    """Small states in which memory and budgets are short."""
    gpu_blocks = draw(st.integers(1, 40))
    cpu_blocks = draw(st.sampled_from([1, 4, 30, 60, 100, 200]))
    numbers = count()
    running: list[list[Asker]] = [[], []]
    for side, (blocks, most) in enumerate(((gpu_blocks, 6), (cpu_blocks, 10))):
        left = blocks
        for _ in range(draw(st.integers(0, most))):
            kv = draw(st.sampled_from([4, 8, 8, 16, 32]) | st.integers(1, 40))
            # One by itself, and its next token, fit: others are rejected on arrival.
            if -(-kv // BLOCK) <= left and kv < gpu_blocks * BLOCK:
                left -= -(-kv // BLOCK)
                running[side].append(Asker(next(numbers), kv=kv, swapped=side == 1))
    if draw(st.booleans()) and running[0]:
        # No block is free, and some may be needed.
        used = sum(-(-r.kv // BLOCK) for r in running[0])
        gpu_blocks = max([used, *(r.kv // BLOCK + 1 for part in running for r in part)])
    sizes = draw(st.lists(st.sampled_from([1, 3, 8, 20, 60, 150, 255]) | st.integers(1, 50)))
    waiting = [Asker(next(numbers), prompt=min(p, gpu_blocks * BLOCK)) for p in sizes[:8]]
    # Nobody is admitted over the budgets, so those who just go on are within them.
    least = 1 if waiting or running[1] else max(1, len(running[0]))
    requests = draw(st.integers(least, 16))
    tokens = draw(st.sampled_from([each for each in (1, 4, 16, 64, 256) if each >= least]))
    return State(waiting, running[0], running[1], gpu_blocks, cpu_blocks, BLOCK, requests, tokens)


def planned(state: State, policy: Neo) -> tuple[Plan, Decision]:
    """The policy's plan, and the same in the words of the procedure."""
    plan = policy.plan(StateView(state), 0.0)  # type: ignore[arg-type]
    return plan, _said(state, plan)


def _said(state: State, plan: Plan) -> Decision:
    said = Decision(
        recomputed=[r.id for r, fate in plan.preempt],
        prompts=[r.id for r, _ in plan.chunks],
    )
    offload = plan.offload
    if offload is not None:
        said.out = [r.id for r in offload.out]
        said.back = [r.id for r in offload.back]
        said.to_host = [r.id for r in offload.to_host]
        if offload.split:
            beside, aside = ({r.id for r in part} for part in (offload.beside, offload.aside))
            here = {*said.out, *(r.id for r in state.cpu_run)} - set(said.back)
            said.halves = sorted(beside), sorted(here - beside - aside)
    return said


def _compare(found: Decision, expected: Decision) -> None:
    for what in ("out", "recomputed", "back", "prompts", "to_host"):
        assert getattr(found, what) == getattr(expected, what), what
    halves = expected.halves
    assert found.halves == (halves and (sorted(halves[0]), sorted(halves[1])))


@settings(max_examples=800)
@given(states(), st.sampled_from(sorted(PROFILES)), st.sampled_from([0, 8, 32, 128]))
def test_it_decides_what_the_paper_says(state: State, profile: str, saturation: int) -> None:
    found = planned(state, Neo(PROFILES[profile], saturation))[1]
    _compare(found, decide(state, PROFILES[profile], saturation))


@settings(max_examples=300)
@given(states(), st.sampled_from(sorted(PROFILES)), st.sampled_from([0, 8, 32, 128]))
def test_what_it_decides_is_legal(state: State, profile: str, saturation: int) -> None:
    """And never fewer requests a second than the alternative, as predicted."""
    plan, said = planned(state, Neo(PROFILES[profile], saturation))
    expected = decide(state, PROFILES[profile], saturation)
    assert not (said.back and (said.out or said.recomputed))
    assert [r.id for r in state.waiting][: len(said.prompts)] == said.prompts
    assert said.to_host == said.prompts[len(said.prompts) - len(said.to_host) :]
    assert all(size == request.prefill_tokens for request, size in plan.chunks)
    assert expected.rate >= expected.other_rate
    if said.halves is not None:
        assert said.halves[1]
        assert min(expected.slacks) >= 0.0
        assert expected.served <= state.most_requests
        assert expected.width <= state.most_tokens
    gone = {*said.out, *said.recomputed}
    stay = [r for r in state.gpu_run if r.id not in gone]
    stay += [r for r in state.cpu_run if r.id in said.back]
    stay += [r for r in state.waiting if r.id in said.prompts and r.id not in said.to_host]
    assert sum(state.blocks(r.n) for r in stay) <= state.gpu_blocks
    if len(stay) - len(said.prompts) + len(said.to_host) > 1:
        assert len(stay) - len(said.prompts) + len(said.to_host) <= state.most_requests


def test_all_of_it_happens() -> None:
    """The states above are no trivial ones."""
    seen: dict[str, int] = {}

    @settings(max_examples=600, database=None, derandomize=True)
    @given(states(), st.sampled_from(sorted(PROFILES)))
    def look(state: State, profile: str) -> None:
        decision = decide(state, PROFILES[profile], 8)
        for what in ("out", "recomputed", "back", "prompts", "to_host", "halves"):
            seen[what] = seen.get(what, 0) + bool(getattr(decision, what))
        if decision.halves:
            taking_part = sum(map(len, decision.halves))
            seen["both halves"] = seen.get("both halves", 0) + bool(decision.halves[0])
            here = len(state.cpu_run) + len(decision.out) - len(decision.back)
            seen["aside"] = seen.get("aside", 0) + (taking_part < here)
        seen["rejected"] = seen.get("rejected", 0) + _rejected(decision)

    look()
    for what in ("out", "recomputed", "back", "prompts", "to_host", "halves", "both halves"):
        assert seen[what] >= 10, (what, seen)
    assert seen["aside"] >= 10, seen
    assert seen["rejected"] >= 5, seen


def _rejected(decision: Decision) -> bool:
    """Two sub-batches would have served fewer requests a second."""
    return decision.halves is None and decision.other_rate > 0.0


def _crowd(draw: Random) -> State:
    """Many on the host, of many lengths, beside prompts some of which hide them."""
    numbers = count()

    def sizes(most: int, longest: int, usual: list[int]) -> list[int]:
        return [
            draw.choice(usual) if draw.random() < 0.5 else draw.randint(1, longest)
            for _ in range(draw.randint(0, most))
        ]

    running = [Asker(next(numbers), kv=n) for n in sizes(12, 40, [8, 32])]
    hosted = [Asker(next(numbers), kv=n, swapped=True) for n in sizes(40, 60, [8, 16, 24, 40])]
    waiting = [Asker(next(numbers), prompt=n) for n in sizes(5, 100, [20, 60, 150])]
    used = sum(-(-r.n // BLOCK) for r in running)
    longest = max((r.n for r in (*running, *hosted, *waiting)), default=1)
    gpu_blocks = max(used + draw.randint(0, 6), -(-longest // BLOCK))
    there = sum(-(-r.kv // BLOCK) for r in hosted)
    cpu_blocks = there + gpu_blocks + draw.randint(0, 120)
    budget = draw.choice([200, 400, 640])
    return State(waiting, running, hosted, gpu_blocks, cpu_blocks, BLOCK, 64, budget)


@pytest.mark.parametrize("gpu", ["steep", "knee"])
@pytest.mark.parametrize("launch_s", [0.0, 3e-4])
@pytest.mark.parametrize("reach", [0.05, 0.02])
def test_it_decides_so_where_the_host_is_hardly_hidden(
    gpu: str, launch_s: float, reach: float
) -> None:
    """Each rule of who sits out, which prompts are put off and which of both iterations is run
    changes some of these decisions."""
    rates = {"steep": (2e-3, 1e-6), "knee": (1e-2, 2e-4)}[gpu]
    truth = offload_cost(
        host_attention(reach=reach, call_s=1e-5),
        gemm_compute=rates[0],
        kernel_s=rates[1],
        launch_per_layer_s=0.0,
    )
    profile = times(truth, max_sequences=64, max_batch_tokens=640, launch_s=launch_s)
    profile.cover(200 * BLOCK, 3000 * BLOCK, BLOCK)
    seen: Counter[str] = Counter()
    for seed in range(250):
        draw = Random(seed)
        state = _crowd(draw)
        saturation = draw.choice([8, 32, 128])
        expected = decide(state, profile, saturation)
        _compare(planned(state, Neo(profile, saturation))[1], expected)
        seen["split"] += expected.halves is not None
        seen["rejected"] += _rejected(expected)
        seen["passed over"] += expected.passed_over > 0
        seen["needed"] += expected.needed > 0
    assert min(seen[what] for what in ("split", "rejected", "passed over", "needed")) >= 10, seen


class Compared(Neo):
    """NEO, each of whose decisions in a run is compared with the procedure."""

    seen: Counter[str]

    def plan(self, view: Any, now_s: float) -> Plan:
        def askers(requests: Iterable[Any]) -> list[Asker]:
            ranked = sorted(requests, key=lambda r: (view.rank(r), r.id))
            return [Asker(r.id, r.prefill_tokens, r.kv_tokens, r.swapped) for r in ranked]

        state = State(
            askers(view.waiting),
            askers(view.running),
            askers(view.hosted),
            view.total_blocks,
            view.host_blocks,
            view.block_tokens,
            view.max_sequences,
            view.max_batch_tokens,
        )
        plan = super().plan(view, now_s)
        if plan is not CARRY_ON:
            expected = decide(state, self.times)
            _compare(_said(state, plan), expected)
            assert expected.rate >= expected.other_rate
            self.seen["split"] += expected.halves is not None
            self.seen["rejected"] += _rejected(expected)
            self.seen["out"] += bool(expected.out)
            self.seen["to host"] += bool(expected.to_host)
        return plan


@pytest.mark.parametrize(
    ("words", "happens"),
    [
        (["neo_t4", "workload.count=120", "arrivals.rate_rps=3.1"], ["split", "to host"]),
        (["neo_a10g", "workload.count=100"], ["split", "to host", "rejected", "out"]),
    ],
    ids=["t4", "a10g"],
)
def test_in_a_run_it_decides_what_the_paper_says(words: list[str], happens: list[str]) -> None:
    """On the paper's machines, from the first iteration to the last."""
    Compared.seen = Counter()
    experiment, *others = words
    target = "batching._target_=test_neo_decides.Compared"
    run(compose([f"experiment={experiment}", *others, target]))
    assert min(Compared.seen[what] for what in happens) >= 5, Compared.seen


@settings(max_examples=300)
@given(
    st.lists(st.integers(1, 60), max_size=40),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(1, 150),
    st.sampled_from([0.0, 1e-5, 1e-4, 1e-3, 1e-2]),
    st.sampled_from([{"hidden": True}, {}, {"work_s": 1e-3, "token_s": 1e-5}]),
)
def test_halving_finds_what_one_after_the_other_finds(
    reads: list[int], left: int, room: int, width: int, gpu_s: float, rule: dict[str, Any]
) -> None:
    found = []
    for rising in (True, False):
        wide = times(STEEP, launch_s=0.0, max_sequences=48, max_batch_tokens=256)
        wide.cover(60 * BLOCK, 800 * BLOCK, BLOCK)
        assert wide.rising
        wide.rising = rising
        halves = Halves(wide, width, gpu_s)
        askers: list[Any] = [Asker(i, kv=n - 1) for i, n in enumerate(reads)]
        halves.spread(askers, reads, left, room, BLOCK, **rule)
        parts = [[r.id for r in part] for part in (halves.beside, halves.aside)]
        found.append((halves.second, halves.host_0_s, halves.host_1_s, parts))
    assert found[0] == found[1]


def test_without_work_for_the_gpus_nothing_begins() -> None:
    """Who decodes on the host needs a first sub-batch; here the GPUs take the first one back."""
    state = State([], [], [Asker(0, kv=9, swapped=True)], 2, 100, BLOCK, 8, 64)
    assert planned(state, Neo(PROFILES["steep"]))[0].offload is None
    state.gpu_blocks = 3
    assert planned(state, Neo(PROFILES["steep"]))[1].back == [0]


def _with_holder(running: list[Asker], waiting: list[Asker], free_blocks: int) -> StateView:
    """Four blocks, two of which the last of the waiting holds, and next to no host memory."""
    view = StateView(State(waiting, running, [], 4, 1, BLOCK, 8, 64))
    view.holders, view.free_blocks = waiting[-1:], free_blocks
    return view


def test_nobody_is_evicted_and_taken_in_at_once() -> None:
    """One that decodes needs a block; it takes those of one that waits, who begins again later, so
    that the plan holds for an iteration."""
    holder = Asker(1, prompt=1, kv=8)
    view = _with_holder([Asker(0, kv=8)], [holder], 0)
    plan = Neo(PROFILES["steep"]).plan(view, 0.0)  # type: ignore[arg-type]
    assert [r for r, _ in plan.evict] == [holder]
    assert not plan.chunks
    assert plan.steps == 1


def test_where_nothing_runs_kv_that_waits_gives_way() -> None:
    first, holder = Asker(0, prompt=12), Asker(1, prompt=1, kv=8)
    view = _with_holder([], [first, holder], 2)
    plan = Neo(PROFILES["steep"]).plan(view, 0.0)  # type: ignore[arg-type]
    assert [r for r, _ in plan.evict] == [holder]
    assert list(plan.chunks) == [(first, 12)]


def test_swiftllm_goes_on_with_kv_on_the_gpus_while_others_are_swapped() -> None:
    """Else they might wait for each other."""
    holder, swapped = Asker(0, prompt=1, kv=8), Asker(1, kv=12, swapped=True)
    new = Asker(2, prompt=1)
    view = _with_holder([], [holder, swapped, new], 2)
    view.holders, view.swapped_out = [holder], 1
    plan = SwiftLlm().plan(view, 0.0)  # type: ignore[arg-type]
    assert list(plan.chunks) == [(holder, 1)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"swap_in_share": 0.0}, "swap_in_share: 0.0 is not a share"),
        ({"swap_in_share": 1.5}, "swap_in_share: 1.5 is not a share"),
        ({"saturation_tokens": -1}, "saturation_tokens: -1 must be >= 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Neo(PROFILES["steep"], **settings)


def test_a_host_without_room_for_a_block_is_refused() -> None:
    state = State([Asker(0, prompt=4)], [], [], 10, 0, BLOCK, 16, 256)
    with pytest.raises(ConfigError, match=r"no block of KV fits .* more than the 10 blocks"):
        planned(state, Neo(PROFILES["steep"]))
    assert planned(state, Neo(PROFILES["steep"], gpu_only=True))[1].prompts == [0]


@pytest.mark.parametrize(("key", "size"), [("max_sequences", 17), ("max_batch_tokens", 257)])
def test_the_profile_must_cover_the_engine(key: str, size: int) -> None:
    state = State([Asker(0, prompt=4)], [], [], 10, 100, BLOCK, 16, 256)
    setattr(state, {"max_sequences": "most_requests", "max_batch_tokens": "most_tokens"}[key], size)
    with pytest.raises(ConfigError, match=f"batching.times.{key} = {size - 1} does not cover"):
        planned(state, Neo(PROFILES["steep"]))
