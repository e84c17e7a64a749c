"""Entries that move while packets come: whether a packet or an update is lost or out of place, and
how long it takes."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from experiments.reproduce.accepted import Band, Finding
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.plans import AGILIO
from experiments.reproduce.papers.cora.points import parts, program
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers
from models.network_functions.plan import Plan, plan
from models.network_functions.traffic import TrafficProfile
from policies.partition.contract import Decision, PartitionView
from sim.core.simulation import Simulation
from sim.dataplane.dataplane import DataPlane
from sim.dataplane.facts import FlowMoved, PacketLeft
from sim.hardware.cluster import Cluster, NodeCount
from workloads.packets.zipf_flows import ZipfFlows

SEEDS = (1, 2, 3)
#: Flows at the NIC, one number after the other, and seconds between.
NUMBERS, EVERY_S = (200.0, 4000.0, 50.0, 2000.0, 500.0, 6000.0, 100.0), 12e-3
#: Flows that leave the NIC in one go.
LEAVING = (500, 2000, 8000)
_LEFT = 50.0
_FLOWS, _RATE = 10_000.0, 1e6
#: Of the times at which packets came, taken from when they left.
_ROUNDING_S = 1e-12


class OneAfterTheOther:
    """Plans by hand: the next at each decision, then the last stays."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = list(plans)

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        return Decision(plan=self._plans.pop(0) if self._plans else None)


class Moved(NamedTuple):
    """What became of packets and entries of a run: flows moved, packets held, packets that left,
    packets processed where their flow's entries were not, packets behind a later one of their flow,
    updates that flows' entries lack, packets dropped."""

    flows: int
    held: int
    packets: int
    misrouted: int
    reordered: int
    lost: int
    dropped: int


class Observed:
    """A run of NAT with packets, flows and moves as they were."""

    def __init__(self, numbers: Sequence[float], until_s: float, seed: int) -> None:
        nat = program("nat")
        traffic = TrafficProfile(
            flows=_FLOWS,
            zipf_exponent=0.6,
            packets_per_flow=40.0,
            packet_bytes=256.0,
            rate_pps=_RATE,
        )
        found = parts(AGILIO)
        self.system = DataPlane(
            program=nat,
            packets=ZipfFlows(traffic, limit=int(until_s * _RATE)),
            traffic=traffic,
            partition=OneAfterTheOther([plan(nat, "SCS", number) for number in numbers]),
            stack=found["stack"],
            limits=found["queue_limits"],
            monitor=found["traffic_monitor"],
            steering="any",
            decide_s=EVERY_S,
        )
        simulation = Simulation(seed=seed, cluster=Cluster([NodeCount(found["node"])]))
        simulation.add(self.system)
        self.left: list[PacketLeft] = []
        self.moves: list[FlowMoved] = []
        simulation.facts.subscribe(PacketLeft, self.left.append)
        simulation.facts.subscribe(FlowMoved, self.moves.append)
        simulation.run()
        simulation.finish()

    def misrouted(self) -> int:
        """Packets of established flows that left from a side that did not have their entries: the
        side after their flow's last move, which before the first is the other one; a flow that
        never moves has one side."""
        ends: dict[int, list[float]] = defaultdict(list)
        sides: dict[int, list[bool]] = defaultdict(list)
        for move in self.moves:
            ends[move.flow].append(move.end_s)
            sides[move.flow].append(move.to_nic)
        still: dict[int, bool] = {}
        wrong = 0
        for packet in self.left:
            if packet.kind not in ("EH", "EM"):
                continue
            there, flow = packet.kind == "EH", packet.flow
            if flow in ends:
                at = bisect_right(ends[flow], packet.time_s)
                owner = sides[flow][at - 1] if at else not sides[flow][0]
            else:
                owner = still.setdefault(flow, there)
            wrong += there is not owner
        return wrong

    def reordered(self) -> int:
        """Packets that left after one of their flow that had come later."""
        last: dict[int, float] = {}
        behind = 0
        for packet in self.left:
            came_s, before_s = packet.time_s - packet.latency_s, last.get(packet.flow, 0.0)
            behind += came_s < before_s - _ROUNDING_S
            last[packet.flow] = max(came_s, before_s)
        return behind

    def lost(self) -> int:
        """Updates that the entries of flows that go on should have more of, or less."""
        path = self.system.path
        packets = Counter(packet.flow for packet in self.left)
        alive = set(packets) - path.counts.over
        return sum(abs(packets[flow] - path.entries.read(flow)) for flow in alive)


