"""Parts of a cluster that draw power and have been made: what each has drawn, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from models.carbon.catalogue import EmbodiedCatalogue
from models.carbon.lifetime import Life
from sim.hardware.cluster import Cluster, Node
from sim.hardware.cpu import Cpu
from sim.hardware.device import Device
from sim.hardware.gpu import Gpu
from sim.hardware.link import Link
from sim.hardware.metering import MeterOpened
from sim.hardware.smartnic import SmartNic

#: The tenant of what nobody has.
IDLE = "idle"
#: The tenant of work that nobody owns up to, and of links.
SHARED = "shared"


class Claim(NamedTuple):
    """Who answers for a share: a tenant, and which of the meters (-1: none knows more)."""

    tenant: str
    meter: int = -1


Shares = Mapping[Claim, float]


@dataclass(slots=True)
class Drawn:
    """What a part took in a step: energy without work and its carbon of making by who holds it,
    energy of work by who it was done for. `held` and `used` sum to 1 where there is anything."""

    standing_j: float
    dynamic_j: float
    embodied_g: float
    held: Shares
    used: Shares


class Part:
    """One part. `site`: index of its site; `component`: gpu, cpu, host, ... ; `life`: of its
    making (None: not counted). `read` gives standing and dynamic energy until a time, `held` who
    holds it now, `use` growing figures of use by claim (None: of all that hold it). `occupied`
    (instead of `held`): seconds for which claims had it so far, the rest of the time nobody."""

    def __init__(
        self,
        site: int,
        component: str,
        life: Life | None,
        read: Callable[[float], tuple[float, float]],
        held: Callable[[], Shares],
        use: Callable[[float], Shares] | None = None,
        now_s: float = 0.0,
        age_s: float = 0.0,
        occupied: Callable[[float], Shares] | None = None,
    ) -> None:
        self.site = site
        self.component = component
        self.life = life
        self._read = read
        self._held = held
        self._use = use
        self._deployed_s = now_s - age_s
        self._before_s = now_s
        self._before = read(now_s)
        self._held_before = held()
        self._used_before = use(now_s) if use is not None else {}
        self._occupied = occupied
        self._occupied_before = occupied(now_s) if occupied is not None else {}

    def step(self, now_s: float) -> Drawn:
        """What it took since the last step."""
        standing_j, dynamic_j = self._read(now_s)
        before = self._before
        embodied_g = 0.0
        if self.life is not None:
            since, until = self._before_s - self._deployed_s, now_s - self._deployed_s
            embodied_g = self.life.accrued_g(since, until)
        held = self._held_before
        if self._occupied is not None:
            held = self._by_time(self._occupied(now_s), now_s - self._before_s)
        drawn = Drawn(
            max(0.0, standing_j - before[0]),
            max(0.0, dynamic_j - before[1]),
            embodied_g,
            held,
            self._used(now_s, held),
        )
        self._before = standing_j, dynamic_j
        self._before_s = now_s
        self.look_anew()
        return drawn

    def look_anew(self) -> None:
        """See who holds it now, at the start of a step."""
        self._held_before = self._held()

    def _by_time(self, occupied: Shares, lasted_s: float) -> Shares:
        before, self._occupied_before = self._occupied_before, occupied
        grown = {claim: value - before.get(claim, 0.0) for claim, value in occupied.items()}
        # Tenants that fill different resources may have more than all together.
        whole_s = max(lasted_s, sum(grown.values()))
        if not whole_s > 0.0:
            return {Claim(IDLE): 1.0}
        held = {claim: value / whole_s for claim, value in grown.items() if value > 0.0}
        rest = 1.0 - sum(held.values())
        return {**held, Claim(IDLE): rest} if rest > 0.0 else held

    def _used(self, now_s: float, held: Shares) -> Shares:
        if self._use is None:
            return held
        now = self._use(now_s)
        before = self._used_before
        self._used_before = now
        grown = {claim: value - before.get(claim, 0.0) for claim, value in now.items()}
        grown = {claim: value for claim, value in grown.items() if value > 0.0}
        total = sum(grown.values())
        if not total > 0.0:
            return {Claim(SHARED): 1.0}
        return {claim: value / total for claim, value in grown.items()}


class Owners:
    """Whose a tenant, a GPU or a node is."""

    def __init__(self, cluster: Cluster, systems: list[str], opened: list[MeterOpened]) -> None:
        self._cluster = cluster
        self._systems = systems
        # A tenant's work on a device is its meter's, in whichever of its groups it was done.
        self._meter = {
            (self.tenant(meter.tenant), id(device)): index
            for index, meter in enumerate(opened)
            for device in meter.group.devices
        }

    def tenant(self, name: str) -> str:
        """The system that works under a name: a part of one is `its name, a space, ...`."""
        if not name:
            return SHARED
        for system in self._systems:
            if name == system or name.startswith(f"{system} "):
                return system
        return name

    def of_gpu(self, gpu: Gpu) -> Claim:
        """Who has a GPU."""
        holder = self._cluster.holder(gpu)
        if holder is None:
            return Claim(IDLE)
        return self._claim(holder, gpu)

    def of_nic(self, nic: SmartNic) -> Shares:
        """A NIC by who has it for itself."""
        return {self._claim(nic.tenant, nic): 1.0}

    def held(self, gpu: Gpu) -> Shares:
        """The same as a share."""
        return {self.of_gpu(gpu): 1.0}

    def of_node(self, node: Node) -> Shares:
        """A node by who has its GPUs."""
        shares: dict[Claim, float] = {}
        for gpu in node.gpus:
            claim = self.of_gpu(gpu)
            shares[claim] = shares.get(claim, 0.0) + 1.0 / len(node.gpus)
        return shares

    def on_host(self, node: Node, now_s: float) -> Shares:
        """Seconds for which tenants have had a node's processors until now."""
        had: dict[Claim, float] = {}
        for name, seconds in node.cpu.used_s(now_s).items():
            claim = Claim(self.tenant(name))
            had[claim] = had.get(claim, 0.0) + seconds
        return had

    def working(self, device: Device, now_s: float) -> Shares:
        """Weighted seconds of work on a device until now, by whom it was for."""
        used: dict[Claim, float] = {}
        meter = device.meter
        spent = [(group.tenant, group.active_at(now_s)) for group in meter.groups]
        for name, seconds in [*meter.past.items(), *spent]:
            claim = self._claim(name, device)
            used[claim] = used.get(claim, 0.0) + seconds
        if isinstance(device, SmartNic) and device.tenant:
            return {self._claim(device.tenant, device): meter.dynamic_j(now_s)}
        if isinstance(device, Cpu):
            for name, seconds in device.used_s(now_s).items():
                claim = Claim(self.tenant(name))
                used[claim] = used.get(claim, 0.0) + seconds
        return used

    def _claim(self, name: str, device: Device) -> Claim:
        tenant = self.tenant(name)
        return Claim(tenant, self._meter.get((tenant, id(device)), -1))


