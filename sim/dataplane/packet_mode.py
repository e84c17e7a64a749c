"""A data path that carries every packet, as the runtime sees it."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nsmallest

from models.network_functions.cost_model import PlanCost
from models.network_functions.trip import Trips
from sim.core.simulation import Simulation
from sim.dataplane.packet_path import PacketPath
from sim.dataplane.runtime import Totals
from sim.dataplane.switch import Switch


class PacketMode:
    """Carries out decisions on a `PacketPath`."""

    def __init__(self, simulation: Simulation, path: PacketPath) -> None:
        self.path = path
        self.changes = 0
        self._simulation = simulation
        self._switch: Switch | None = None

    @property
    def members(self) -> set[int]:
        """Flows whose entries are at the NIC."""
        return self.path.entries.at_nic

    @property
    def changing(self) -> bool:
        """Whether a change of sides is under way."""
        return self._switch is not None

    def totals(self, now_s: float) -> Totals:
        """Counts from the start until now."""
        counts = self.path.counts
        return Totals(
            counts.all_arrived,
            counts.arrived_bytes,
            counts.arrived["N"],
            counts.arrived["T"],
            counts.all_left,
            counts.all_dropped,
            sum(counts.dropped["ring"]),
            self.path.host.busy_s(now_s),
        )

    def change(self, now_s: float, cost: PlanCost, entries: float) -> None:
        """Copy the entries, then switch."""
        path = self.path
        members = set(path.entries.at_nic)
        if not cost.plan.split:
            members = set()
        elif len(members) > cost.plan.offloaded:
            members = set(self._heaviest(members, int(cost.plan.offloaded)))
        self._switch = Switch(path, self._trips(cost), entries, members, self._switched)
        self._switch.start(now_s)

    def retune(self, now_s: float, cost: PlanCost) -> None:
        """Another number of flows at the NIC: the lightest go now, others come as they are
        found."""
        self.path.use(self._trips(cost))
        members = self.path.entries.at_nic
        surplus = len(members) - int(cost.plan.offloaded)
        if surplus > 0:
            heavy = set(self._heaviest(members, int(cost.plan.offloaded)))
            self.move(now_s, {flow: False for flow in members if flow not in heavy})

    def move(self, now_s: float, flows: Mapping[int, bool]) -> None:
        """Move entries of flows, one after the other."""
        for flow, to_nic in flows.items():
            self.path.moves.ask(flow, to_nic)
        self.path.moves.go_on(now_s)

    def _switched(self, time_s: float) -> None:
        self._switch = None
        self.changes += 1

    def _heaviest(self, flows: set[int], count: int) -> list[int]:
        """So many of the flows, those with most packets at the NIC since the last decision."""
        hits = self.path.monitor.hits if self.path.monitor is not None else {}
        surplus = len(flows) - count
        light = set(nsmallest(surplus, flows, key=lambda flow: (hits.get(flow, 0), flow)))
        return [flow for flow in flows if flow not in light]

    def _trips(self, cost: PlanCost) -> Trips:
        """Trips through the same hardware."""
        old = self.path.trips
        return Trips(old.model, cost, burst=old.burst, posted=old.posted)
