"""Running and waiting requests of replicas, as far as facts tell."""

from __future__ import annotations

from sim.serving.facts import Iterations
from sim.serving.replica import Replica
from sim.serving.request import Request

#: Time, running, waiting.
Reading = tuple[float, int, int]


class Counters:
    """Readings of a replica's gauges, where they have changed."""

    def __init__(self) -> None:
        # Arrivals whose replica is not known yet, and those that its next fact will look at.
        self._fresh: list[Request] = []
        self._routed: dict[int, list[Request]] = {}
        self._last: dict[int, tuple[int, int]] = {}

    def arrived(self, request: Request) -> None:
        """A request reached the gateway."""
        self._fresh.append(request)

    def rejected(self, request: Request) -> None:
        """A request that reached the gateway goes no further."""
        if request in self._fresh:
            self._fresh.remove(request)

    def during(self, fact: Iterations, replica: Replica) -> list[Reading]:
        """Readings between the ends of `fact`. The batch is as it ran; the queue holds those of
        now, less those that came since the start, who join one by one."""
        unrouted = []
        for request in self._fresh:
            if request.replica < 0:
                unrouted.append(request)
            else:
                self._routed.setdefault(request.replica, []).append(request)
        self._fresh = unrouted
        running = replica.batch.size + len(replica.prefilling)
        late = [r for r in self._routed.pop(replica.index, ()) if r.replica_s > fact.start_s]
        waiting = max(0, replica.queued - len(late))
        readings = [(fact.start_s, running, waiting)]
        readings += [(r.replica_s, running, waiting + n) for n, r in enumerate(late, 1)]
        return self._changes(replica, readings)

    def empty(self, replica: Replica, time_s: float) -> list[Reading]:
        """Nothing is left on a replica."""
        return self._changes(replica, [(time_s, 0, 0)])

    def clear(self) -> None:
        """Forget all."""
        self._fresh.clear()
        self._routed.clear()

    def _changes(self, replica: Replica, readings: list[Reading]) -> list[Reading]:
        changes = []
        for reading in readings:
            if self._last.get(replica.index) != reading[1:]:
                self._last[replica.index] = reading[1:]
                changes.append(reading)
        return changes