def parts_of_node(
    site: int, node: Node, owners: Owners, embodied: EmbodiedCatalogue, now_s: float, age_s: float
) -> list[Part]:
    """The parts of a server. Raises ConfigError for a device that the catalogue does not have."""
    lives = embodied.node(node.spec)
    aged = partial(Part, site, now_s=now_s, age_s=age_s)
    parts = []
    for gpu in node.gpus:
        life = embodied.device(gpu.spec.name)
        use = partial(owners.working, gpu)
        parts.append(aged("gpu", life, partial(_drawn, gpu), partial(owners.held, gpu), use))
    occupied = None if node.gpus else partial(owners.on_host, node)
    held = partial(owners.of_node, node)
    for name, device in (("cpu", node.cpu), ("smartnic", node.smartnic), ("fpga", node.fpga)):
        if device is not None:
            use = partial(owners.working, device)
            own = held, occupied
            if isinstance(device, SmartNic) and device.tenant:
                own = partial(owners.of_nic, device), None
            parts.append(
                aged(name, lives.pop(name), partial(_drawn, device), own[0], use, occupied=own[1])
            )
    for name, life in lives.items():
        draws_w = node.spec.base_w if name == "host" else 0.0
        drawn = partial(_standing, draws_w, now_s)
        parts.append(aged(name, life, drawn, held, occupied=occupied))
    return parts


def part_of_links(site: int, links: list[Link], now_s: float) -> Part:
    """The links of a site together: energy alone, of nobody in particular."""

    def drawn(_: float) -> tuple[float, float]:
        return sum([link.energy_j for link in links]), 0.0

    return Part(site, "network", None, drawn, lambda: {Claim(SHARED): 1.0}, now_s=now_s)


def _drawn(device: Device, now_s: float) -> tuple[float, float]:
    standing_j = device.meter.idle_j(now_s)
    return standing_j, device.meter.energy_j(now_s) - standing_j


def _standing(draws_w: float, since_s: float, now_s: float) -> tuple[float, float]:
    return draws_w * (now_s - since_s), 0.0
