"""Requests that decode on the host: the engine's part, in closed form and stage by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from offload_kit import STEEP, host_attention, offload_cost, times
from serving_kit import FACTS, Listed, Outcome, build, link_spec, simulate

from experiments.compose import compose
from models.offload.offload_cost import OffloadCost
from models.offload.sub_batch import SubBatch
from policies.batching.contract import Plan
from policies.batching.full_offload import FullOffload
from policies.batching.neo import Neo
from policies.tools.always import Always
from sim.core.run import run as run_config
from sim.hardware.faults import Fault
from sim.serving.clients import OpenLoop
from sim.serving.facts import Iterations, StageDone, Swapped
from sim.serving.law_check import LawCheck
from workloads.arrivals import TraceTimes
from workloads.demand import Call, Demand

KV_BYTES = STEEP.kv_bytes * STEEP.layers
BLOCK = 4
FAILED = Fault(time_s=0.05, target="node0/gpu0", kind="fail", duration_s=0.01)
Requests = Sequence[tuple[float, int, int]]
CROWD = [(0.002 * (i % 7), 8 + 11 * i % 40, 3 + 7 * i % 23) for i in range(24)]
CROWD.sort()
#: As `STEEP`, beside a host that is slower than NEO's profile says.
LIKE_STEEP = {"gemm_compute": 2e-3, "kernel_s": 1e-6}
SLOWER = offload_cost(host_attention(reach=0.05), **LIKE_STEEP)
POLICIES = {
    "neo": partial(Neo, times(STEEP, launch_s=0.0), saturation_tokens=8),
    "balanced": partial(FullOffload, times(STEEP)),
    "symmetric": partial(FullOffload, times(STEEP), halving="symmetric"),
    "none": partial(FullOffload, times(STEEP), halving="none"),
}


def ask(
    requests: Requests,
    policy: str = "neo",
    *,
    stages: bool | None = None,
    kv_blocks: int = 30,
    host_blocks: int = 400,
    **changes: Any,
) -> Outcome:
    """A system with a host, whose link carries what the cost model says."""
    limits = {
        "max_sequences": 24,
        "max_batch_tokens": 96,
        "block_tokens": BLOCK,
        "kv_blocks": kv_blocks,
        "host_swap_bytes": host_blocks * BLOCK * KV_BYTES,
        "stage_events": stages,
    }
    figures: dict[str, Any] = {
        "cost": STEEP.cost,
        "offload": STEEP,
        "kv_bytes_per_token": KV_BYTES,
        "link_bytes_per_s": 1e9,
        "batching": POLICIES[policy],
        "engine": limits | changes.pop("engine", {}),
        "log": [*FACTS, StageDone],
        "observers": [LawCheck()],
    }
    return simulate(requests, **figures | changes)


traces = st.lists(
    st.tuples(st.floats(0.0, 0.2, allow_subnormal=False), st.integers(1, 60), st.integers(1, 40)),
    min_size=1,
    max_size=24,
).map(sorted)


def _near(left: Outcome, right: Outcome) -> None:
    """The same to float error."""
    for a, b in zip(left.rows, right.rows, strict=True):
        for key, value in a.items():
            close = pytest.approx(b[key], rel=1e-9) if isinstance(value, float) else b[key]
            assert value == close, key
    figures, others = dict(left.result.summary), dict(right.result.summary)
    assert figures.keys() == others.keys()
    for key, value in figures.items():
        if key != "facts":
            number = isinstance(value, float)
            assert value == (pytest.approx(others[key], rel=1e-9) if number else others[key]), key


@settings(max_examples=30)
@given(traces, st.sampled_from(sorted(POLICIES)), st.integers(26, 60), st.sampled_from([30, 400]))
def test_stage_by_stage_is_the_closed_form(
    requests: Requests, policy: str, kv_blocks: int, host_blocks: int
) -> None:
    """Where nobody else wants the host: every request, every figure, and the KV of the series."""
    runs = [
        ask(
            requests,
            policy,
            stages=stages,
            kv_blocks=-(-kv_blocks * 4 // 3),
            host_blocks=host_blocks,
            series_interval_s=0.05,
        )
        for stages in (True, False)
    ]
    _near(*runs)
    for one, other in zip(*(run.table("series") for run in runs), strict=True):
        for key in ("running", "waiting", "kv_blocks", "output_tokens"):
            assert one[key] == other[key]
        # Within an iteration the closed form draws its mean power.
        assert one["energy_j"] == pytest.approx(other["energy_j"], abs=350.0 * 0.02)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_stages_are_told_alike(policy: str) -> None:
    runs = [ask(CROWD, policy, stages=stages) for stages in (True, False)]
    told = [run.log.of(StageDone) for run in runs if run.log]
    assert len(told[0]) == len(told[1]) > 50
    for one, other in zip(*told, strict=True):
        assert one.name == other.name
        for key in ("start_s", "end_s", "gpu_end_s", "host_end_s", "copy_end_s"):
            assert getattr(one, key) == pytest.approx(getattr(other, key), rel=1e-9)


def test_iterations_last_what_the_cost_model_says() -> None:
    """Each, by the sub-batches that took part, counted from the facts alone for full offload in
    one batch, where all of them are known."""
    run = ask([(0.0, 9, 20), (0.0, 30, 15)], "none")
    assert run.log is not None
    facts = run.log.of(Iterations)
    assert [f.host_decodes for f in facts] == [0, *[2] * 14, *[1] * 5]
    assert [f.host_context_tokens for f in facts[1:15]] == [9 + 30 + 2 + 2 * i for i in range(14)]
    for fact in facts[1:]:
        batch = SubBatch(
            (), 0, 0, fact.host_decodes, fact.host_context_tokens, 0, fact.host_decodes
        )
        seconds = STEEP.totals(batch, SubBatch()).seconds
        assert fact.end_s - fact.start_s == pytest.approx(seconds)


def test_gpus_are_busy_with_their_work_alone() -> None:
    """The utilisation law: time at work is the work, whatever the host makes GPUs wait."""
    requests = [(0.0, 9, 20), (0.0, 30, 15)]
    busy, waits = [], []
    for host in (SLOWER, offload_cost(host_attention(reach=0.02), **LIKE_STEEP)):
        run = ask(requests, "none", offload=host)
        assert run.log is not None
        prompts, *split = run.log.of(Iterations)
        work_s = prompts.end_s - prompts.start_s
        for fact in split:
            first = SubBatch(
                (), 0, 0, fact.host_decodes, fact.host_context_tokens, 0, fact.host_decodes
            )
            stages = list(host.iteration(first, SubBatch()))
            work_s += sum(stage.gpu_s for stage in stages)
        lasted_s = run.result.number("simulated_s")
        assert run["gpu_busy_share"] * lasted_s == pytest.approx(work_s, rel=1e-9)
        assert run["offload.gpu_wait_share"] * lasted_s == pytest.approx(lasted_s - work_s)
        busy.append(work_s)
        waits.append(lasted_s - work_s)
    assert busy[0] == pytest.approx(busy[1], rel=1e-9)
    assert waits[1] > 1.5 * waits[0] > 0.0


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("changes", [{}, {"until_s": 0.3}, {"replicas": 2}, {"faults": [FAILED]}])
def test_gpus_wait_from_the_end_of_their_part_to_that_of_the_stage(
    policy: str, changes: dict[str, Any]
) -> None:
    run = ask(CROWD, policy, stages=True, offload=SLOWER, **changes)
    assert run.log is not None
    capacity_s = run.result.number("simulated_s") * len(run.serving.replicas)
    stages = run.log.of(StageDone)
    waits_s = sum(stage.end_s - stage.gpu_end_s for stage in stages)
    told_s = run["offload.gpu_wait_share"] * capacity_s
    cut = "until_s" in changes or "faults" in changes
    assert 0.0 < waits_s <= told_s + 1e-12
    if not cut:
        assert told_s == pytest.approx(waits_s, rel=1e-9)
    else:
        assert told_s - waits_s <= max(stage.end_s - stage.start_s for stage in stages)
    shares = [run[f"gpu_time_share.{phase}"] for phase in ("prefill", "mixed", "decode")]
    assert run["gpu_busy_share"] == pytest.approx(sum(shares), rel=1e-9)
    assert min(shares) >= 0.0


class Counted:
    """A policy, and what each of its iterations lasts of which the host has a part, or which has KV
    on its way there: the plan's requests are counted one by one."""

    layer_buffer = True

    def __init__(self, policy: Any, cost: OffloadCost, expected: list[tuple[float, float]]) -> None:
        self.policy, self.cost, self.expected = policy, cost, expected

    def plan(self, view: Any, now_s: float) -> Plan:
        assert list(view.hosted_reads) == [request.kv_tokens + 1 for request in view.hosted]
        plan: Plan = self.policy.plan(view, now_s)
        offload = plan.offload
        if offload is None or not (offload.split or offload.to_host):
            return plan
        prompts = [(request.kv_tokens, tokens) for request, tokens in plan.chunks]
        gone = {*(request for request, _ in plan.preempt), *offload.out}
        here = [r for r in view.running if r not in gone] + [*offload.back, *plan.resume]
        there = {r for r in view.hosted if r not in {*gone, *offload.back}} | {*offload.out}
        beside = there & {*offload.beside}
        rest = there - beside - {*offload.aside}
        if not offload.split:
            beside, rest = set(), set()

        def read(requests: Iterable[Any]) -> int:
            return sum(request.kv_tokens + 1 for request in requests)

        first = SubBatch(
            prompts,
            len(here),
            read(here),
            len(beside),
            read(beside),
            sum(request.prefill_tokens for request in offload.to_host),
            len(prompts) + len(here) + len(beside),
        )
        second = SubBatch((), 0, 0, len(rest), read(rest), 0, len(rest))
        seconds = (
            self.cost.totals(first, second).seconds
            if offload.split
            else self.cost.step_on_gpus(first).step(0)
        )
        self.expected.append((now_s, seconds))
        return plan


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_iterations_cost_what_their_requests_come_to(policy: str) -> None:
    """Over a link so slow that KV of prompts on its way to the host holds iterations up."""
    cost = offload_cost(
        host_attention(reach=1.0, link=link_spec(1e7)),
        gemm_compute=2e-3,
        kernel_s=1e-6,
        launch_per_layer_s=0.0,
    )
    expected: list[tuple[float, float]] = []
    run = ask(
        CROWD,
        cost=cost.cost,
        offload=cost,
        link_bytes_per_s=1e7,
        batching=lambda: Counted(POLICIES[policy](), cost, expected),
    )
    assert run.log is not None
    facts = run.log.of(Iterations)
    assert len(expected) > 20
    for now_s, seconds in expected:
        fact = next(fact for fact in facts if fact.start_s >= now_s)
        assert fact.end_s - fact.start_s == pytest.approx(seconds, rel=1e-9)


