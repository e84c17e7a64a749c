"""GPUs capped as their site's grid and cooling change."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from models.carbon.catalogue import EmbodiedCatalogue
from policies.capping.contract import Capping, CapView
from sim.core.errors import ConfigError
from sim.hardware.cluster import Node
from sim.hardware.gpu import Gpu

if TYPE_CHECKING:
    from sim.carbon.site import Site
    from sim.core.simulation import Simulation


class PowerCaps:
    """Asks a policy for the cap of every GPU when the run begins, and whenever a signal of its site
    changes. Figures: by site the mean cap over time (1 without one), and changes.

    embodied: what making costs, for the policy alone. Raises ConfigError without sites, without
    GPUs, for GPUs that have a cap already, and for a cap that a GPU's model does not know.
    """

    def __init__(
        self, *, policy: Capping, embodied: EmbodiedCatalogue, name: str = "capping"
    ) -> None:
        self.name = name
        self._policy = policy
        self._embodied = embodied
        #: By site: GPUs with all of their view that stays; cap, since when, its integral, changes.
        self._gpus: dict[Site, list[tuple[Gpu, dict[str, Any]]]] = {}
        self._caps: dict[Gpu, float] = {}
        self._since_s: dict[Site, float] = {}
        self._integral: dict[Site, float] = {}
        self._changes: dict[Site, int] = {}

    def start(self, simulation: Simulation) -> None:
        """Cap what there is, and come back at each change of a signal."""
        self._simulation = simulation
        sites, cluster = simulation.sites, simulation.cluster
        if sites is None or cluster is None or not cluster.gpus:
            raise ConfigError(f"{self.name}: caps GPUs by their site; it needs both")
        for site, nodes in zip(sites.sites, sites.nodes, strict=True):
            self._gpus[site] = [each for node in nodes for each in self._seen(node)]
            self._since_s[site], self._integral[site], self._changes[site] = 0.0, 0.0, 0
            self._set(site, simulation.now)
            simulation.sample(site.next_edge_s(simulation.now), partial(self._edge, site))

    def done(self) -> bool:
        return True

    def snapshot(self) -> dict[str, object]:
        return {"caps": {gpu.name: cap for gpu, cap in self._caps.items()}}

    def finish(self, results: Any) -> None:
        now = self._simulation.now
        for site, gpus in self._gpus.items():
            self._pass(site, now)
            mean = self._integral[site] / now / len(gpus) if gpus and now else None
            figures = {"cap.mean": mean, "cap.changes": self._changes[site]}
            results.figures(f"{self.name}.{site.name}", figures)

    def _seen(self, node: Node) -> list[tuple[Gpu, dict[str, Any]]]:
        if not node.gpus:
            return []
        share = 1.0 / len(node.gpus)
        lives = self._embodied.node(node.spec).values()
        rest_g_per_s = share * sum(life.g_per_s for life in lives)
        others = (node.cpu, node.smartnic, node.fpga)
        rest_w = node.spec.base_w + sum(d.meter.idle_w for d in others if d is not None)
        found = []
        for gpu in node.gpus:
            if gpu.capped_speed is None:
                raise ConfigError(f"{self.name}: {gpu.name} needs a capped_speed")
            if gpu.limit is not None:
                raise ConfigError(
                    f"{self.name}: {gpu.name} has a power_cap already; leave out one of both"
                )
            made = self._embodied.device(gpu.spec.name)
            view = {
                "name": gpu.spec.name,
                "peak_w": gpu.spec.peak_w,
                "standing_w": share * rest_w,
                "speed": gpu.capped_speed,
                "embodied_g_per_s": made.g_per_s + rest_g_per_s,
            }
            found.append((gpu, view))
        return found

    def _edge(self, site: Site, now_s: float) -> float | None:
        if now_s >= site.end_s:
            return None
        self._pass(site, now_s)
        self._set(site, now_s)
        return site.next_edge_s(now_s)

    def _pass(self, site: Site, now_s: float) -> None:
        lasted_s = now_s - self._since_s[site]
        self._integral[site] += lasted_s * sum(self._caps[gpu] for gpu, _ in self._gpus[site])
        self._since_s[site] = now_s

    def _set(self, site: Site, now_s: float) -> None:
        intensity, pue = site.grid.at(now_s), site.pue_at(now_s)
        for gpu, known in self._gpus[site]:
            view = CapView(intensity_g_per_kwh=intensity, pue=pue, **known)
            try:
                cap = self._policy.cap(view, now_s)
                share = 1.0 if cap is None else cap
                before = self._caps.get(gpu, inf)
                if share != before:
                    gpu.cap(cap)
            except ConfigError as error:
                raise ConfigError(f"{self.name}: {gpu.name}: {error}") from None
            self._caps[gpu] = share
            self._changes[site] += share != before != inf
