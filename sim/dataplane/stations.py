"""What serves packets one after the other: engines, PCIe, the insertion channel."""

from __future__ import annotations


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
