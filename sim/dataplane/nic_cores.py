"""Cores of a NIC with hardware threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappush

from sim.dataplane.calendar import Calendar
from sim.dataplane.stations import Area, Line
from sim.dataplane.transit import Transit


class NicCores:
    """A packet takes a thread for a leg of its trip: the thread that has been idle for longest.
    Threads of a core issue one at a time, first ready first; one that waits for memory lets
    another issue, and stays with its packet. Packets for which no thread is idle wait, at most
    `limit` of them; at most `accelerator_limit` wait for an accelerator, to which a thread hands
    its packet.

    engines: memory engines and accelerators by position. leave(time_s, packet): called when a
    packet is through with its visit; drop(time_s, packet, place), when an accelerator has no
    place for it, or it comes back from one to a full queue.
    """

    def __init__(
        self,
        calendar: Calendar,
        cores: int,
        threads: int,
        engines: Sequence[Line],
        limit: float,
        accelerator_limit: float,
        leave: Callable[[float, Transit], None],
        drop: Callable[[float, Transit, str], None],
    ) -> None:
        self.count = cores
        self.threads = threads
        self.limit = limit
        self.waiting: deque[Transit] = deque()
        self.queued = Area()
        self.waited_s = 0.0
        #: Times of cores, memory and engines, relative to the specified ones.
        self.slow = 1.0
        self.held = Area()
        self._busy_s = 0.0
        self._heap = calendar.heap
        self._order = calendar.order
        self._engines = engines
        self._leave = leave
        self._drop = drop
        self._accelerator_limit = accelerator_limit
        self._idle = deque(core for _ in range(threads) for core in range(cores))
        #: Threads that are ready to issue, by core; None where the core is idle.
        self._ready: list[deque[Transit] | None] = [None] * cores
        self._until = [0.0] * cores

    def enter(self, time_s: float, packet: Transit) -> bool:
        """A packet for its present leg; False where the queue is full."""
        packet.segments = packet.legs[packet.leg].segments
        packet.step = 0
        if not packet.segments:
            self._through(time_s, packet)
            return True
        if self._idle:
            self._take(time_s, packet)
            return True
        if len(self.waiting) >= self.limit:
            return False
        packet.waits_s = time_s
        self.queued.change(time_s, 1)
        self.waiting.append(packet)
        return True

    def busy_s(self, now_s: float) -> float:
        """Core-seconds of issue until now."""
        ahead = 0.0
        for until in self._until:
            if until > now_s:
                ahead += until - now_s
        return self._busy_s - ahead

    def held_s(self, now_s: float) -> float:
        """Thread-seconds with a packet until now."""
        return self.held.until(now_s)

    @property
    def busy(self) -> int:
        """Cores that issue."""
        return sum(1 for ready in self._ready if ready is not None)

    def _take(self, time_s: float, packet: Transit) -> None:
        packet.core = core = self._idle.popleft()
        self.held.change(time_s, 1)
        ready = self._ready[core]
        if ready is None:
            self._ready[core] = deque()
            self._issue(time_s, packet)
        else:
            ready.append(packet)

    def _issue(self, time_s: float, packet: Transit) -> None:
        segment = packet.segments[packet.step]
        issue_s = (segment.issue_s + segment.issue_s_per_byte * packet.size_bytes) * self.slow
        self._busy_s += issue_s
        end = self._until[packet.core] = time_s + issue_s
        heappush(self._heap, (end, next(self._order), self._issued, packet))

    def _issued(self, time_s: float, packet: Transit) -> None:
        core = packet.core
        _, wait_s, uses, _ = packet.segments[packet.step]
        end = time_s + wait_s * self.slow
        for engine, service_s, slack_s in uses:
            line = self._engines[engine]
            late = line.free_s - time_s
            line.serve(time_s, service_s * self.slow)
            if late > slack_s:
                end += late - slack_s
        if end > time_s:
            heappush(self._heap, (end, next(self._order), self._waited, packet))
        else:
            self._next(time_s, packet)
        ready = self._ready[core]
        assert ready is not None
        if ready:
            self._issue(time_s, ready.popleft())
        else:
            self._ready[core] = None

    def _waited(self, time_s: float, packet: Transit) -> None:
        packet.step += 1
        if packet.step == len(packet.segments):
            self._free(time_s, packet)
            return
        ready = self._ready[packet.core]
        if ready is None:
            self._ready[packet.core] = deque()
            self._issue(time_s, packet)
        else:
            ready.append(packet)

    def _next(self, time_s: float, packet: Transit) -> None:
        """A segment that needs no wait is over, on a core that is not free yet."""
        packet.step += 1
        if packet.step < len(packet.segments):
            ready = self._ready[packet.core]
            assert ready is not None
            ready.append(packet)
        else:
            self._free(time_s, packet)

    def _free(self, time_s: float, packet: Transit) -> None:
        """The packet's leg is over; its thread takes the next packet."""
        self._idle.append(packet.core)
        self.held.change(time_s, -1)
        if self.waiting:
            self.queued.change(time_s, -1)
            first = self.waiting.popleft()
            self.waited_s += time_s - first.waits_s
            self._take(time_s, first)
        self._through(time_s, packet)

    def _through(self, time_s: float, packet: Transit) -> None:
        """The cores have done a leg: on to its accelerator, or out."""
        leg = packet.legs[packet.leg]
        packet.leg += 1
        if leg.accelerator >= 0:
            service_s = leg.accelerator_s_per_byte * packet.size_bytes * self.slow
            engine = self._engines[leg.accelerator]
            if engine.free_s - time_s > self._accelerator_limit * service_s:
                self._drop(time_s, packet, "accelerator")
                return
            end = engine.serve(time_s, service_s)
            heappush(self._heap, (end, next(self._order), self._accelerated, packet))
        else:
            self._leave(time_s, packet)

    def _accelerated(self, time_s: float, packet: Transit) -> None:
        if packet.leg == len(packet.legs):
            self._leave(time_s, packet)
        elif not self.enter(time_s, packet):
            self._drop(time_s, packet, "nic")
