"""The sites of a run, settled step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from math import isfinite
from typing import NamedTuple

from models.carbon.calendar import moment
from models.errors import TraceError
from sim.carbon.netting import Netting, SiteSettled
from sim.carbon.outlook import Outlook
from sim.carbon.site import Site
from sim.core.errors import ConfigError
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, Node
from sim.hardware.facts import HoldersChanged
from sim.hardware.link import Link


class StepOver(NamedTuple):
    """A step of all sites is over, in which no signal of theirs changed, nor who has which GPU.
    What it emitted is told, once it is known, by a `SiteSettled` of each site."""

    start_s: float
    end_s: float


class Sites:
    """Where the nodes of a cluster stand.

    `sites`: by name. Every node belongs to one: to the first that names it, or to the one that
    names none. Links belong to the site of the node at either end (the sender's first).
    `round_trips_s`: seconds from each region that requests come from to every site and back; None:
    no distances are counted. Raises ConfigError for a node that no site takes, for two sites that
    take all the rest, and for a distance that is missing or is none.
    """

    def __init__(
        self,
        sites: Mapping[str, Site],
        round_trips_s: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        if not sites:
            raise ConfigError("sites: name at least one")
        self.sites = list(sites.values())
        self._names = list(sites)
        rest = [name for name, site in sites.items() if site.nodes is None]
        if len(rest) > 1:
            raise ConfigError(f"sites: {', '.join(rest)} all take the nodes that no other names")
        self.round_trips_s = round_trips_s
        self._check_distances()
        self._outlooks: dict[str, Outlook] = {}
        self.nodes: list[list[Node]] = []
        self.links: list[list[Link]] = []
        self._of: dict[str, int] = {}

    def begin(self, simulation: Simulation) -> None:
        """Draw the signals, place the nodes, and settle at every step from now on."""
        cluster = simulation.cluster
        assert cluster is not None
        self._simulation = simulation
        for name, site in zip(self._names, self.sites, strict=True):
            site.begin(name, simulation.stream)
        self._check_dates()
        for until_s in (simulation.until_s, simulation.idle_until_s):
            for site in self.sites:
                if until_s is not None and until_s > site.end_s:
                    raise self._ends(site, until_s)
        self._place(cluster)
        self._drawn_j = [self._energy_j(i, simulation.now) for i in range(len(self.sites))]
        self._start_s = simulation.now
        self._periods = [Netting(i, site, self._start_s) for i, site in enumerate(self.sites)]
        self._over, self._settled = (
            simulation.listeners(StepOver),
            simulation.listeners(SiteSettled),
        )
        simulation.facts.subscribe(HoldersChanged, self._holders_changed)
        simulation.sample(self._next_s(simulation.now), self._edge)

    def site_of(self, node: str) -> Site:
        """The site of a node."""
        return self.sites[self._of[node]]

    def outlook(self, node: str) -> Outlook:
        """What policies see of a node's site."""
        site = self.site_of(node)
        if site.name not in self._outlooks:
            simulation = self._simulation
            rng = partial(simulation.stream, f"sites.{site.name}.forecast")
            self._outlooks[site.name] = Outlook(site, rng, lambda: simulation.env.now)
        return self._outlooks[site.name]

    def round_trip_s(self, origin: str, site: str) -> float:
        """From a region to a site and back; 0 where no distances are given. Raises ConfigError for
        a region without distances."""
        if self.round_trips_s is None:
            return 0.0
        if origin not in self.round_trips_s:
            comes = f"region {origin!r}" if origin else "no region"
            raise ConfigError(
                f"client: a request comes from {comes}, and sites.round_trips_s has the distances "
                f"from {', '.join(self.round_trips_s)} alone; choose client=two_regions or "
                "deferred_two_regions, or say where requests come from (an origin column of a "
                "table, or workloads.origins.FromRegions)"
            )
        return self.round_trips_s[origin][site]

    def close(self, now_s: float) -> None:
        """The run is over: settle what is under way. Raises TraceError where a signal has ended
        before."""
        self._step(now_s)
        for period in self._periods:
            if period.start_s < now_s:
                self._settle(period, now_s)

    def _step(self, now_s: float) -> None:
        start_s = self._start_s
        if now_s == start_s:
            return
        for site in self.sites:
            if now_s > site.end_s:
                raise self._ends(site, now_s)
        for i, period in enumerate(self._periods):
            drawn_j = self._energy_j(i, now_s)
            period.add(start_s, now_s, max(0.0, drawn_j - self._drawn_j[i]))
            self._drawn_j[i] = drawn_j
        self._start_s = now_s
        over = StepOver(start_s, now_s)
        for listener in self._over:
            listener(over)
        for period in self._periods:
            if not period.site.netted or now_s >= period.ends_s:
                self._settle(period, now_s)

    def _settle(self, period: Netting, now_s: float) -> None:
        settled = period.settle(now_s)
        for listener in self._settled:
            listener(settled)

    def _check_dates(self) -> None:
        """Raises ConfigError where the run would begin at two moments."""
        dates = {
            f"sites.{name}.{key}": source.clock.date_s
            for name, site in zip(self._names, self.sites, strict=True)
            for key, source in (("intensity", site.intensity), ("marginal", site.marginal))
            if source is not None and source.clock is not None and source.clock.date_s is not None
        }
        if len(set(dates.values())) > 1:
            said = ", ".join(f"{key} {moment(date_s)}" for key, date_s in dates.items())
            raise ConfigError(f"starts: the run begins at one moment, not at {said}")

    def _check_distances(self) -> None:
        for origin, row in (self.round_trips_s or {}).items():
            key = f"sites.round_trips_s.{origin}"
            for name in row:
                if name not in self._names:
                    raise ConfigError(f"{key}.{name}: no such site; {', '.join(self._names)}")
            for name in self._names:
                if name not in row:
                    raise ConfigError(f"{key}: has no time to {name}")
                if not (row[name] >= 0.0 and isfinite(row[name])):
                    raise ConfigError(f"{key}.{name} = {row[name]!r}; it must be finite and >= 0")

    def _place(self, cluster: Cluster) -> None:
        rest = next((i for i, site in enumerate(self.sites) if site.nodes is None), None)
        self.nodes = [[] for _ in self.sites]
        self.links = [[] for _ in self.sites]
        for node in cluster.nodes:
            at = next((i for i, site in enumerate(self.sites) if site.names(node.name)), rest)
            if at is None:
                raise ConfigError(
                    f"sites: no site takes node {node.name}; give it to one of "
                    f"{', '.join(self._names)} (nodes), or leave out `nodes` of one"
                )
            self.nodes[at].append(node)
            self._of[node.name] = at
        for name, at_nodes in zip(self._names, self.nodes, strict=True):
            if not at_nodes:
                raise ConfigError(
                    f"sites.{name}: has none of the cluster's {len(cluster.nodes)} nodes"
                )
        for link in cluster.network.links.values():
            ends = (link.source.split("/")[0], link.target.split("/")[0])
            at = next((self._of[end] for end in ends if end in self._of), 0)
            self.links[at].append(link)

    def _energy_j(self, at: int, now_s: float) -> float:
        nodes_j = sum([node.energy_j(now_s) for node in self.nodes[at]])
        return nodes_j + sum([link.energy_j for link in self.links[at]])

    def _next_s(self, now_s: float) -> float:
        """When something changes next; just after the end of a signal, to say that it has ended."""
        edges = [
            math.nextafter(site.end_s, math.inf) if now_s >= site.end_s else site.next_edge_s(now_s)
            for site in self.sites
        ]
        return min(*edges, *[period.ends_s for period in self._periods])

    def _edge(self, now_s: float) -> float:
        self._step(now_s)
        return self._next_s(now_s)

    def _holders_changed(self, _: HoldersChanged) -> None:
        now = self._simulation.now
        if now > self._start_s:
            self._simulation.sample(now, self._once)

    def _once(self, now_s: float) -> None:
        self._step(now_s)

    @staticmethod
    def _ends(site: Site, now_s: float) -> TraceError:
        first = min(site.signals(), key=lambda signal: signal.end_s)
        return TraceError(
            f"sites.{site.name}: {first.name} ends at {first.end_s:g} s of the run, which goes on "
            f"to {now_s:g} s or beyond; give a longer signal"
        )
