"""Packets over PCIe to the cores of the host, and back."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from math import inf

from sim.dataplane.calendar import Calendar
from sim.dataplane.counts import Counts
from sim.dataplane.host_cores import HostCores
from sim.dataplane.limits import QueueLimits
from sim.dataplane.stations import Line, Stations
from sim.dataplane.transit import Transit


class Crossing:
    """PCIe, each way a line with `limits.pcie` places. A packet has a place at the ring of its host
    core before its transfer begins, so that none is brought over in vain.

    unbounded: any number may wait for PCIe. back(time_s, packet): called when one is at the NIC
    again; drop(time_s, packet, place): when one is dropped.
    """

    def __init__(
        self,
        calendar: Calendar,
        stations: Stations,
        host: HostCores,
        counts: Counts,
        limits: QueueLimits,
        unbounded: bool,
        back: Callable[[float, Transit], None],
        drop: Callable[[float, Transit, str], None],
    ) -> None:
        self._heap = calendar.heap
        self._order = calendar.order
        self._stations = stations
        self._host = host
        self._counts = counts
        self._limit = inf if unbounded else limits.pcie
        self._back = back
        self._drop = drop
        #: Of entries that are moved or merged.
        self.moved_bytes = 0.0

    def to_host(self, time_s: float, packet: Transit) -> None:
        """Over to the ring of a host core."""
        if not self._host.room(packet):
            self._drop(time_s, packet, "ring")
            return
        size = packet.size_bytes
        end = self._serve(time_s, self._stations.up, size, self._stations.pcie_speeds[0])
        if end < 0.0:
            self._drop(time_s, packet, "pcie")
            return
        counts = self._counts
        counts.crossed += counts.burst
        counts.crossed_bytes += size * counts.burst
        self._host.admit(time_s, end, packet.host_s, packet)

    def to_nic(self, time_s: float, packet: Transit) -> None:
        """Back to the NIC."""
        stations = self._stations
        end = self._serve(time_s, stations.down, packet.size_bytes, stations.pcie_speeds[1])
        if end < 0.0:
            self._drop(time_s, packet, "pcie")
            return
        heappush(self._heap, (end, next(self._order), self._back, packet))

    def move(self, time_s: float, size_bytes: float, up: bool) -> float:
        """Bytes of entries, between packets; returns when they are on the other side."""
        stations = self._stations
        self.moved_bytes += size_bytes
        speed = stations.pcie_speeds[0 if up else 1]
        seconds = stations.moving_s(size_bytes, speed or 1.0)
        end = (stations.up if up else stations.down).serve(time_s, seconds)
        return end + stations.latency_s

    def _serve(self, time_s: float, line: Line, size_bytes: float, speed: float) -> float:
        """When a packet is on the other side; -1 where too many wait."""
        if not speed:
            return -1.0
        seconds = self._stations.crossing_s(size_bytes, speed)
        if line.free_s - time_s > self._limit * seconds:
            return -1.0
        return line.serve(time_s, seconds) + self._stations.transfer_s
