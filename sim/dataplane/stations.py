"""What serves packets one after the other: engines, PCIe, the insertion channel."""

from __future__ import annotations

from math import inf

from models.network_functions.traffic import WIRE_BYTES
from models.network_functions.trip import Trips


class Line:
    """One server, first come first served, whose jobs' ends are known as they come.

    `busy_s`: work that has been given to it. Jobs come in the order of time."""

    __slots__ = ("busy_s", "free_s", "name", "started_s")

    def __init__(self, name: str) -> None:
        self.name = name
        self.free_s = 0.0
        self.busy_s = 0.0

    def serve(self, time_s: float, service_s: float) -> float:
        """A job; returns when it ends."""
        start = self.free_s if self.free_s > time_s else time_s
        self.busy_s += service_s
        self.free_s = start + service_s
        return self.free_s

    def backlog_s(self, time_s: float) -> float:
        """Work that is left."""
        return max(0.0, self.free_s - time_s)

    def done_s(self, time_s: float) -> float:
        """Seconds of work done until now."""
        return self.busy_s - self.backlog_s(time_s)


class InsertChannel(Line):
    """Puts entries into a NIC's tables, so many a second; at most `limit` wait."""

    __slots__ = ("inserted", "limit", "operation_s")

    def __init__(self, inserts_per_s: float, limit: float) -> None:
        super().__init__("inserts")
        self.operation_s = 1.0 / inserts_per_s
        self.limit = limit
        self.inserted = 0.0

    def insert(self, time_s: float, entries: float) -> float:
        """Put entries in (or take them out); returns when they match, or -1 where too many
        wait."""
        if self.free_s - time_s > self.limit * self.operation_s:
            return -1.0
        self.inserted += entries
        return self.serve(time_s, entries * self.operation_s)

    def waiting(self, time_s: float) -> float:
        """Entries that wait."""
        return self.backlog_s(time_s) / self.operation_s


class Area:
    """A number that changes at instants, and its integral over time."""

    __slots__ = ("area", "count", "since_s")

    def __init__(self) -> None:
        self.count = 0
        self.area = 0.0
        self.since_s = 0.0

    def change(self, time_s: float, by: int) -> None:
        """Add `by` now."""
        self.area += self.count * (time_s - self.since_s)
        self.since_s = time_s
        self.count += by

    def until(self, time_s: float) -> float:
        """The integral until now."""
        return self.area + self.count * (time_s - self.since_s)


class Stations:
    """Port, engines, match tables, PCIe and insertion channel of one NIC.

    unbounded: any number of entries may wait for the channel.
    """

    def __init__(self, trips: Trips, inserts: float, unbounded: bool) -> None:
        nic = trips.model.nic
        burst = trips.burst
        self.wire = Line("wire")
        self.engines = [Line(name) for name in trips.engines]
        self.match = Line("match tables")
        self.up, self.down = Line("pcie up"), Line("pcie down")
        self.channel = InsertChannel(nic.inserts_per_s, inf if unbounded else inserts)
        #: What packets may have of PCIe up and down, relative to all of it.
        self.pcie_speeds = (1.0, 1.0)
        self.latency_s = nic.pcie_latency_s
        self.transfer_s = burst * nic.pcie_latency_s
        self._moving_byte_s = 1.0 / nic.pcie_bandwidth_bytes_per_s
        self._mac_s = burst / nic.packets_per_s
        self._wire_s = burst / nic.line_bytes_per_s
        self._pcie_s = burst / nic.pcie_packets_per_s
        self._pcie_byte_s = burst / nic.pcie_bandwidth_bytes_per_s
        self._crossing_bytes = trips.model.stack.crossing_bytes

    @property
    def lines(self) -> list[Line]:
        """All of them."""
        return [self.wire, *self.engines, self.match, self.up, self.down, self.channel]

    def wire_s(self, size_bytes: float) -> float:
        """Time of the port for a packet."""
        seconds = (size_bytes + WIRE_BYTES) * self._wire_s
        return seconds if seconds > self._mac_s else self._mac_s

    def crossing_s(self, size_bytes: float, speed: float) -> float:
        """Time of PCIe, one way, for a packet; `speed` is above 0."""
        seconds = (size_bytes + self._crossing_bytes) * self._pcie_byte_s / speed
        return seconds if seconds > self._pcie_s else self._pcie_s

    def moving_s(self, size_bytes: float, speed: float) -> float:
        """Time of PCIe, one way, for bytes of entries, whatever the burst of packets."""
        return size_bytes * self._moving_byte_s / speed
