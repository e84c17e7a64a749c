"""SimPy's environment with absolute times and an order within one instant."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.events import NORMAL, URGENT

#: Order of what happens at one instant: causes first (arrivals, faults, transfers), then the ends
#: of steps, then new plans (which so see everything of that instant), then observers that sample.
BOUNDARY = NORMAL + 1
PLAN = NORMAL + 2
SAMPLE = NORMAL + 3


class Environment(simpy.Environment):
    """Events may be scheduled at absolute times, free of the rounding of `now + delay`.

    `now` is a plain attribute (SimPy's property costs a call, and it is read everywhere).
    """

    now = 0.0
    _now: float

    def schedule_at(self, event: simpy.Event, time_s: float, priority: float = NORMAL) -> None:
        """Process `event` at `time_s`. Raises ValueError when that lies in the past or is NaN."""
        if not time_s >= self._now:
            raise ValueError(f"cannot schedule at {time_s} s, the clock is at {self._now} s")
        # SimPy offers delays alone; `now + (t - now)` is not always `t`.
        heappush(self._queue, (time_s, priority, next(self._eid), event))  # type: ignore[misc]

    def run_until(self, ended: simpy.Event) -> bool:
        """Process events until `ended` has been. Returns False when they run out before.

        What `simpy.Environment.run` does, in one loop. A failed event that nobody handles raises
        its exception.
        """
        queue = self._queue
        while queue:
            now, _, _, event = heappop(queue)
            self.now = self._now = now
            callbacks: Any = event.callbacks
            event.callbacks = None  # type: ignore[assignment]
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value
            if ended.callbacks is None:
                return True
        return False

    def step(self) -> None:
        """Process the next event."""
        if self._queue:
            self.now = self._queue[0][0]
        super().step()

    def quiet(self) -> bool:
        """Whether nothing else is scheduled at the present instant."""
        queue = self._queue
        return not queue or queue[0][0] > self._now

    @property
    def scheduled(self) -> int:
        """Number of events in the queue."""
        return len(self._queue)


class Moment(simpy.Event):
    """An event that is sure to come: SimPy's, with less work to make one."""

    def __init__(
        self, env: simpy.Environment, callbacks: list[Callable[[simpy.Event], None]] | None
    ) -> None:
        self.env = env
        self.callbacks = callbacks  # type: ignore[assignment]
        self._value = None
        self._ok = True


class Alarm:
    """Calls one callback at a time that may be moved or called off."""

    __slots__ = ("_calls", "_count", "_moment", "_priority", "_queue")

    def __init__(
        self,
        env: Environment,
        callback: Callable[[simpy.Event], None],
        priority: float = NORMAL,
    ) -> None:
        self._queue: list[Any] = env._queue
        self._count = env._eid
        self._calls = [callback]
        self._priority = priority
        self._moment = Moment(env, None)

    @property
    def waiting(self) -> bool:
        """Whether it is set and has not rung."""
        return self._moment.callbacks is not None

    def ring(self, time_s: float) -> None:
        """Ring at `time_s` (not before now), and not when it was set to before."""
        moment = self._moment
        if moment.callbacks is not None:
            moment.callbacks = []
            moment = self._moment = Moment(moment.env, None)
        moment.callbacks = self._calls
        heappush(self._queue, (time_s, self._priority, next(self._count), moment))

    def cancel(self) -> None:
        """Do not ring."""
        moment = self._moment
        if moment.callbacks is not None:
            moment.callbacks = []
            self._moment = Moment(moment.env, None)


__all__ = ["BOUNDARY", "NORMAL", "PLAN", "SAMPLE", "URGENT", "Alarm", "Environment", "Moment"]
