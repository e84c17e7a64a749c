"""Equal servers behind one first-come-first-served queue, and the power of a device of such."""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from math import inf
from typing import Protocol

import simpy

from sim.core.simulation import Simulation
from sim.hardware.faults import Down
from sim.hardware.power import PowerMeter


class Servers:
    """`count` equal servers, one queue: cores, a memory engine, an insertion channel.

    Jobs are served in order of arrival; the time of each end is known at its arrival, since only
    the speed, common to all, may change it. `busy_s` are server-seconds, `jobs_s` job-seconds in
    queue and service (Little's law), both exact.
    """

    def __init__(self, simulation: Simulation, name: str, count: int) -> None:
        if count < 1:
            raise ValueError(f"{name}: {count} servers")
        self.name = name
        self.count = count
        self.jobs = 0
        self.arrived = 0
        self.served = 0
        self._simulation = simulation
        self._env = simulation.env
        self._speed = 1.0
        self._anchor_s = self._env.now
        self._anchor_work = 0.0
        self._free = [0.0] * count
        self._pending: list[tuple[float, int, simpy.Event, float]] = []
        self._timer: simpy.Event | None = None
        self._timer_work = inf
        self._busy_s = 0.0
        self._jobs_s = 0.0
        self._since_s = self._env.now

    @property
    def queued(self) -> int:
        """Jobs that wait for a server."""
        return max(0, self.jobs - self.count)

    @property
    def busy(self) -> int:
        """Servers at work."""
        return min(self.jobs, self.count)

    def busy_s(self, now_s: float) -> float:
        """Server-seconds of work until now."""
        return self._busy_s + self.busy * (now_s - self._since_s)

    def jobs_s(self, now_s: float) -> float:
        """Integral of the number of jobs here until now."""
        return self._jobs_s + self.jobs * (now_s - self._since_s)

    def run(self, seconds: float, latency_s: float = 0.0) -> simpy.Event:
        """A job of `seconds` of one server at the specified speed; the event fires `latency_s`
        after its service, and fails with `Down` if the servers do."""
        if not (seconds >= 0.0 and latency_s >= 0.0 and seconds < inf):
            raise ValueError(f"{self.name}: a job of {seconds!r} s and latency {latency_s!r} s")
        event = simpy.Event(self._env)
        if self._speed == 0.0:
            event.fail(self._down())
            return event
        now = self._count()
        work = self._anchor_work + (now - self._anchor_s) * self._speed
        free = self._free
        end = max(work, free[0]) + seconds
        heapreplace(free, end)
        heappush(self._pending, (end, self.arrived, event, latency_s))
        self.arrived += 1
        self.jobs += 1
        if end < self._timer_work:
            self._set_timer()
        return event

    def set_speed(self, factor: float) -> None:
        """Serve at `factor` times the specified speed from now on; 0 loses all jobs here."""
        now = self._count()
        work = self._anchor_work + (now - self._anchor_s) * self._speed
        self._anchor_s = now
        self._anchor_work = work
        self._speed = factor
        if factor == 0.0:
            lost = sorted(self._pending)
            self._pending = []
            self._free = [work] * self.count
            self.jobs = 0
            for job in lost:
                job[2].fail(self._down())
        self._set_timer()

    def _count(self) -> float:
        """Bring the integrals up to date; returns the time."""
        now = self._env.now
        lasted = now - self._since_s
        self._busy_s += self.busy * lasted
        self._jobs_s += self.jobs * lasted
        self._since_s = now
        return now

    def _set_timer(self) -> None:
        if self._timer is not None:
            Simulation.cancel(self._timer)
            self._timer = None
        self._timer_work = inf
        if self._pending:
            work = self._timer_work = self._pending[0][0]
            time_s = self._anchor_s + (work - self._anchor_work) / self._speed
            self._timer = self._simulation.at(max(time_s, self._env.now), self._end)

    def _end(self, timer: simpy.Event) -> None:
        self._timer = None
        now = self._count()
        pending = self._pending
        due = pending[0][0]
        while pending and pending[0][0] <= due:
            _, _, event, latency_s = heappop(pending)
            self.jobs -= 1
            self.served += 1
            event._ok = True
            event._value = None
            self._env.schedule_at(event, now + latency_s)
        self._set_timer()

    def _down(self) -> Down:
        return Down(f"{self.name} is down at {self._env.now} s")


class Working(Protocol):
    """Equal servers, by how many of them are at work."""

    @property
    def count(self) -> int:
        """All of them."""
        ...

    @property
    def busy(self) -> float:
        """Those at work."""
        ...

    def busy_s(self, now_s: float) -> float:
        """Server-seconds of work until now."""
        ...


class BusyMeter(PowerMeter):
    """Power of a device that draws in proportion to the servers at work.

    `servers` may be changed while none of the old ones works."""

    __slots__ = ("_before_s", "servers")

    def __init__(self, idle_w: float, peak_w: float, now_s: float = 0.0) -> None:
        super().__init__(idle_w, peak_w, now_s)
        self.servers: Working | None = None
        self._before_s = 0.0

    def watch(self, servers: Working, now_s: float) -> None:
        """Draw for these servers from now on."""
        if self.servers is not None:
            self._before_s += self.servers.busy_s(now_s) / self.servers.count
        self.servers = servers

    def dynamic_j(self, now_s: float) -> float:
        """Energy of work until now, over what stands."""
        busy_s = self._before_s
        if self.servers is not None:
            busy_s += self.servers.busy_s(now_s) / self.servers.count
        return super().dynamic_j(now_s) + (self.peak_w - self.idle_w) * busy_s

    def power_w(self, now_s: float) -> float:
        """Power at this moment."""
        share = self.servers.busy / self.servers.count if self.servers is not None else 0.0
        return super().power_w(now_s) + (self.peak_w - self.idle_w) * share
