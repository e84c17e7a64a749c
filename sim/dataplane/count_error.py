"""How far a query is behind the truth where both sides keep a copy of the counters it reads."""

from __future__ import annotations

from collections.abc import Mapping

from models.network_functions.plan import BOTH
from models.network_functions.traffic import PACKET_TYPES
from models.network_functions.trip import Trips
from sim.core.result import Value


class CountError:
    """Counters of flows at the host and at the NIC, added up at each merge. A query sees what was
    merged, and what its own side has counted since.

    reads: by packet type (a position in PACKET_TYPES), additions at the host and at the NIC and
    the side of the query (0 host, 1 NIC); empty where nothing queries copies. Errors are relative
    to the true count, of replication alone: those of the sketch itself are not followed.
    """

    def __init__(self) -> None:
        self.reads: dict[int, tuple[float, float, int]] = {}
        self.queries = 0
        self._total = self._worst = 0.0
        self._merged: dict[int, float] = {}
        self._since: tuple[dict[int, float], dict[int, float]] = ({}, {})

    def use(self, trips: Trips) -> None:
        """Packets follow these trips from now on."""
        program, cost = trips.model.program, trips.cost
        copied = {
            state.name
            for state, side in zip(program.states, cost.plan.sides, strict=True)
            if side == BOTH and state.consistency == "add"
        }
        self.reads = {}
        for i, kind in enumerate(PACKET_TYPES):
            path, trip = cost.paths[kind], trips.find(i, 0)
            for side, blocks in enumerate((path.host, path.nic)):
                for b in blocks:
                    uses = program.blocks[b].uses
                    if any(uses[name].reads for name in copied & uses.keys()):
                        self.reads[i] = trip.host_adds, trip.nic_adds, side

    def packet(self, flow: int, kind: int) -> None:
        """A packet has counted, and queried the count."""
        found = self.reads.get(kind)
        if found is None:
            return
        merged, since = self._merged.get(flow, 0.0), self._since
        for side in (0, 1):
            if found[side]:
                since[side][flow] = since[side].get(flow, 0.0) + found[side]
        true = merged + since[0].get(flow, 0.0) + since[1].get(flow, 0.0)
        if true:
            error = since[1 - found[2]].get(flow, 0.0) / true
            self.queries += 1
            self._total += error
            self._worst = max(self._worst, error)

    def merge(self) -> None:
        """Both sides know the sum."""
        for counted in self._since:
            for flow, count in counted.items():
                self._merged[flow] = self._merged.get(flow, 0.0) + count
            counted.clear()

    def figures(self) -> Mapping[str, Value]:
        """Mean and worst error of the queries; nothing where there were none."""
        if not self.queries:
            return {}
        return {"count_error": self._total / self.queries, "count_error_worst": self._worst}
