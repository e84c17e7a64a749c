"""What serves packets that are rates: work is a fluid, and so is what waits."""

from __future__ import annotations

from math import inf


class HostFluid:
    """Host cores and the work that waits for them: packets in their rings, `ring` for each core
    at most, and moves of entries.

    work_s: of cores at full speed, done until now. memory_bytes: to and from memory until now, of
    which packets may have memory_bytes_per_s."""

    def __init__(self, ring: float) -> None:
        self.count, self.speed = 0, 1.0
        self.waiting_s = self.moving_s = self.work_s = 0.0
        self.memory_bytes, self.memory_bytes_per_s = 0.0, inf
        self._ring = ring

    def serve(
        self,
        packets_s: float,
        packet_s: float,
        moving_s: float,
        lasts_s: float,
        packet_bytes: float = 0.0,
    ) -> float:
        """Work of packets, `packet_s` each, and of moves; `packet_bytes`: of memory, each. Returns
        packets that are dropped."""
        waiting_s, moving_s = self.waiting_s + packets_s, self.moving_s + moving_s
        whole_s = waiting_s + moving_s
        done_s = min(whole_s, self.count * self.speed * lasts_s)
        left = packets_left = 1.0 - done_s / whole_s if whole_s else 0.0
        wanted = waiting_s / packet_s * packet_bytes if packet_s else 0.0
        if wanted:
            packets_left = max(left, 1.0 - self.memory_bytes_per_s * lasts_s / wanted)
        self.memory_bytes += (1.0 - packets_left) * wanted
        self.work_s += done_s - (packets_left - left) * waiting_s
        waiting_s, self.moving_s = packets_left * waiting_s, left * moving_s
        kept_s = waiting_s
        if packet_s:
            kept_s = min(waiting_s, self._ring * max(1, self.count) * packet_s)
        self.waiting_s = kept_s
        return (waiting_s - kept_s) / packet_s if packet_s else 0.0


class PcieFluid:
    """PCIe, with room for `limit` packets that wait. speed: of the slower way, as a part of what is
    specified. moving_s: of entries that are to be taken over, moved_s: that were, at full
    speed. busy_s: of transfers, done until now."""

    def __init__(self, limit: float) -> None:
        self.waiting = self.busy_s = self.moving_s = self.moved_s = 0.0
        self.speed = 1.0
        self._limit = limit

    def serve(
        self, packets: float, byte_s: float, packet_s: float, lasts_s: float
    ) -> tuple[float, float]:
        """Take packets over, each of which needs `byte_s` for its bytes and `packet_s` for itself,
        after entries. Returns packets that came over, and that were dropped."""
        each_s = max(byte_s / self.speed, packet_s)
        offered = packets + self.waiting
        moved_s = min(lasts_s, self.moving_s / self.speed)
        self.moving_s -= moved_s * self.speed
        self.moved_s += moved_s * self.speed
        room_s = lasts_s - moved_s
        over = min(offered, room_s / each_s) if each_s else offered
        self.busy_s += over * each_s + moved_s
        self.waiting = min(offered - over, self._limit)
        return over, offered - over - self.waiting

    def never(self, packets: float, byte_s: float, packet_s: float) -> None:
        """So many of these were not taken over, for want of a place at the host."""
        self.busy_s -= packets * max(byte_s / self.speed, packet_s)


class ChannelFluid:
    """The insertion channel, with room for `limit` entries that wait.

    busy_s: of insertions, done until now."""

    def __init__(self, limit: float, inserts_per_s: float) -> None:
        self.waiting = self.busy_s = 0.0
        self._limit = limit
        self._inserts_per_s = inserts_per_s

    @property
    def late_s(self) -> float:
        """Seconds until no more wait than there is room for, if nothing comes; 0: no more do."""
        late = self.waiting - self._limit
        return max(1.0, late) / self._inserts_per_s if late > 0.0 else 0.0

    def insert(self, entries: float) -> None:
        """Insert so many more, within what there was room for."""
        self.busy_s += entries / self._inserts_per_s

    def serve(
        self, entries: float, refusable: float, each: float, lasts_s: float
    ) -> tuple[float, float]:
        """Insert `entries` more, of which as many groups of `each` are refused as do not fit, of
        up to `refusable` groups. Returns groups that were refused, and room that is left."""
        room = lasts_s * self._inserts_per_s
        waiting = self.waiting + entries
        used = min(waiting, room)
        self.insert(used)
        waiting -= used
        refused = 0.0
        if refusable and each and waiting > self._limit:
            refused = min(refusable, (waiting - self._limit) // each)
            waiting -= refused * each
        self.waiting = waiting
        return refused, room - used

    def cut(self, most: float) -> float:
        """Drop entries that wait beyond the limit, at most so many; returns how many."""
        kept = min(self.waiting, max(self._limit, self.waiting - most))
        dropped, self.waiting = self.waiting - kept, kept
        return dropped


class NicLoad:
    """The cores of a NIC at work, as one server, for its power. Reading it changes nothing: between
    two steps the last share goes on."""

    def __init__(self, now_s: float) -> None:
        self.count = 1
        self.busy = 0.0
        self._busy_s = 0.0
        self._at_s = now_s

    def go_on(self, busy_s: float, lasts_s: float) -> None:
        """A step is over, with so many seconds of work."""
        self._busy_s += busy_s
        self._at_s += lasts_s
        self.busy = busy_s / lasts_s

    def busy_s(self, now_s: float) -> float:
        """Seconds of work until now."""
        return self._busy_s + self.busy * (now_s - self._at_s)
