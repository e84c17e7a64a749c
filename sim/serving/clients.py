"""Who sends requests, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import simpy

from policies.routing.contract import SiteView
from sim.core.environment import Alarm
from sim.core.errors import ConfigError
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.serving.request import Request
from workloads.demand import Demand, Workload


class Arrivals(Protocol):
    """When demands arrive (see `workloads.arrivals`)."""

    def times(
        self, demands: Iterator[Demand], rng: np.random.Generator
    ) -> Iterator[tuple[float, Demand]]:
        """Absolute times, never falling, with their demands."""
        ...


class Entrance(Protocol):
    """A gateway as its client sees it."""

    def ahead(self, demands: Iterator[Demand]) -> Iterator[Demand]:
        """The demands, which will be submitted in this order."""
        ...

    def submit(self, demand: Demand) -> Request:
        """A request arrives now."""
        ...

    @property
    def outstanding_requests(self) -> Sequence[int]:
        """Unfinished requests of each replica, waiting or running."""
        ...

    @property
    def up(self) -> Sequence[int]:
        """Indices of the replicas that serve now."""
        ...

    @property
    def on_up(self) -> list[Callable[[], None]]:
        """Called when a replica has failed or come back."""
        ...

    @property
    def sites(self) -> Sequence[SiteView]:
        """The site of each replica. Raises ConfigError where the run has none."""
        ...


class Client(Protocol):
    """Sends requests to a gateway."""

    def start(self, simulation: Simulation, gateway: Entrance, name: str) -> None:
        """Schedule the first requests."""
        ...

    def ended(self, request: Request) -> None:
        """A request has finished or was rejected."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether no further request will come."""
        ...

    def figures(self) -> dict[str, Value]:
        """What it has to say of the run."""
        ...


class OpenLoop:
    """Requests arrive at their own times, whatever the system does."""

    def __init__(self, workload: Workload, arrivals: Arrivals) -> None:
        self.workload = workload
        self.arrivals = arrivals
        self._over = False

    @property
    def exhausted(self) -> bool:
        return self._over

    def start(self, simulation: Simulation, gateway: Entrance, name: str) -> None:
        if not self.workload.finite and simulation.until_s is None:
            raise ConfigError("workload: it never ends; give workload.count or until_s")
        self._simulation = simulation
        self._gateway = gateway
        demands = self._ahead(self.workload.demands(simulation.stream(f"{name}.demands")))
        self._coming = self.arrivals.times(demands, simulation.stream(f"{name}.arrivals"))
        self._alarm = Alarm(simulation.env, self._arrive)
        self._schedule(simulation.now)

    def ended(self, request: Request) -> None:
        """An open loop does not listen."""

    def figures(self) -> dict[str, Value]:
        """None."""
        return {}

    def _schedule(self, now_s: float) -> None:
        coming = next(self._coming, None)
        if coming is None:
            self._over = True
            return
        time_s, self._next = coming
        if not time_s >= now_s:
            raise ConfigError(f"arrivals: a request at {time_s} s after one at {now_s} s")
        self._alarm.ring(time_s)

    def _arrive(self, _: simpy.Event) -> None:
        demand = self._next
        self._schedule(self._simulation.env.now)
        self._take(demand)

    def _ahead(self, demands: Iterator[Demand]) -> Iterator[Demand]:
        return self._gateway.ahead(demands)

    def _take(self, demand: Demand) -> None:
        """A demand's time has come."""
        self._gateway.submit(demand)


#: Rejected requests in a row, at one instant, after which a closed loop gives up.
_PATIENCE = 1_000


class ClosedLoop:
    """A fixed number of requests in flight: as one ends, the next is sent after `think_s`.

    `concurrency` requests start at once (the client of common serving benchmarks).
    """

    def __init__(self, workload: Workload, concurrency: int, think_s: float = 0.0) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ConfigError(f"client.concurrency: {concurrency!r} is not a whole number >= 1")
        if not think_s >= 0.0:
            raise ConfigError(f"client.think_s: {think_s!r} is not a time >= 0")
        self.workload = workload
        self.concurrency = concurrency
        self.think_s = think_s
        self.exhausted = False
        self._rejected_in_row = 0
        self._rejected_s = -1.0

    def start(self, simulation: Simulation, gateway: Entrance, name: str) -> None:
        if not self.workload.finite and simulation.until_s is None:
            raise ConfigError("workload: it never ends; give workload.count or until_s")
        self._simulation = simulation
        self._gateway = gateway
        self._demands = gateway.ahead(self.workload.demands(simulation.stream(f"{name}.demands")))
        self._advance()
        for _ in range(self.concurrency):
            simulation.at(simulation.now, self._send)

    def ended(self, request: Request) -> None:
        """Send the next. Raises ConfigError where no time passes between one that is rejected and
        the next, again and again."""
        if self.exhausted:
            return
        now = self._simulation.env.now
        if request.finish_s >= 0.0 or now > self._rejected_s:
            self._rejected_in_row = 0
        elif self._rejected_in_row >= _PATIENCE:
            raise ConfigError(
                f"client: {_PATIENCE} requests in a row were rejected at {now} s; their lengths "
                "exceed the context or the KV cache (see engine.over_context)"
            )
        self._rejected_in_row += 1
        self._rejected_s = now
        self._simulation.at(now + self.think_s, self._send)

    def figures(self) -> dict[str, Value]:
        """None."""
        return {}

    def _send(self, _: simpy.Event) -> None:
        demand = self._next
        if demand is not None:
            self._advance()
            self._gateway.submit(demand)

    def _advance(self) -> None:
        self._next = next(self._demands, None)
        self.exhausted = self._next is None
