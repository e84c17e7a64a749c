"""Events of packets, between the events of the simulation."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeAlias

import simpy

from sim.core.environment import Alarm
from sim.core.simulation import Simulation

#: Called with the time and its argument.
Handler: TypeAlias = Callable[[float, Any], None]


class Calendar:
    """A heap of its own for the many short events of one system, in the order of time with all
    other events; a fraction of the cost of an event of the simulation.

    Handlers push onto `heap` themselves: (time, next(order), handler, argument), at the earliest at
    the time that they were called with. The simulation's clock stands still meanwhile; what
    acts on the rest of the simulation calls `outside` first. Others use `push`.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.heap: list[tuple[float, int, Handler, Any]] = []
        self.order = count()
        self._env = simulation.env
        self._alarm = Alarm(simulation.env, self._run)
        self._wake_s = float("inf")
        self._running = False

    @property
    def now_s(self) -> float:
        """The simulation's time; what runs here may be ahead of it."""
        return self._env.now

    def push(self, time_s: float, handler: Handler, argument: Any = None) -> None:
        """Call `handler(time_s, argument)` then."""
        heappush(self.heap, (time_s, next(self.order), handler, argument))
        if not self._running and time_s < self._wake_s:
            self._ring(time_s)

    def outside(self, time_s: float) -> None:
        """Bring the simulation's clock to the time of the handler that runs."""
        self._env.now = self._env._now = time_s

    def _ring(self, time_s: float) -> None:
        self._wake_s = time_s
        self._alarm.ring(time_s)

    def _run(self, _: simpy.Event) -> None:
        """All events of this instant, then those before the simulation's next one."""
        heap = self.heap
        others: list[Any] = self._env._queue
        now = self._env.now
        self._wake_s = float("inf")
        self._running = True
        try:
            while heap:
                time_s = heap[0][0]
                if others and time_s > now and time_s >= others[0][0]:
                    self._ring(time_s)
                    return
                entry = heappop(heap)
                entry[2](time_s, entry[3])
        finally:
            self._running = False
