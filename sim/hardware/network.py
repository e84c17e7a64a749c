"""The network: endpoints, links between them, and transfers that share the links fairly."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

import simpy

from models.hardware.link_spec import LinkSpec
from sim.core.errors import ConfigError
from sim.core.simulation import Simulation
from sim.hardware.facts import TransferEnded
from sim.hardware.faults import Down
from sim.hardware.link import Cable, Link
from sim.hardware.sharing import Activity, Resource, Sharing


@dataclass(frozen=True, slots=True)
class Route:
    """Links from one endpoint to another and their latency together."""

    links: tuple[Link, ...]
    latency_s: float
    uses: tuple[tuple[Resource, float], ...]


class Transfer(simpy.Event):
    """Bytes on their way; the event fires when the last one has arrived, with their number.

    All links of the route carry the transfer at once, at its max-min fair rate; the last byte
    arrives a route's latency after it was sent.
    """

    def __init__(
        self,
        network: Network,
        source: str,
        target: str,
        size_bytes: float,
        route: Route,
        on_failure: Literal["stall", "error"],
        tag: str,
    ) -> None:
        super().__init__(network.simulation.env)
        self.network = network
        self.source = source
        self.target = target
        self.size_bytes = size_bytes
        self.route = route
        self.on_failure = on_failure
        self.tag = tag
        self.start_s = network.simulation.env.now
        self.activity: Activity | None = None
        self.cancelled = False

    @property
    def moved_bytes(self) -> float:
        """Bytes sent until now."""
        activity = self.activity
        if activity is None:
            return self.size_bytes
        return activity.progress(self.network.simulation.env.now)

    @property
    def rate_bytes_per_s(self) -> float:
        """Rate as of the last settling; 0 when all is sent."""
        if self.activity is None:
            return 0.0
        return self.activity.rate

    def cancel(self) -> float:
        """Stop sending: the event never fires. Returns the bytes moved; if that is all of them,
        it was too late and the event fires."""
        activity = self.activity
        if activity is None:
            return self.size_bytes
        moved = self.network.sharing.stop(activity)
        if not self.triggered and not self.cancelled:
            self.cancelled = True
            self._tell(moved)
        return moved

    def link_failed(self, link: Link) -> None:
        """A link of the route failed: stall, or fail."""
        if self.on_failure == "stall" or self.activity is None:
            return
        moved = self.network.sharing.stop(self.activity)
        if not self.triggered:
            self._tell(moved)
            self.fail(self._down(link, moved))

    def _down(self, link: Link, moved: float) -> Down:
        return Down(
            f"transfer {self.source} -> {self.target}: link {link.name} is down at "
            f"{self.env.now} s after {moved:g} of {self.size_bytes:g} bytes"
        )

    def _sent(self) -> None:
        """The last byte was sent: it arrives a latency later."""
        self._ok = True
        self._value = self.size_bytes
        env = self.network.simulation.env
        if self.network.listeners and self.callbacks is not None:
            self.callbacks.append(lambda _: self._tell(self.size_bytes))
        env.schedule_at(self, env.now + self.route.latency_s)

    def _tell(self, moved: float) -> None:
        if self.network.listeners:
            fact = TransferEnded(
                self.start_s,
                self.env.now,
                self.source,
                self.target,
                self.size_bytes,
                moved,
                self.tag,
            )
            for listener in self.network.listeners:
                listener(fact)


class Network:
    """Endpoints by name, links between them, routes of fewest hops.

    Routes are computed once a pair, ties by the order of `connect`; a failed link is not routed
    around. `links` (by "a->b") and `cables` (by "a--b") are what can break.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.sharing = Sharing(simulation)
        self.links: dict[str, Link] = {}
        self.cables: dict[str, Cable] = {}
        self.listeners = simulation.listeners(TransferEnded)
        self._next: dict[str, dict[str, Link]] = {}
        self._routes: dict[tuple[str, str], Route] = {}

    def connect(self, a: str, b: str, spec: LinkSpec, width: float = 1.0) -> Cable:
        """A full-duplex link between two endpoints, `width` of the spec side by side.

        Raises ConfigError if the two are connected already or are one.
        """
        if a == b:
            raise ConfigError(f"network: {a!r} cannot be connected to itself")
        forward, backward = (
            Link(self.simulation, self.sharing, spec, source, target, width)
            for source, target in ((a, b), (b, a))
        )
        for link in (forward, backward):
            if link.name in self.links:
                raise ConfigError(f"network: {a!r} and {b!r} are connected already")
        for link in (forward, backward):
            self.links[link.name] = link
            self._next.setdefault(link.source, {})[link.target] = link
        cable = Cable(forward, backward)
        self.cables[cable.name] = cable
        self._routes.clear()
        return cable

    def route(self, source: str, target: str) -> Route:
        """The route of fewest hops. Raises ConfigError if there is none."""
        route = self._routes.get((source, target))
        if route is None:
            links = self._search(source, target)
            route = Route(
                links,
                sum(link.spec.latency_s for link in links),
                tuple((link.resource, 1.0) for link in links),
            )
            self._routes[source, target] = route
        return route

    def send(
        self,
        size_bytes: float,
        source: str,
        target: str,
        *,
        cap_bytes_per_s: float = inf,
        weight: float = 1.0,
        on_failure: Literal["stall", "error"] = "stall",
        tag: str = "",
    ) -> Transfer:
        """Send bytes; wait for the returned event.

        `cap_bytes_per_s`: highest rate (of the sender's software, say). `weight`: share of a full
        link relative to other transfers. `on_failure`: while a link is down the transfer stalls,
        or its event fails with `Down`. `tag`: for observers. Raises ValueError for a size that
        is negative or not finite.
        """
        if not (size_bytes >= 0.0 and isfinite(size_bytes)):
            raise ValueError(f"transfer {source} -> {target}: {size_bytes!r} bytes")
        if not (cap_bytes_per_s > 0.0 and 0.0 < weight < inf):
            raise ValueError(
                f"transfer {source} -> {target}: cap {cap_bytes_per_s!r} bytes/s and weight "
                f"{weight!r} must be > 0"
            )
        route = self.route(source, target)
        transfer = Transfer(self, source, target, size_bytes, route, on_failure, tag)
        if on_failure == "error":
            for link in route.links:
                if not link.up:
                    transfer._tell(0.0)
                    transfer.fail(transfer._down(link, 0.0))
                    return transfer
        if size_bytes == 0.0 or not route.links:
            transfer._sent()
            return transfer
        transfer.activity = Activity(
            size_bytes,
            route.uses,
            cap=cap_bytes_per_s,
            weight=weight,
            on_end=transfer._sent,
            owner=transfer,
        )
        self.sharing.begin(transfer.activity)
        return transfer

    def under_way(self) -> list[Transfer]:
        """Transfers whose last byte has not been sent, for snapshots."""
        found: dict[Transfer, None] = {}
        for link in self.links.values():
            for activity in link.resource.activities:
                if isinstance(activity.owner, Transfer):
                    found[activity.owner] = None
        return list(found)

    @property
    def energy_j(self) -> float:
        """Energy of all links until now."""
        return sum(link.energy_j for link in self.links.values())

    def _search(self, source: str, target: str) -> tuple[Link, ...]:
        for name in (source, target):
            if name not in self._next:
                raise ConfigError(f"network: there is no endpoint {name!r}")
        came: dict[str, Link] = {}
        queue = deque([source])
        while queue and target not in came and source != target:
            here = queue.popleft()
            for there, link in self._next[here].items():
                if there not in came and there != source:
                    came[there] = link
                    queue.append(there)
        links: list[Link] = []
        here = target
        while here != source:
            if here not in came:
                raise ConfigError(f"network: no way from {source!r} to {target!r}")
            links.append(came[here])
            here = came[here].source
        return tuple(reversed(links))
