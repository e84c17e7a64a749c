"""Traffic that changes: host cores over time under a plan that stays, one that follows, an
oracle's."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from experiments.reproduce.claim import Study
from experiments.reproduce.papers.cora.plans import AGILIO, traffic
from experiments.reproduce.papers.cora.points import parts, program
from experiments.reproduce.workers import Workers
from policies.partition.contract import Partition
from sim.core.simulation import Simulation
from sim.dataplane.dataplane import DataPlane
from sim.dataplane.facts import EpochEnded
from sim.hardware.cluster import Cluster, NodeCount
from workloads.packets.zipf_flows import Phase, ZipfFlows

SEEDS = (1, 2, 3)
PROGRAMS = ("nat", "upf")
STATIC, ADAPTIVE, ORACLE = POLICIES = ("static", "adaptive", "oracle")
#: The runtime where the data path knows which flows are popular, to tell what learning them costs.
KNOWN = "adaptive, flows known"
_CONFIGS = {STATIC: "cora_static", ADAPTIVE: "cora", ORACLE: "oracle", KNOWN: "cora"}
#: Seconds that each traffic lasts, and what becomes of it then.
LASTS_S = 10.0
CHANGES = ("Zipf 1.2 to 0.8", "L 80 to 10", "rate x 1.5", "top 10 % reshuffled")
SHORTER = 2


class Followed(NamedTuple):
    """A run, by epochs: their ends, busy host cores, cores provided, packets dropped and offered a
    second; and how many plans there were."""

    time_s: np.ndarray
    busy: np.ndarray
    cores: np.ndarray
    dropped_pps: np.ndarray
    offered_pps: np.ndarray
    plans: float

    def within(self, phase: int) -> np.ndarray:
        """Which epochs are of a traffic."""
        ends = LASTS_S * phase, LASTS_S * (phase + 1)
        return np.asarray((self.time_s > ends[0] + 1e-6) & (self.time_s < ends[1] + 1e-6))


#: By program and policy, for each seed.
Runs = dict[tuple[str, str], list[Followed]]


def phases() -> list[Phase]:
    """A skewed traffic of long flows; then each change on top of those before, but flows are long
    and skewed again when more of them come."""
    first = traffic(AGILIO, 80.0, 1.2)
    flat = replace(first, zipf_exponent=0.8)
    short = replace(flat, packets_per_flow=10.0)
    fast = replace(first, rate_pps=1.5 * first.rate_pps)
    later = (flat, short, fast, fast)
    return [
        Phase(LASTS_S * i, profile, 0.1 if i == len(later) else 0.0)
        for i, profile in enumerate((first, *later))
    ]


def policy(name: str) -> Partition:
    """A policy of the catalogue."""
    from experiments.compose import compose
    from sim.core.run import instantiate

    config = compose(["experiment=cora", f"partition={_CONFIGS[name]}"])
    made: Partition = instantiate("partition", config["partition"])
    return made


def follow(task: tuple[str, str, int]) -> Followed:
    """One run, in rates."""
    name, by, seed = task
    found = parts(AGILIO)
    every = phases()
    system = DataPlane(
        program=program(name),
        packets=ZipfFlows(every[0].profile, phases=every[1:]),
        traffic=every[0].profile,
        partition=policy(by),
        stack=found["stack"],
        limits=found["queue_limits"],
        monitor=found["traffic_monitor"],
        decide_s=1.0,
        learn=by in (STATIC, ADAPTIVE),
        informed=by == ORACLE,
        rates=True,
    )
    until_s = LASTS_S * len(every)
    simulation = Simulation(seed=seed, until_s=until_s, cluster=Cluster([NodeCount(found["node"])]))
    simulation.add(system)
    epochs: list[EpochEnded] = []
    simulation.facts.subscribe(EpochEnded, epochs.append)
    simulation.run()
    simulation.finish()
    columns = np.array(
        [[e.end_s, e.busy_cores, e.cores, e.dropped_pps, e.offered_pps] for e in epochs]
    ).T.astype(float)
    time_s, busy, cores, dropped, offered = columns
    return Followed(time_s, busy, cores, dropped, offered, float(system.runtime.plans))


def study(workers: Workers) -> Runs:
    """All programs and policies."""
    points = [(name, by) for name in PROGRAMS for by in POLICIES] + [(PROGRAMS[0], KNOWN)]
    found = workers.map(follow, [(*point, seed) for point in points for seed in SEEDS])
    count = len(SEEDS)
    return {point: found[i * count : (i + 1) * count] for i, point in enumerate(points)}


FOLLOWED = Study("changes", study)
