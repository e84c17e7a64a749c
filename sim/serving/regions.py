"""Replicas at several sites: where each stands, and requests on their way there and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import simpy

from policies.routing.contract import Routing
from sim.core.errors import ConfigError
from sim.core.simulation import Simulation
from sim.serving.replica import Replica
from sim.serving.request import Request

if TYPE_CHECKING:
    from sim.carbon.outlook import Outlook

_SEVERAL = "choose cluster=two_regions sites=two_regions replicas=2"


class Regions:
    """The sites of a gateway's replicas, for policies that ask. Raises ConfigError where the run
    has no sites, or where the GPUs of one replica stand at several."""

    def __init__(self, simulation: Simulation, replicas: Sequence[Replica]) -> None:
        sites, cluster = simulation.sites, simulation.cluster
        if sites is None or cluster is None:
            raise ConfigError(f"routing: the policy asks for sites; {_SEVERAL}, say")
        self._sites = sites
        self._replicas = replicas
        self.outlooks: list[Outlook] = []
        for replica in replicas:
            names = {
                node.name
                for node in cluster.nodes
                for gpu in node.gpus
                if gpu in replica.group.devices
            }
            outlooks = {sites.outlook(name).name: sites.outlook(name) for name in sorted(names)}
            if len(outlooks) > 1:
                raise ConfigError(
                    f"replicas: the GPUs of replica {replica.index} stand at "
                    f"{' and '.join(outlooks)}; give each site nodes with room for whole replicas "
                    "(cluster.nodes)"
                )
            self.outlooks += outlooks.values()

    def check_apart(self, routing: Routing) -> None:
        """Raises ConfigError where all replicas are alike to a policy that tells them apart by site
        and hardware."""
        kinds = [
            (outlook.name, replica.group.devices[0].spec, replica.group.limit)
            for outlook, replica in zip(self.outlooks, self._replicas, strict=True)
        ]
        if all(kind == kinds[0] for kind in kinds):
            raise ConfigError(
                f"routing: {type(routing).__name__} chooses between sites, and all replicas stand "
                f"at {self.outlooks[0].name} on like GPUs; {_SEVERAL}, say, or another routing"
            )

    def round_trip_s(self, origin: str, replica: int) -> float:
        """Network time from a region to a replica and back."""
        return self._sites.round_trip_s(origin, self.outlooks[replica].name)


class Trips:
    """Carries requests to replicas, and their last tokens back: half a round trip each way. The
    first token is on its way as long; a request's times are those that its region sees."""

    def __init__(self, simulation: Simulation, regions: Regions) -> None:
        self._simulation = simulation
        self._regions = regions
        self._going: dict[int, tuple[Request, Replica, simpy.Event]] = {}
        self._coming: dict[int, Request] = {}

    def check(self, origin: str) -> None:
        """Raises ConfigError for a region without distances."""
        self._regions.round_trip_s(origin, 0)

    def send(self, request: Request, replica: Replica, more: bool) -> None:
        """To a replica; `more` as in `Replica.submit`."""
        way_s = 0.5 * self._regions.round_trip_s(request.origin, replica.index)
        request.back_s = way_s
        if not way_s:
            replica.submit(request, more)
            return
        event = self._simulation.at(self._simulation.now + way_s, lambda _: self._land(request))
        self._going[request.id] = request, replica, event

    def turn_back(self, replica: Replica) -> list[Request]:
        """Its devices have failed: those that were on their way to it, in order."""
        lost = [request for request, to, _ in self._going.values() if to is replica]
        for request in lost:
            self._simulation.cancel(self._going.pop(request.id)[2])
        return lost

    def bring_home(self, request: Request, end: Callable[[Request], None]) -> None:
        """From a replica that has finished it; then call `end`."""
        if not request.back_s:
            end(request)
            return
        self._coming[request.id] = request

        def arrive(_: simpy.Event) -> None:
            del self._coming[request.id]
            end(request)

        self._simulation.at(request.finish_s, arrive)

    def requests(self) -> list[Request]:
        """All that are on their way."""
        return [*(request for request, _, _ in self._going.values()), *self._coming.values()]

    def _land(self, request: Request) -> None:
        _, replica, _ = self._going.pop(request.id)
        replica.submit(request)
