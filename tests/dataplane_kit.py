"""Small data paths for tests, from parts of the catalogue."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from network_function_kit import agilio, function, part

from models.hardware import CpuSpec, SmartNicSpec
from models.network_functions.plan import Plan
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile
from policies.partition.contract import Decision
from policies.partition.fixed import Fixed
from sim.core.simulation import Simulation
from sim.dataplane.dataplane import DataPlane
from sim.dataplane.facts import FlowMoved, PacketDropped, PacketLeft, PlanDecided
from sim.hardware.cluster import Cluster, NodeCount
from workloads.packets.zipf_flows import ZipfFlows


def profile(**changes: float) -> TrafficProfile:
    """Few flows, so that a run begins at once."""
    base = {
        "flows": 20_000.0,
        "zipf_exponent": 1.0,
        "packets_per_flow": 20.0,
        "packet_bytes": 256.0,
        "rate_pps": 10e6,
    }
    return TrafficProfile(**{**base, **changes})


class Scripted:
    """Plans in order, one at each decision; then the last stays."""

    def __init__(self, *plans: Plan, nodes: int = 0) -> None:
        self.plans = list(plans)
        self.nodes = nodes

    def decide(self, view: Any, now_s: float) -> Decision:
        if not self.plans:
            return Decision(nodes=self.nodes)
        return Decision(plan=self.plans.pop(0), nodes=self.nodes)


class Log:
    """All facts of packets and flows."""

    def __init__(self, burst: int = 1) -> None:
        self.burst = burst
        self.left: list[PacketLeft] = []
        self.dropped: list[PacketDropped] = []
        self.moved: list[FlowMoved] = []
        self.plans: list[PlanDecided] = []

    def attach(self, simulation: Simulation) -> None:
        for fact, kept in (
            (PacketLeft, self.left),
            (PacketDropped, self.dropped),
            (FlowMoved, self.moved),
            (PlanDecided, self.plans),
        ):
            simulation.facts.subscribe(fact, kept.append)

    def finish(self, results: Any) -> None:
        """Nothing to add."""

    def by_flow(self) -> Counter[int]:
        return Counter(fact.flow for fact in self.left)

    def check_order(self) -> None:
        """No packet of a flow left before one that came earlier."""
        last: dict[int, tuple[int, float]] = {}
        for fact in self.left:
            number, came_s = last.get(fact.flow, (-1, 0.0))
            assert fact.number > number, fact
            # Numbers are of the order in which they began their way, after they were held.
            now_s = fact.time_s - self.burst * fact.latency_s
            assert now_s > came_s - 1e-12, fact
            last[fact.flow] = fact.number, now_s


class Run:
    """A run of a data path, and what came of it."""

    def __init__(
        self,
        program: str | Program = "nat",
        sides: str | None = "CCC",
        traffic: TrafficProfile | None = None,
        *,
        offloaded: float = 0.0,
        nic: SmartNicSpec | None = None,
        cpu: CpuSpec | None = None,
        packets: int | None = 4000,
        until_s: float | None = None,
        limits: dict[str, int] | None = None,
        monitor: dict[str, Any] | None = None,
        policy: Any = None,
        log: bool = True,
        seed: int = 1,
        workload: dict[str, Any] | None = None,
        nodes: int = 1,
        sites: Any = None,
        **settings: Any,
    ) -> None:
        traffic = traffic or profile()
        burst = settings.get("burst", 1)
        if policy is None:
            assert sides is not None
            policy = Fixed(sides, offloaded)
        self.system = DataPlane(
            program=function(program) if isinstance(program, str) else program,
            packets=ZipfFlows(traffic, **{"burst": burst, "limit": packets, **(workload or {})}),
            traffic=traffic,
            partition=policy,
            stack=part("packet_stack", "poll_mode"),
            limits=replace(part("queue_limits", "default"), **(limits or {})),
            monitor=replace(part("traffic_monitor", "default"), **(monitor or {})),
            **settings,
        )
        node = replace(part("hardware/node", "smartnic-server"), smartnic=nic or agilio())
        if cpu is not None:
            node = replace(node, cpu=cpu)
        self.cluster = Cluster([NodeCount(node, nodes)])
        self.simulation = Simulation(seed=seed, until_s=until_s, cluster=self.cluster, sites=sites)
        self.simulation.add(self.system)
        self.log = Log(burst)
        if log:
            self.simulation.observe(self.log)

    def go(self) -> dict[str, float]:
        """Figures of the run."""
        self.simulation.run()
        self.simulation.finish()
        summary = self.simulation.results.summary
        return {key.removeprefix("dataplane."): value for key, value in summary.items()}  # type: ignore[misc]

    def check_conserved(self) -> None:
        """Packets in = out + dropped + under way, by class, and bytes."""
        path = self.system.path
        counts = path.counts
        for name, kinds in (("N", (2,)), ("T", (3,)), ("E", (0, 1))):
            left = sum(counts.left[kind] for kind in kinds)
            dropped = sum(counts.dropped[place][kind] for place in counts.dropped for kind in kinds)
            if path.idle:
                assert counts.arrived[name] == left + dropped, name
            else:
                assert counts.arrived[name] >= left + dropped, name
        under_way = path.under_way.count * path.burst
        assert counts.all_arrived == counts.all_left + counts.all_dropped + under_way
        if path.idle:
            assert abs(counts.arrived_bytes - counts.left_bytes - counts.dropped_bytes) < 1e-3
