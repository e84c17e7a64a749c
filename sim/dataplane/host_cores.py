"""Host cores that poll for packets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappush, heapreplace

from models.errors import ConfigError
from sim.dataplane.calendar import Calendar
from sim.dataplane.host_memory import HostMemory
from sim.dataplane.stations import Area
from sim.dataplane.transit import Transit

#: Multiplier of a hash of flows (Knuth, The Art of Computer Programming 3, 6.4: golden ratio).
_GOLDEN = 2654435769


class HostCores:
    """Cores that serve packets in the order in which they came.

    steering: "flow" gives each core a queue and each flow a core, by a hash (RSS); "any" has one
    queue for all cores. A queue has `limit` places for each core, from the start of a packet's
    transfer to the end of its service. leave(time_s, packet): called when a packet is served.
    speed: of a core, where the host gives less than whole ones; 0 where it is down. memory: what
    packets may have of its bandwidth; a core whose packet waits for it polls on.
    """

    def __init__(
        self,
        calendar: Calendar,
        count: int,
        steering: str,
        limit: float,
        leave: Callable[[float, Transit], None],
    ) -> None:
        if steering not in ("flow", "any"):
            raise ConfigError(f"steering is {steering!r}; it must be flow or any")
        self.steering = steering
        self.limit = limit
        self.speed = 1.0
        self.jobs = Area()
        self.stayed_s = 0.0
        self.served = 0
        self.memory = HostMemory()
        self._heap = calendar.heap
        self._order = calendar.order
        self._leave = leave
        self._work_s = 0.0
        #: Service of the packets that are here or on their way, and start, end and service of
        #: other work.
        self._inside: dict[Transit, float] = {}
        self._others: deque[tuple[float, float, float]] = deque()
        self.count = count
        self._free = [0.0] * max(1, count)
        self._places = [0] * max(1, count)

    def resize(self, count: int) -> None:
        """Serve with so many cores from now on; what is queued ends as foreseen."""
        if count == self.count:
            return
        free = sorted(self._free)
        if count > len(free):
            free += [0.0] * (count - len(free))
        self._free = free[len(free) - max(1, count) :]
        heapify(self._free)
        self._places = [0] * max(1, count)
        self.count = count

    def room(self, packet: Transit) -> bool:
        """Take a place in the packet's queue; False where that is full."""
        if self.speed <= 0.0 or not (self.memory.bytes_per_s or not packet.host_bytes):
            return False
        places = self._places
        own = self.steering == "flow"
        queue = (packet.flow * _GOLDEN >> 12) % len(places) if own else 0
        if places[queue] >= (self.limit if own else self.limit * len(places)):
            return False
        packet.queue = queue, places
        return True

    def admit(self, time_s: float, here_s: float, service_s: float, packet: Transit) -> None:
        """A packet that has room, whose transfer begins now, and that will be here at `here_s`,
        later than those before it; `service_s` at full speed."""
        free = self._free
        queue, places = packet.queue
        places[queue] += 1
        self._work_s += service_s
        start = free[queue]
        if start < here_s:
            start = here_s
        end = start + service_s / self.speed
        moved_s = self.memory.move(here_s, packet.host_bytes)
        if end < moved_s:
            end = moved_s
        if self.steering == "flow":
            free[queue] = end
        else:
            heapreplace(free, end)
        packet.waits_s = time_s
        packet.served_s = start, end
        self._inside[packet] = service_s
        self.jobs.change(time_s, 1)
        heappush(self._heap, (end, next(self._order), self._served, packet))

    def work(self, here_s: float, service_s: float, flow: int = 0) -> float:
        """Other work of these cores (moving an entry of a flow); returns when it is done."""
        queue = (flow * _GOLDEN >> 12) % len(self._places) if self.steering == "flow" else 0
        self._work_s += service_s
        start = max(here_s, self._free[queue])
        end = start + service_s / (self.speed or 1.0)
        if self.steering == "flow":
            self._free[queue] = end
        else:
            heapreplace(self._free, end)
        others = self._others
        while others and others[0][1] <= here_s:
            others.popleft()
        others.append((start, end, service_s))
        return end

    def busy_s(self, now_s: float) -> float:
        """Core-seconds at full speed until now: all work but what is still to be done."""
        ahead = sum(_left_s(now_s, *packet.served_s, s) for packet, s in self._inside.items())
        return self._work_s - ahead - sum(_left_s(now_s, *each) for each in self._others)

    def _served(self, time_s: float, packet: Transit) -> None:
        queue, places = packet.queue
        places[queue] -= 1
        del self._inside[packet]
        self.jobs.change(time_s, -1)
        self.stayed_s += time_s - packet.waits_s
        self.served += 1
        self._leave(time_s, packet)


def _left_s(now_s: float, start_s: float, end_s: float, service_s: float) -> float:
    """What is left of a service between two times."""
    if now_s <= start_s:
        return service_s
    return service_s * (end_s - now_s) / (end_s - start_s) if now_s < end_s else 0.0
