"""Few threads, which hide latency in part: two bounds, mean value analysis and the simulator."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from experiments.reproduce.accepted import Band, Finding, Order
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.points import parts, run_system
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers
from models.hardware.node_spec import NodeSpec
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import plan
from models.network_functions.program import Program
from models.network_functions.program_text import program
from models.network_functions.traffic import TrafficProfile
from policies.partition.fixed import Fixed

SEEDS = (1, 2, 3)
THREADS = (1, 2, 4, 8)
_PACKETS = 20_000
_SOURCE = {"states": "made up", "blocks": "made up"}
#: Cycles that a packet issues, and reads of 336 cycles that it waits for, on one core: all alike,
#: waiting 1.75 times what they issue; or two kinds, of which one waits and the other issues.
EVEN, UNEVEN = "all packets alike", "two kinds"
_KINDS = {EVEN: ((384.0, 2), (384.0, 2)), UNEVEN: ((300.0, 6), (3000.0, 1))}


class Rates(NamedTuple):
    """Packets a second: two bounds, mean value analysis, simulated by seed."""

    bounds: float
    mva: float
    simulated: list[float]


def made(kinds: str) -> Program:
    """A program in which established packets are of one kind, first and last ones of the other."""
    blocks = [
        {
            "name": f"work {classes}",
            "classes": classes,
            "cpu_cycles": 1,
            "npu_cycles": issue - 224.0 - 4.0 * reads,
            "uses": {classes: {"reads": reads}},
        }
        for classes, (issue, reads) in zip(("E", "NT"), _KINDS[kinds], strict=True)
    ]
    table = {"entry_bytes": 64, "entries": 4e6, "consistency": "ro"}
    states = dict.fromkeys(("E", "NT"), table)
    return program(name="threads", states=states, blocks=blocks, source=_SOURCE)


#: Half of the packets are first or last ones.
_PROFILE = TrafficProfile(
    flows=1e4, zipf_exponent=0.0, packets_per_flow=4.0, packet_bytes=60.0, rate_pps=1e6
)


def one_core(threads: int) -> NodeSpec:
    """The Agilio with one core of so many threads."""
    node: NodeSpec = parts("agilio-cx")["node"]
    assert node.smartnic is not None
    small = replace(node.smartnic, islands=1, cores_per_island=1, threads_per_core=threads)
    return replace(node, smartnic=small)


def predicted(kinds: str, threads: int, npu_model: str) -> float:
    """Highest rate by the model."""
    node = one_core(threads)
    assert node.smartnic is not None
    model = CostModel(
        program=made(kinds),
        profile=_PROFILE,
        nic=node.smartnic,
        cpu=node.host_cpu,
        stack=parts("agilio-cx")["stack"],
        npu_model=npu_model,
    )
    cost = model.cost(plan(model.program, "NN"))
    assert isinstance(cost, PlanCost)
    return 1.0 / cost.nic_s


def simulate(task: tuple[str, int, int]) -> float:
    """The rate with packets waiting all the time."""
    kinds, threads, seed = task
    figures = run_system(
        made(kinds),
        Fixed("NN"),
        _PROFILE,
        one_core(threads),
        duration_s=_PACKETS / predicted(kinds, threads, "asymptotic"),
        burst=1,
        window=threads + 64,
        seed=seed,
    )
    return figures["throughput_mpps"] * 1e6


def study(workers: Workers) -> dict[tuple[str, int], Rates]:
    """By kinds of packets and threads."""
    points = [(kinds, threads) for kinds in _KINDS for threads in THREADS]
    found = workers.map(simulate, [(*point, seed) for point in points for seed in SEEDS])
    count = len(SEEDS)
    return {
        point: Rates(
            predicted(*point, "asymptotic"),
            predicted(*point, "mva"),
            found[i * count : (i + 1) * count],
        )
        for i, point in enumerate(points)
    }


def _error(rates: Rates, of: str) -> Estimate:
    return mean_interval([100.0 * abs(getattr(rates, of) / one - 1.0) for one in rates.simulated])


def _errors(found: dict[tuple[str, int], Rates], kinds: str) -> dict[str, Estimate]:
    return {
        f"{threads} threads, {name}": mean_interval(
            [100.0 * (getattr(rates, of) / one - 1.0) for one in rates.simulated]
        )
        for threads in THREADS
        for rates in [found[kinds, threads]]
        for name, of in (("bounds", "bounds"), ("MVA", "mva"))
    }


def _closed(found: dict[tuple[str, int], Rates]) -> Estimate:
    rates = found[EVEN, 4]
    return Estimate.exact(rates.mva / rates.bounds)


def _compared(found: dict[tuple[str, int], Rates]) -> dict[str, Estimate]:
    rates = found[UNEVEN, 2]
    return {name: _error(rates, of) for name, of in (("two bounds", "bounds"), ("MVA", "mva"))}


def _worst_even(found: dict[tuple[str, int], Rates]) -> Estimate:
    return max((_error(found[EVEN, n], "bounds") for n in THREADS), key=lambda one: one.value)


THREAD_RATES = Study("few threads", study)
_WHERE = "not in the paper: latency hidden by threads"

CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="threads-mva",
        where=_WHERE,
        what="rate by mean value analysis over that of two bounds: four threads that wait 1.75 "
        "times what they issue",
        published="0.93",
        accepted=Band(0.925, 0.935),
        study=THREAD_RATES,
        measure=_closed,
    ),
    Claim(
        id="threads-even",
        where=_WHERE,
        what="worst error of two bounds where all packets are alike, one core of 1 to 8 threads",
        published="0: even work leaves no thread idle",
        accepted=Band(high=3.0),
        study=THREAD_RATES,
        measure=_worst_even,
        unit="%",
        note="Mean value analysis is of exponential times: too low by 7 % with four such threads",
    ),
    Claim(
        id="threads-uneven",
        where=_WHERE,
        what="error of the highest rate, two threads, where packets that issue much do not wait",
        published="two bounds are too high, mean value analysis is closer",
        accepted=Order("two bounds", "MVA"),
        study=THREAD_RATES,
        measure=_compared,
        unit="%",
    ),
    *(
        Claim(
            id=f"threads-{name}-all",
            where=_WHERE,
            what=f"error of the highest rate by threads and method, {kinds}",
            published="-",
            accepted=Finding(),
            study=THREAD_RATES,
            measure=partial(_errors, kinds=kinds),
            unit="%",
        )
        for name, kinds in (("even", EVEN), ("uneven", UNEVEN))
    ),
]