def move_both_ways(seed: int) -> Moved:
    """Flows at the NIC go up and down, while flows end and begin."""
    run = Observed(NUMBERS, EVERY_S * (len(NUMBERS) + 1), seed)
    return Moved(
        flows=len(run.moves),
        held=sum(move.held for move in run.moves),
        packets=len(run.left),
        misrouted=run.misrouted(),
        reordered=run.reordered(),
        lost=run.lost(),
        dropped=run.system.path.counts.all_dropped,
    )


def leave(task: tuple[int, int]) -> tuple[float, float]:
    """Seconds in which so many flows leave the NIC, and those that the insertion channel needs for
    their entries at least."""
    flows, seed = task
    run = Observed([flows + _LEFT, _LEFT], 2 * EVERY_S + 4e-6 * flows, seed)
    # Those of flows that begin and end meanwhile go through the same channel.
    ends = sorted(move.end_s for move in run.moves if move.start_s >= EVERY_S - 1e-9)
    entries = run.system.path.entries_per_flow * flows
    nic = parts(AGILIO)["node"].smartnic
    return ends[flows - 1] - EVERY_S, entries / nic.inserts_per_s


def study(workers: Workers) -> list[Moved]:
    """Moves both ways, by seed."""
    return workers.map(move_both_ways, SEEDS)


def leaving(workers: Workers) -> dict[int, list[tuple[float, float]]]:
    """Times by flows that leave and seed."""
    tasks = [(flows, seed) for flows in LEAVING for seed in SEEDS]
    found = workers.map(leave, tasks)
    count = len(SEEDS)
    return {flows: found[i * count : (i + 1) * count] for i, flows in enumerate(LEAVING)}


MOVES, LEAVES = Study("moves", study), Study("flows that leave", leaving)


def _sum(found: list[Moved], of: str) -> Estimate:
    return Estimate.exact(sum(getattr(moved, of) for moved in found))


def _counts(found: list[Moved]) -> dict[str, Estimate]:
    return {
        name: mean_interval([getattr(moved, of) for moved in found])
        for name, of in (
            ("flows moved", "flows"),
            ("packets held meanwhile", "held"),
            ("packets", "packets"),
        )
    }


def _ratios(found: dict[int, list[tuple[float, float]]]) -> dict[str, Estimate]:
    return {
        f"{flows:,} flows": mean_interval([took / least for took, least in times])
        for flows, times in found.items()
    }


def _least(found: dict[int, list[tuple[float, float]]]) -> Estimate:
    return Estimate.exact(min(took / least for times in found.values() for took, least in times))


_WHERE = "abstract: runtime"

CLAIMS: list[Claim[Any, Any]] = [
    *(
        Claim(
            id=f"moves-{of}",
            where=_WHERE,
            what=f"{what} in three runs of NAT in which the number of flows at the NIC goes up and "
            "down",
            published="0",
            accepted=Band(0.0, 0.0),
            study=MOVES,
            measure=partial(_sum, of=of),
        )
        for of, what in (
            ("misrouted", "packets of a flow processed where its entries were not"),
            ("reordered", "packets that left behind a later one of their flow"),
            ("lost", "updates of entries lost, or made twice,"),
            ("dropped", "packets dropped"),
        )
    ),
    Claim(
        id="moves",
        where=_WHERE,
        what="what there was of them, in a run",
        published="-",
        accepted=Finding(),
        study=MOVES,
        measure=_counts,
    ),
    Claim(
        id="moves-time",
        where=_WHERE,
        what="time in which flows leave the NIC over what the insertion channel takes for their "
        "entries, least of nine runs with 500 to 8,000 flows",
        published="at least n / R_ins",
        accepted=Band(low=1.0),
        study=LEAVES,
        measure=_least,
    ),
    Claim(
        id="moves-times",
        where=_WHERE,
        what="the same by flows",
        published="at least n / R_ins",
        accepted=Finding(),
        study=LEAVES,
        measure=_ratios,
    ),
]