class Stalls:
    """Counts, at the end of every iteration, who was on the host and made no token."""

    count = 0

    def attach(self, simulation: Any) -> None:
        self.simulation = simulation
        simulation.facts.subscribe(Iterations, self.on_iterations)

    def on_iterations(self, fact: Iterations) -> None:
        (serving,) = self.simulation.systems
        here = serving.replicas[fact.replica].host.size
        self.count += here * fact.steps - fact.host_decodes

    def finish(self, results: Any) -> None:
        pass


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("changes", [{}, {"until_s": 0.1}, {"replicas": 2}, {"faults": [FAILED]}])
def test_who_sits_out_is_counted(policy: str, changes: dict[str, Any]) -> None:
    stalls = Stalls()
    run = ask(CROWD, policy, observers=[stalls], engine={"max_sequences": 6}, **changes)
    assert run["offload.stalled"] == stalls.count > 0


@settings(max_examples=40)
@given(traces, st.sampled_from(sorted(POLICIES)), st.integers(26, 60))
def test_who_takes_part_gains_a_token(requests: Requests, policy: str, kv_blocks: int) -> None:
    """Tokens made are those of prompts, decodes and host decodes; no iteration has moves of both
    directions before it; requests in the system follow Little's law exactly."""
    area, last, here = 0.0, 0.0, 0

    def watch(simulation: Any, serving: Any) -> None:
        nonlocal area, last, here
        area += here * (simulation.now - last)
        last, here = simulation.now, serving.gateway.unfinished()

    run = ask(requests, policy, kv_blocks=-(-kv_blocks * 4 // 3), after_event=watch)
    assert run.log is not None
    facts = run.log.of(Iterations)
    made = sum(f.steps * f.decodes + f.host_decodes for f in facts)
    prompts = sum(1 + row["preemptions"] for row in run.rows if row["recomputed_tokens"])
    prompts += sum(not row["recomputed_tokens"] for row in run.rows)
    assert made + len(run.rows) <= run["output_tokens"] <= made + prompts
    for swap in run.log.of(Swapped):
        assert not (swap.out_bytes and swap.in_bytes)
    assert area == pytest.approx(sum(run.column("e2e_latency_s")), rel=1e-9)
    replica = run.serving.replicas[0]
    assert replica.host.size == replica.pool.used == replica.swap.pool.used == 0


def test_the_same_seed_is_the_same_schedule() -> None:
    for policy in POLICIES:
        one, other = (ask(CROWD, policy) for _ in range(2))
        assert one.log is not None
        assert other.log is not None
        assert one.log.of(Iterations) == other.log.of(Iterations)
        assert one.rows == other.rows


@pytest.mark.parametrize("policy", ["neo", "balanced"])
@pytest.mark.parametrize("stages", [True, False])
def test_a_gpu_may_fail_at_any_moment(policy: str, stages: bool) -> None:
    """Within every stage in turn: all is computed again, and no law is broken."""
    calm = ask(CROWD, policy, stages=stages)
    assert calm.log is not None
    dates = sorted({fact.end_s for fact in calm.log.of(StageDone)})
    dates = [0.5 * (a + b) for a, b in pairwise(dates)]
    for date in dates[:: len(dates) // 25]:
        fault = Fault(time_s=date, target="node0/gpu0", kind="fail", duration_s=0.01)
        run = ask(CROWD, policy, stages=stages, faults=[fault])
        assert run["requests_finished"] == len(CROWD)
        assert run["recomputed_tokens"] > 0
        assert run.simulation.now > date + 0.01
        left = ask(CROWD, policy, stages=stages, until_s=date)
        assert left["requests_unfinished"] > 0


@pytest.mark.parametrize("policy", ["neo", "balanced"])
def test_a_host_that_fails_begins_its_part_anew(policy: str) -> None:
    """The GPUs wait for it: nothing is lost but time, about as much as it was away."""
    calm = ask(CROWD, policy, stages=True)
    assert calm.log is not None
    stages = [f for f in calm.log.of(StageDone) if f.host_end_s > f.start_s]
    for stage in stages[:: len(stages) // 15]:
        date = 0.5 * (stage.start_s + stage.host_end_s)
        fault = Fault(time_s=date, target="node0/cpu", kind="fail", duration_s=0.01)
        run = ask(CROWD, policy, stages=True, faults=[fault])
        assert run["requests_finished"] == len(CROWD)
        assert run["recomputed_tokens"] == calm["recomputed_tokens"]
        assert run.log is not None
        hit = next(f for f in run.log.of(StageDone) if f.end_s > date)
        assert hit.start_s == stage.start_s
        assert hit.host_end_s == pytest.approx(date + 0.01 + stage.host_end_s - stage.start_s)


def test_a_host_that_is_away_is_waited_for_in_closed_form_too() -> None:
    """From the next iteration on, whose stages are then events."""
    fault = Fault(time_s=0.05, target="node0/cpu", kind="fail", duration_s=1.0)
    run = ask(CROWD, "balanced", stages=False, faults=[fault])
    assert run.log is not None
    assert 1.05 < max(run.column("finish_s")) < 1.4
    assert sum(0.06 < f.end_s < 1.05 for f in run.log.of(Iterations)) == 0


def test_slow_gpus_do_not_slow_the_host() -> None:
    """Bound by the host, half the speed of the GPUs changes little; bound by them it doubles."""
    slow_host = offload_cost(host_attention(reach=0.01), host_s=0.0)
    fault = Fault(time_s=0.0, target="node0/gpu0", kind="slow", speed=0.5, duration_s=1e3)
    requests = [(0.001, 40, 20)] * 8
    for cost, least, most in ((slow_host, 1.0, 1.5), (STEEP, 1.7, 2.01)):
        calm, slow = (
            ask(requests, "none", offload=cost, stages=False, faults=faults)
            for faults in ((), [fault])
        )
        assert least <= slow.simulation.now / calm.simulation.now <= most


@pytest.mark.parametrize("handling", ["preserve", "swap", "discard"])
@pytest.mark.parametrize("stages", [True, False])
def test_a_request_on_the_host_may_call_a_tool(handling: str, stages: bool) -> None:
    """Its KV is in host memory already: keeping it is swapping it, without a byte moved out."""
    demands = [Demand(20, 12, 0.0, "", (Call(5, 0.05, 3),)) for _ in range(4)]
    client = OpenLoop(Listed(demands), TraceTimes())
    run = ask([], "balanced", stages=stages, client=client, tools=partial(Always, handling))
    assert run["requests_finished"] == 4
    assert run["recomputed_tokens"] == (4 * 24 if handling == "discard" else 0)
    assert run.result.summary["serving.calls.swap"] == (0 if handling == "discard" else 4)
    assert run.result.summary["serving.calls.preserve"] == 0


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_two_replicas_of_two_gpus(policy: str) -> None:
    runs = [
        ask(CROWD, policy, stages=stages, replicas=2, gpus=2, mode=mode)
        for stages in (None, False)
        for mode in ("jump", "step")
    ]
    for run in runs[1:]:
        _near(run, runs[0])
    assert Counter(runs[0].column("replica")) == {0: 12, 1: 12}


class Tenant:
    """Another system on the node's host: it wants a share of the memory's bandwidth, always."""

    def __init__(self, share: float) -> None:
        self.name = "tenant"
        self._share = share

    def start(self, simulation: Any) -> None:
        self.cpu = simulation.cluster.nodes[0].cpu
        bandwidth = self.cpu.spec.memory_bandwidth_bytes_per_s
        self.load = self.cpu.load(
            bandwidth_wanted_bytes_per_s=self._share * bandwidth, tenant=self.name
        )

    def done(self) -> bool:
        return True

    def snapshot(self) -> dict[str, object]:
        return {}

    def finish(self, results: Any) -> None:
        results.figure("tenant.read_bytes", self.load.read_bytes)


def _with_tenant(requests: Requests, policy: str, reach: float, share: float | None) -> Any:
    cost = offload_cost(
        host_attention(reach=reach), gemm_compute=2e-3, kernel_s=1e-6, launch_per_layer_s=0.0
    )
    simulation, _, _ = build(
        requests,
        cost=cost.cost,
        offload=cost,
        kv_bytes_per_token=KV_BYTES,
        link_bytes_per_s=1e9,
        batching=POLICIES[policy],
        engine={
            "max_sequences": 24,
            "max_batch_tokens": 96,
            "block_tokens": BLOCK,
            "kv_blocks": 30,
            "host_swap_bytes": 400 * BLOCK * KV_BYTES,
        },
    )
    if share is not None:
        simulation.add(Tenant(share))
    simulation.run()
    simulation.finish()
    result = simulation.results.close({}, {})
    rows = result._tables["requests"].sort_by("id").to_pylist()
    return [row["finish_s"] for row in rows], result, simulation


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_tenant_takes_its_share_of_the_host(policy: str) -> None:
    """One that wants all of the bandwidth gets half while NEO reads: NEO is as slow as on a host of
    half the bandwidth, and the tenant lacks what NEO has read."""
    alone, _, _ = _with_tenant(CROWD, policy, 1.0, None)
    shared, result, simulation = _with_tenant(CROWD, policy, 1.0, 1.0)
    on_half, _, _ = _with_tenant(CROWD, policy, 0.5, None)
    assert shared == pytest.approx(on_half, rel=1e-9)
    assert max(shared) > max(alone)
    cpu = simulation.cluster.nodes[0].cpu
    everything = cpu.spec.memory_bandwidth_bytes_per_s * simulation.now
    assert cpu.read_bytes == pytest.approx(everything)
    tenants = result.number("tenant.read_bytes")
    assert 0.3 * everything < tenants < 0.999 * everything


def test_a_tenant_that_wants_what_is_left_slows_nobody() -> None:
    alone, _, _ = _with_tenant(CROWD, "neo", 0.5, None)
    beside, _, _ = _with_tenant(CROWD, "neo", 0.5, 0.5)
    assert beside == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=neo_t4", "workload.count=40", "arrivals.rate_rps=2.5"],
        ["experiment=neo_a10g", "workload.count=50", "output_tokens=30"],
        ["experiment=neo_h100", "workload.count=30", "output_tokens=9", "batching=full_offload"],
    ],
    ids=["t4", "a10g", "h100"],
)
def test_on_real_machines_stages_are_the_closed_form(words: list[str]) -> None:
    """Over the switches and links of real nodes, and in the energy of all devices."""
    staged, closed = (
        run_config(compose([*words, f"engine.stage_events={each}"])).summary
        for each in ("true", "false")
    )
    assert closed["serving.offload.iterations"] > 3
    assert staged == pytest.approx(closed, rel=1e-9)


def test_low_load_on_the_t4() -> None:
    """A request by itself takes its prefill and (o - 1) iterations of one token, of about 59 ms."""
    words = ["experiment=neo_t4", "workload.count=5", "arrivals.rate_rps=0.001"]
    run = run_config(compose([*words, "batching=swiftllm"]))
    assert run["serving.tpot_s.mean"] == pytest.approx(0.059, rel=0.03)
    assert run["serving.queue_s.max"] < 1e-9
    same = run_config(compose(words))
    assert same["serving.tpot_s.mean"] == pytest.approx(run["serving.tpot_s.mean"], rel=1e-12)
