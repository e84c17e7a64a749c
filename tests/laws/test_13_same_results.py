"""Laws that compare two runs, and one run with a calculation by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scenarios import TIGHT, HostBoundCost, Scenario, offloading_policies, policies, scenarios
from serving_kit import Listed, Outcome, node_spec, simulate

from models.constant_cost import ConstantCost, LinearCost
from models.served import ServedByFormula
from sim.core.result import Result
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.hardware.faults import Fault
from sim.serving.clients import OpenLoop
from sim.serving.facts import RequestArrived
from sim.serving.law_check import LawCheck
from sim.serving.limits import EngineLimits
from sim.serving.serving import Serving
from workloads.arrivals import TraceTimes
from workloads.demand import Demand

MODES = st.sampled_from(["jump", "step"])


@given(scenarios(), MODES)
def test_law_13_observers_change_nothing(scenario: Scenario, mode: str) -> None:
    """Every metric that both runs have, and the requests, are the same with each fact heard, laws
    checked and a series sampled, and without."""
    watched = scenario.run(mode, observers=[LawCheck()], series_interval_s=0.05)
    alone = scenario.run(mode, log=False, series_interval_s=None)
    assert watched.table("requests") == alone.table("requests")
    assert alone.result.summary.items() <= watched.result.summary.items()


def test_law_13_timeline_changes_nothing() -> None:
    from experiments.compose import compose
    from sim.core.run import run

    small = ["workload.count=30", "arrivals.rate_rps=8"]
    off, on = (run(compose([*small, f"timeline={name}"])) for name in ("none", "perfetto"))
    assert on.table("requests").equals(off.table("requests"))
    assert off.summary.items() <= on.summary.items()


@given(scenarios(), MODES)
def test_law_14_a_lazy_workload_is_an_eager_one(scenario: Scenario, mode: str) -> None:
    eager = scenario.run(mode, client=scenario.client(eager=True))
    lazy = scenario.run(mode)
    assert eager.result.summary == lazy.result.summary
    assert eager.table("requests") == lazy.table("requests")


def test_law_14_demands_are_taken_when_their_time_comes() -> None:
    """Never more than the next one ahead of the clock."""
    requests = [(float(number), 2, 1) for number in range(50)]
    workload = Listed([Demand(p, o, at) for at, p, o in requests])
    taken = []

    class Counter:
        def attach(self, simulation: Simulation) -> None:
            simulation.facts.subscribe(RequestArrived, lambda _: taken.append(workload.taken))

        def finish(self, results: Any) -> None:
            """Nothing to add."""

    simulate(client=OpenLoop(workload, TraceTimes()), observers=[Counter()])
    assert taken == [min(number + 2, 50) for number in range(50)]


SECONDS = ("arrival_s", "scheduled_s", "first_token_s", "finish_s", "ttft_s", "tpot_s",
           "e2e_latency_s", "queue_s")  # fmt: skip
RATIOS = ("iterations", "preemptions", "recomputed_tokens", "gpu_busy_share", "kv_occupancy.mean",
          "kv_occupancy.peak", "gpu_time_share.mixed", "output_tokens")  # fmt: skip


@given(scenarios(regions=False), MODES, st.sampled_from([0.5, 0.25, 4.0]))
def test_law_15_scaling_time_changes_no_ratio(scenario: Scenario, mode: str, scale: float) -> None:
    """All times times a power of two and all rates divided by it: each time scales by it, to the
    bit, and what has no dimension of time stays."""
    lines = {True: (1 / 64, 1 / 256, 1 / 2048), False: (0.01, 0.003, 0.0007)}
    line = lines[scenario.cost.endswith("dyadic")]
    kind: Any = HostBoundCost if scenario.cost == "host bound" else LinearCost
    # The factor of the smallest and the largest subnormal must not matter.
    times = [scenario.until_s or 0.0, *(at for at, _, _ in scenario.requests)]
    assume(all(at == 0.0 or at > 1e-100 for at in times))
    scaled = scenario.but(
        requests=tuple((at * scale, p, o) for at, p, o in scenario.requests),
        think_s=scenario.think_s * scale,
        frontend=(scenario.frontend[0] * scale, scenario.frontend[1] * scale),
        faults=tuple(_scaled(fault, scale) for fault in scenario.faults),
        caps=tuple((at * scale, gpu, share) for at, gpu, share in scenario.caps),
        until_s=None if scenario.until_s is None else scenario.until_s * scale,
        series_interval_s=0.25 * scale,
        call_scale=scale,
    )
    # What the waste-minimising policies weigh has fixed times of its own.
    assume(not scenario.calls or scenario.tools in ("preserve", "discard", "swap"))
    assume(not scenario.calls or not scenario.ordering.startswith(("lamps", "shortest_with")))
    # So have iterations in which the host has a part.
    assume(scenario.batching not in offloading_policies())
    one = scenario.run(mode, cost=kind(*line))
    other = scaled.run(
        mode, cost=kind(*(scale * figure for figure in line)), link_bytes_per_s=64.0 / scale
    )
    for key in SECONDS:
        expected = [None if value is None else scale * value for value in one.column(key)]
        assert other.column(key) == expected
    for key in ("status", "replica", "preemptions", "recomputed_tokens"):
        assert other.column(key) == one.column(key)
    summary, expected_summary = other.result.summary, one.result.summary
    for key in RATIOS:
        assert summary[f"serving.{key}"] == expected_summary[f"serving.{key}"]
    assert summary["energy_j"] == scale * one.result.number("energy_j")
    for sample, expected_sample in zip(other.table("series"), one.table("series"), strict=True):
        assert sample["time_s"] == scale * expected_sample["time_s"]
        assert sample["kv_blocks"] == expected_sample["kv_blocks"]


def _scaled(fault: Fault, scale: float) -> Fault:
    assert fault.duration_s is not None
    return Fault(
        time_s=fault.time_s * scale,
        target=fault.target,
        kind=fault.kind,
        speed=fault.speed,
        duration_s=fault.duration_s * scale,
    )


@pytest.mark.parametrize("mode", ["jump", "step"])
@pytest.mark.parametrize("batching", sorted(policies("batching")))
def test_law_16_one_request_on_an_empty_system_is_the_cost_model_by_hand(
    batching: str, mode: str
) -> None:
    """A prompt of 10 (in pieces of 4, 4 and 2 where it is chunked), then two decodes that read 11
    and 12 tokens; a line of 1 s, 0.1 s a token and 0.01 s a token read."""
    run = simulate(
        [(2.0, 10, 3)],
        cost=LinearCost(1.0, 0.1, 0.01),
        engine={"max_batch_tokens": 4, "host_swap_bytes": 16.0},
        batching=policies("batching")[batching],
        mode=mode,
    )
    pieces = [1.4, 1.4 + 0.04, 1.2 + 0.08] if "chunked" in batching else [2.0]
    (row,) = run.rows
    assert row["ttft_s"] == pytest.approx(sum(pieces), rel=1e-12)
    decodes = (1.1 + 0.11) + (1.1 + 0.12)
    assert row["e2e_latency_s"] == pytest.approx(sum(pieces) + decodes, rel=1e-12)
    assert row["tpot_s"] == pytest.approx(decodes / 2, rel=1e-12)
    assert row["queue_s"] == 0.0


@settings(max_examples=40)
@given(st.permutations(range(12)), st.sampled_from(sorted(policies("batching"))), MODES)
def test_law_17_the_order_of_equal_arrivals_does_not_matter_where_ranks_differ(
    order: list[int], batching: str, mode: str
) -> None:
    """Requests that arrive together in another order: shortest job first serves each as before,
    and whatever serves all at once does."""
    sizes = [(2 + 3 * number % 7, 1 + 2 * number) for number in range(12)]
    for ordering, slots in (("shortest_job_first", 3), ("shortest_remaining", 2), ("fcfs", 12)):
        base = TIGHT.but(
            ordering=ordering, batching=batching, max_sequences=slots, max_batch_tokens=64,
            kv_blocks=200 if ordering == "fcfs" else 30,
        )  # fmt: skip
        listed = base.but(requests=tuple((1.0, *size) for size in sizes)).run(mode)
        shuffled = base.but(requests=tuple((1.0, *sizes[number]) for number in order)).run(mode)
        assert _by_size(listed) == _by_size(shuffled)


def _by_size(run: Outcome) -> list[tuple[Any, ...]]:
    keys = ("output_tokens", "scheduled_s", "first_token_s", "finish_s", "preemptions")
    return sorted(tuple(row[key] for key in keys) for row in run.rows)


def test_law_17_equal_requests_differ_by_their_ids_alone() -> None:
    """Equal requests of different kinds at the same moment: the times go by place, not by kind."""
    kinds = ["a", "b", "c", "d", "e", "f"]
    runs = []
    for names in (kinds, kinds[::-1]):
        demands = [Demand(5, 9, 1.0, name) for name in names]
        client = OpenLoop(Listed(demands), TraceTimes())
        runs.append(
            simulate(client=client, cost=ConstantCost(0.1), engine={"max_sequences": 2}, replicas=2)
        )
    one, other = ([{**row, "kind": ""} for row in run.rows] for run in runs)
    assert one == other
    assert runs[0].column("kind") == runs[1].column("kind")[::-1]


@pytest.mark.parametrize("mode", ["jump", "step"])
def test_law_13_a_system_does_not_notice_another_beside_it(mode: str) -> None:
    """Two serving systems on GPUs of one cluster: each serves as it does alone."""

    def system(name: str) -> Serving:
        demands = [Demand(3 + n * 7 % 11, 1 + n * 5 % 9, 0.125 * n) for n in range(30)]
        return Serving(
            served=ServedByFormula(
                cost_model=ConstantCost(0.125),
                kv_tokens=24,
                context_tokens=100,
                kv_bytes_per_token=1.0,
            ),
            client=OpenLoop(Listed(demands), TraceTimes()),
            ordering=policies("ordering")["fcfs"],
            batching=policies("batching")["chunked_prefill-recompute"],
            routing=policies("routing")["least_outstanding"],
            engine=EngineLimits(block_tokens=2, max_batch_tokens=8, watermark=0.0),
            replicas=2,
            series_interval_s=0.5,
            name=name,
        )

    def run(*names: str) -> Result:
        simulation = Simulation(
            seed=3,
            mode=mode,  # type: ignore[arg-type]
            cluster=Cluster([NodeCount(node_spec(1), 4)]),
        )
        for name in names:
            simulation.add(system(name))
        simulation.run()
        simulation.finish()
        return simulation.results.close({}, {})

    alone, together = run("a"), run("a", "b")
    assert together.table("a_requests").equals(alone.table("a_requests"))
    # Its figures over time reach to the end of the run, which is that of the later system.
    assert together["a.iterations"] == alone["a.iterations"]
    assert together["a.preemptions"] == alone["a.preemptions"] > 0
    assert together["b.requests_finished"] == 30
