"""Several clients of one gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from policies.routing.contract import SiteView
from sim.core.errors import ConfigError
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.serving.clients import Client, Entrance
from sim.serving.request import Request
from workloads.demand import Demand


class Together:
    """Clients side by side, by name, each with random streams of its own: one that is added changes
    nothing of what the others ask."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        if not clients:
            raise ConfigError("client.clients: name at least one")
        self.clients = dict(clients)
        self._owner: dict[int, Client] = {}
        self._sending: Client | None = None

    def start(self, simulation: Simulation, gateway: Entrance, name: str) -> None:
        for key, client in self.clients.items():
            client.start(simulation, _Door(self, client, gateway), f"{name}.{key}")

    def ended(self, request: Request) -> None:
        """Tell who sent it."""
        owner = self._owner.pop(request.id, None)
        if owner is None:
            # Rejected before `submit` has returned.
            owner, self._sending = self._sending, None
        assert owner is not None
        owner.ended(request)

    @property
    def exhausted(self) -> bool:
        return all(client.exhausted for client in self.clients.values())

    def figures(self) -> dict[str, Value]:
        """Those of each client, under its name."""
        return {
            f"{key}.{figure}": value
            for key, client in self.clients.items()
            for figure, value in client.figures().items()
        }

    def submit(self, client: Client, gateway: Entrance, demand: Demand) -> Request:
        """A client sends a request."""
        self._sending = client
        request = gateway.submit(demand)
        if self._sending is not None:
            self._owner[request.id] = client
            self._sending = None
        return request


class _Door:
    """A gateway as one of several clients sees it."""

    def __init__(self, together: Together, client: Client, gateway: Entrance) -> None:
        self._together = together
        self._client = client
        self._gateway = gateway

    def ahead(self, demands: Iterator[Demand]) -> Iterator[Demand]:
        """Nobody knows whose demand is next."""
        return demands

    def submit(self, demand: Demand) -> Request:
        return self._together.submit(self._client, self._gateway, demand)

    @property
    def outstanding_requests(self) -> Sequence[int]:
        return self._gateway.outstanding_requests

    @property
    def up(self) -> Sequence[int]:
        return self._gateway.up

    @property
    def on_up(self) -> list[Callable[[], None]]:
        return self._gateway.on_up

    @property
    def sites(self) -> Sequence[SiteView]:
        return self._gateway.sites
