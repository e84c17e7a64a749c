"""Counters of a data path."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.network_functions.traffic import CLASS_OF, PACKET_TYPES
from sim.dataplane.transit import Transit
from workloads.demand import Packet

#: Where packets are dropped.
PLACES = (
    "wire",
    "nic",
    "match tables",
    "accelerator",
    "pcie",
    "ring",
    "inserts",
    "moving",
    "down",
)
_CLASS = {CLASS_OF[kind]: i for i, kind in enumerate(PACKET_TYPES)}
#: Latencies that are kept before they go into a histogram, and its resolution (relative).
_KEPT = 65536
_STEP = 0.005


class Latencies:
    """Mean, exact, and percentiles to half a per cent (a histogram of the logarithm)."""

    def __init__(self) -> None:
        self.count = 0
        self.total_s = 0.0
        self.kept: list[float] = []
        self._bins: dict[int, int] = {}

    @classmethod
    def of_all(cls, parts: Iterable[Latencies]) -> Latencies:
        """Those of several together."""
        whole = cls()
        for part in parts:
            part.fold()
            whole.count += part.count
            whole.total_s += part.total_s
            for where, number in part._bins.items():
                whole._bins[where] = whole._bins.get(where, 0) + number
        return whole

    def fold(self) -> None:
        """Put what is kept into the histogram."""
        if self.kept:
            values = np.array(self.kept)
            self.total_s += float(values.sum())
            self.count += len(values)
            bins = np.floor(np.log(np.maximum(values, 1e-12)) / _STEP).astype(np.int64)
            for where, number in zip(*np.unique(bins, return_counts=True), strict=True):
                self._bins[int(where)] = self._bins.get(int(where), 0) + int(number)
            self.kept.clear()

    @property
    def mean_s(self) -> float | None:
        """Mean; None of nothing."""
        self.fold()
        return self.total_s / self.count if self.count else None

    def percentile_s(self, share: float) -> float | None:
        """What so large a share is at most; None of nothing."""
        self.fold()
        wanted = share * self.count
        seen = 0
        for where in sorted(self._bins):
            seen += self._bins[where]
            if seen >= wanted:
                return float(np.exp((where + 0.5) * _STEP))
        return None


class Counts:
    """Packets and bytes, in and out, by type and place; latencies by type.

    A burst counts as so many packets. `born`, `over`: flows that began, and that have
    ended, since the start; `silent`: of these, without a last packet."""

    def __init__(self, burst: int) -> None:
        self.burst = burst
        self.born: set[int] = set()
        self.over: set[int] = set()
        self.silent = 0
        #: Flows that go on, for whose entries the NIC's tables had no room.
        self.refused: set[int] = set()
        self.arrived = dict.fromkeys("NET", 0)
        self.arrived_bytes = 0.0
        self.left = [0] * len(PACKET_TYPES)
        self.left_bytes = 0.0
        self.crossed = 0
        self.crossed_bytes = 0.0
        self.dropped = {place: [0] * len(PACKET_TYPES) for place in PLACES}
        self.dropped_bytes = 0.0
        self.latencies = [Latencies() for _ in PACKET_TYPES]
        self._kept = [latencies.kept for latencies in self.latencies]

    def arrive(self, packet: Packet) -> None:
        """A packet comes."""
        self.arrived[packet.kind] += self.burst
        self.arrived_bytes += packet.size_bytes * self.burst

    def end(self, flow: int) -> None:
        """A flow is over without a last packet."""
        self.finish(flow)
        self.silent += 1

    def finish(self, flow: int) -> None:
        """A flow is over."""
        self.over.add(flow)
        self.refused.discard(flow)

    def leave(self, transit: Transit, latency_s: float) -> None:
        """A packet has left."""
        kind = transit.kind
        self.left[kind] += self.burst
        self.left_bytes += transit.size_bytes * self.burst
        kept = self._kept[kind]
        kept.append(latency_s)
        if len(kept) >= _KEPT:
            self.latencies[kind].fold()

    def drop(self, kind: int, size_bytes: float, place: str) -> None:
        """A packet is dropped."""
        self.dropped[place][kind] += self.burst
        self.dropped_bytes += size_bytes * self.burst

    def forget_latencies(self) -> None:
        """Measure latencies anew."""
        self.latencies = [Latencies() for _ in PACKET_TYPES]
        self._kept = [latencies.kept for latencies in self.latencies]

    @property
    def all_arrived(self) -> int:
        """Packets that came."""
        return sum(self.arrived.values())

    @property
    def all_left(self) -> int:
        """Packets that left."""
        return sum(self.left)

    @property
    def all_dropped(self) -> int:
        """Packets that were dropped."""
        return sum(map(sum, self.dropped.values()))
