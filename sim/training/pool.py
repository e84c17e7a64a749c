"""The GPUs that jobs of one system may have."""

from __future__ import annotations

from collections.abc import Sequence

from models.capped_cost import CappedCost, PowerLimit
from models.elastic import Level
from models.step_cost import StepCost
from sim.carbon.site import Site
from sim.core.errors import ConfigError
from sim.core.simulation import Simulation
from sim.hardware.device import DeviceGroup
from sim.hardware.gpu import Gpu


class Pool:
    """All GPUs of one model on one kind of node at one site, whoever has them.

    `gpu`: the model (None: the cluster's one). `tenant`: for whom they are taken. Raises
    ConfigError where there are none, where they differ, or where the run has no sites.
    """

    def __init__(self, simulation: Simulation, gpu: str | None, tenant: str) -> None:
        cluster, sites = simulation.cluster, simulation.sites
        if cluster is None:
            raise ConfigError(f"{tenant}: needs a cluster")
        if sites is None:
            raise ConfigError(f"{tenant}: needs sites, by whose grid it plans")
        self._cluster = cluster
        self._tenant = tenant
        self.gpus = [each for each in cluster.gpus if gpu in (None, each.spec.name)]
        if not self.gpus:
            raise ConfigError(f"{tenant}.gpu: the cluster has no {gpu or 'GPU'}")
        nodes = [cluster.node_of(each) for each in self.gpus]
        kinds = {(g.spec.name, node.spec.name) for g, node in zip(self.gpus, nodes, strict=True)}
        if len(kinds) > 1:
            raise ConfigError(
                f"{tenant}.gpu: its GPUs are of {len(kinds)} kinds of GPU and node, "
                f"{sorted(kinds)}; give a model whose GPUs are of one"
            )
        places = sorted({sites.site_of(node.name).name for node in nodes})
        if len(places) > 1:
            raise ConfigError(
                f"{tenant}.gpu: its {self.gpus[0].spec.name} GPUs stand at {len(places)} sites, "
                f"{' and '.join(places)}; jobs are planned by the grid of one and have all their "
                "GPUs there: choose a sites= with one site, or give a model whose GPUs stand at one"
            )
        self.site: Site = sites.site_of(nodes[0].name)
        self.spec = self.gpus[0].spec
        self._taken: dict[DeviceGroup, list[Gpu]] = {}
        self._order = {each: i for i, each in enumerate(self.gpus)}

    def free(self) -> int:
        """GPUs that nobody has."""
        return sum(1 for gpu in self.gpus if self._cluster.holder(gpu) is None)

    def take(self, count: int) -> DeviceGroup:
        """So many of them. Raises CapacityError where they are not free."""
        gpus = self._cluster.allocate(count, self.spec.name, self._tenant)
        group = DeviceGroup(gpus, min(self._order[gpu] for gpu in gpus), self._tenant)
        self._taken[group] = gpus
        return group

    def give_back(self, group: DeviceGroup) -> None:
        """Give a group's GPUs back."""
        group.disband()
        self._cluster.release(self._taken.pop(group))

    def worth_having(self, levels: Sequence[Level]) -> tuple[Level, ...]:
        """Those that a power cap leaves as fast as fewer GPUs, or faster."""
        found: list[Level] = []
        fastest = 0.0
        for level, pace in zip(levels, self.paces(levels), strict=True):
            if pace >= fastest:
                fastest = pace
                found.append(level)
        return tuple(found)

    def paces(self, levels: Sequence[Level]) -> list[float]:
        """Progress in a second at each level, in seconds of work at the least number of GPUs
        without a power cap: less where the lowest cap of the pool slows them."""
        return [level.work_per_s / self.slow(level.power_share) for level in levels]

    def added_w(self, levels: Sequence[Level]) -> list[float]:
        """What a job adds at each level to what its GPUs draw idle, whoever has them."""
        range_w = self.spec.peak_w - self.spec.idle_w
        most = 1.0 if self._limit is None else self._limit.share
        return [level.gpus * min(most, level.power_share) * range_w for level in levels]

    def slow(self, power_share: float) -> float:
        """Seconds that a second of work takes that would draw such a share of the dynamic range."""
        work = StepCost(1.0, active_first=power_share)
        return 1.0 if self._limit is None else CappedCost(work, self._limit, 1.0).first

    @property
    def _limit(self) -> PowerLimit | None:
        limits = [gpu.limit for gpu in self.gpus if gpu.limit is not None]
        return min(limits, key=lambda limit: limit.share, default=None)
