"""Host cores and memory bandwidth that a plan frees, as other tenants of the host feel them."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from experiments.reproduce.accepted import Band, Finding
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.plans import (
    AGILIO,
    BLUEFIELD,
    CORA,
    CPU_ONLY,
    WAYS,
    best_plans,
    traffic,
)
from experiments.reproduce.papers.cora.points import Case, Point, parts, program
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers
from policies.partition.fixed import Fixed
from policies.partition.goals import FewestCores
from sim.core.simulation import Simulation
from sim.dataplane.dataplane import DataPlane
from sim.hardware.cluster import Cluster, NodeCount
from sim.hardware.cpu import CpuLoad
from workloads.packets.zipf_flows import ZipfFlows

SEEDS = (1, 2, 3)
#: Functions by NIC, at 80 % of its line with flows of 80 packets.
PLACES = ((AGILIO, "ipsec_gateway"), (AGILIO, "nat"), (BLUEFIELD, "upf"))
_BURST, _UNTIL_S, _FROM_S = 16, 10e-3, 1e-3
#: Work of the other tenant, which could use all cores.
_CORE_SECONDS = 0.12


class Shared(NamedTuple):
    """Cores that another tenant of the host has on average until its work is done, and those that
    packets have at the end; bytes a second of memory that a third has, which wants all, and those
    that packets move."""

    cores: float
    own_cores: float
    bytes_per_s: float
    own_bytes_per_s: float


def beside(task: tuple[Point, int]) -> Shared:
    """Packets, work on all cores and a reader of memory on one host."""
    point, seed = task
    found, shared = parts(point.nic), parts(AGILIO)
    system = DataPlane(
        program=program(point.program),
        packets=ZipfFlows(point.profile, burst=_BURST),
        traffic=point.profile,
        partition=Fixed(point.sides, point.offloaded, point.at_host),
        stack=shared["stack"],
        limits=shared["queue_limits"],
        monitor=shared["traffic_monitor"],
        burst=_BURST,
        steering="any",
    )
    cluster = Cluster([NodeCount(found["node"])])
    simulation = Simulation(seed=seed, until_s=_UNTIL_S, cluster=cluster)
    simulation.add(system)
    took: list[float] = []
    loads: list[CpuLoad] = []

    def begin(_: object) -> None:
        cpu = cluster.nodes[0].cpu
        task = cpu.task(
            core_seconds=_CORE_SECONDS, cores_wanted=float(cpu.spec.cores), tenant="other"
        )
        assert task.callbacks is not None
        task.callbacks.append(lambda _: took.append(simulation.now - _FROM_S))
        wanted = cpu.spec.memory_bandwidth_bytes_per_s
        loads.append(cpu.load(bandwidth_wanted_bytes_per_s=wanted, tenant="reader"))

    simulation.at(_FROM_S, begin)
    simulation.run()
    simulation.finish()
    (load,) = loads
    return Shared(
        _CORE_SECONDS / took[0],
        float(system.provision.count),
        load.read_bytes / (_UNTIL_S - _FROM_S),
        system.carrier.totals(_UNTIL_S).memory_bytes / _UNTIL_S,
    )


#: By NIC, program and way, for each seed.
Beside = dict[tuple[str, str, str], list[Shared]]


def study(workers: Workers) -> Beside:
    """The best plan of each way."""
    points = {}
    for nic, name in PLACES:
        case = Case(name, nic, traffic(nic))
        for way, cost in best_plans(case, FewestCores()).items():
            points[nic, name, way] = case.under(cost.plan)
    tasks = [(point, seed) for point in dict.fromkeys(points.values()) for seed in SEEDS]
    found = dict(zip(tasks, workers.map(beside, tasks), strict=True))
    return {key: [found[point, seed] for seed in SEEDS] for key, point in points.items()}


def _cores(found: Beside, place: tuple[str, str]) -> dict[str, Estimate]:
    return {
        way: mean_interval([each.cores for each in found[(*place, way)]])
        for way in WAYS
        if (*place, way) in found
    }


def _more(found: Beside) -> dict[str, Estimate]:
    """Percent more for the other tenant under Cora's plan."""
    values = {}
    for nic, name in PLACES:
        runs = zip(found[nic, name, CORA], found[nic, name, CPU_ONLY], strict=True)
        values[f"{name}, {nic}"] = mean_interval(
            [100.0 * (a.cores / b.cores - 1.0) for a, b in runs]
        )
    return values


def _apart(found: Beside) -> Estimate:
    """Furthest that the other's cores are from 32 less those of the packets, in cores."""
    whole = float(parts(AGILIO)["node"].host_cpu.cores)
    by_seed = zip(*found.values(), strict=True)
    return mean_interval(
        [
            round(max(abs(each.cores - (whole - each.own_cores)) for each in runs), 9)
            for runs in by_seed
        ]
    )


def _memory(found: Beside) -> Estimate:
    """Least share of what packets leave of the memory's bandwidth that the reader has."""
    whole = parts(AGILIO)["node"].host_cpu.memory_bandwidth_bytes_per_s
    by_seed = zip(*found.values(), strict=True)
    return mean_interval(
        [
            100.0 * min(each.bytes_per_s / (whole - each.own_bytes_per_s) for each in runs)
            for runs in by_seed
        ]
    )


def _moved(found: Beside) -> dict[str, Estimate]:
    """GB/s of memory that packets move, by NIC, program and way."""
    return {
        f"{name}, {nic}, {way}": mean_interval([each.own_bytes_per_s / 1e9 for each in runs])
        for (nic, name, way), runs in found.items()
    }


TENANTS = Study("another tenant", study)
_WHERE = "abstract: saves CPU cores"

CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="tenant-cores",
        where=_WHERE,
        what="furthest that the cores which another tenant of the host gets are from 32 less "
        "those that packets need, twelve plans",
        published="0: what is saved is free for others",
        accepted=Band(high=0.05),
        study=TENANTS,
        measure=_apart,
        unit="cores",
    ),
    Claim(
        id="tenant-gain",
        where=_WHERE,
        what="how much faster another tenant on all cores is under Cora's plan than with all "
        "packets at the host",
        published="-",
        accepted=Finding(),
        study=TENANTS,
        measure=_more,
        unit="%",
    ),
    Claim(
        id="tenant-memory",
        where=_WHERE,
        what="least part of the memory bandwidth that packets leave which a tenant gets that "
        "reads all it can, twelve plans",
        published="100: what is not used is free for others",
        accepted=Band(low=99.5, high=100.5),
        study=TENANTS,
        measure=_memory,
        unit="%",
    ),
    Claim(
        id="packets-memory",
        where=_WHERE,
        what="memory bandwidth of the host that packets take meanwhile, of 128 GB/s",
        published="-",
        accepted=Finding(),
        study=TENANTS,
        measure=_moved,
        unit="GB/s",
        note="Packets themselves go through the last cache; what moves are entries of tables that "
        "miss it",
    ),
    *(
        Claim(
            id=f"tenant-{name}",
            where=_WHERE,
            what=f"cores that another tenant gets, {name} on {nic}, by way to cut",
            published="-",
            accepted=Finding(),
            study=TENANTS,
            measure=partial(_cores, place=(nic, name)),
            unit="cores",
        )
        for nic, name in PLACES
    ),
]
