"""Clusters: nodes of the catalogue, their parts and the network between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from models.carbon.power import CappedSpeed
from models.hardware.link_spec import LinkSpec
from models.hardware.node_spec import NodeSpec
from sim.core.errors import CapacityError, ConfigError, LawBroken
from sim.core.simulation import Simulation
from sim.hardware.cpu import Cpu
from sim.hardware.device import Device
from sim.hardware.facts import HoldersChanged
from sim.hardware.faults import Faultable
from sim.hardware.fpga import Fpga
from sim.hardware.gpu import Gpu
from sim.hardware.memory import ByteStore
from sim.hardware.network import Network
from sim.hardware.smartnic import SmartNic
from sim.hardware.topology import Fabric, Star


class NodeCount:
    """So many nodes of one template. `power_cap`: of their GPUs, as a share of peak power; None:
    the cluster's."""

    __slots__ = ("count", "power_cap", "spec")

    def __init__(self, spec: NodeSpec, count: int = 1, power_cap: float | None = None) -> None:
        if count < 1:
            raise ConfigError(f"nodes: {count} of {spec.name}; at least 1")
        if power_cap is not None and spec.gpu is None:
            raise ConfigError(
                f"nodes: power_cap = {power_cap!r}, but {spec.name} has no GPU to cap"
            )
        self.spec = spec
        self.count = count
        self.power_cap = power_cap


class Node:
    """A server that lives in time. Its host is the network's endpoint of the node's name."""

    def __init__(
        self,
        simulation: Simulation,
        spec: NodeSpec,
        name: str,
        network: Network,
        port: str,
        capped_speed: CappedSpeed | None = None,
    ) -> None:
        self.name = name
        self.spec = spec
        self.cpu = Cpu(simulation, spec.host_cpu, f"{name}/cpu")
        self.memory = ByteStore(spec.host_memory_bytes, f"{name}/memory")
        self.gpus: list[Gpu] = []
        if spec.gpu is not None:
            self.gpus = [
                Gpu(simulation, spec.gpu, f"{name}/gpu{i}", capped_speed) for i in range(spec.gpus)
            ]
        self.smartnic = (
            SmartNic(simulation, spec.smartnic, f"{name}/nic") if spec.smartnic else None
        )
        self.fpga = Fpga(simulation, spec.fpga, f"{name}/fpga") if spec.fpga else None
        self._built_s = simulation.now
        self._wire(network, port)

    @property
    def devices(self) -> list[Device]:
        """All that computes here."""
        others = (self.cpu, self.smartnic, self.fpga)
        return [*self.gpus, *(device for device in others if device is not None)]

    def energy_j(self, now_s: float) -> float:
        """Energy of the devices and of the rest of the server until now."""
        devices_j = sum(device.meter.energy_j(now_s) for device in self.devices)
        return devices_j + self.spec.base_w * (now_s - self._built_s)

    def _wire(self, network: Network, port: str) -> None:
        spec = self.spec
        switches = [f"{self.name}/pcie{i}" for i in range(spec.pcie_switches)]
        for switch in switches:
            network.connect(switch, self.name, spec.host_link)
            if spec.gpu_nics:
                network.connect(switch, port, spec.nic_link, spec.gpu_nics // len(switches))
        for i, gpu in enumerate(self.gpus):
            host = switches[i * len(switches) // len(self.gpus)] if switches else self.name
            network.connect(gpu.name, host, spec.host_link)
            if spec.gpu_link is not None:
                network.connect(gpu.name, f"{self.name}/nvlink", spec.gpu_link)
        if self.fpga is not None:
            network.connect(self.fpga.name, self.name, spec.host_link)
        if self.smartnic is None:
            network.connect(self.name, port, spec.nic_link, spec.nics)
        else:
            network.connect(self.smartnic.name, self.name, _pcie(self.smartnic))
            network.connect(self.smartnic.name, port, _ports(self.smartnic, spec.nic_link))


class Cluster:
    """Nodes and the network between them, and who has which GPU.

    `nodes`: a sequence (names node0, node1, ...) or a mapping from a name to nodes of that kind
    (names like prefill0, prefill1, decode0). `network`: the fabric that joins them; one switch
    by default. `power_cap`: of every GPU whose nodes have none of their own, as a share of its peak
    power; None for none; `capped_speed`: what a cap leaves of a GPU's speed. The parts exist from
    `build` on.
    """

    def __init__(
        self,
        nodes: Sequence[NodeCount] | Mapping[str, NodeCount],
        network: Fabric | None = None,
        power_cap: float | None = None,
        capped_speed: CappedSpeed | None = None,
    ) -> None:
        self._ordered = nodes
        self._fabric = network
        self._power_cap = power_cap
        self._capped_speed = capped_speed
        self._network: Network | None = None
        self._node_of: dict[Gpu, Node] = {}
        self._free: dict[Gpu, None] = {}
        self._holder: dict[Gpu, str] = {}
        self.nodes: list[Node] = []
        self.gpus: list[Gpu] = []

    def build(self, simulation: Simulation) -> Cluster:
        """Make the parts, on a simulation. Returns the cluster itself."""
        templates = self._templates()
        if not templates:
            raise ConfigError("cluster: nodes is empty; name at least one template")
        fabric = self._fabric if self._fabric is not None else Star()
        network = self._network = Network(simulation)
        self.nodes = []
        for name, counted in templates:
            port = fabric.port(network, len(self.nodes))
            spec = counted.spec
            self.nodes.append(Node(simulation, spec, name, network, port, self._capped_speed))
        self._node_of = {gpu: node for node in self.nodes for gpu in node.gpus}
        self.gpus = list(self._node_of)
        self._free = dict.fromkeys(self.gpus)
        self._holder = {}
        if self._power_cap is not None and not self.gpus:
            kinds = ", ".join(sorted({node.spec.name for node in self.nodes}))
            raise ConfigError(
                f"power_cap = {self._power_cap!r}, but it caps GPUs, and the cluster's nodes "
                f"({kinds}) have none"
            )
        for node, (_, counted) in zip(self.nodes, templates, strict=True):
            cap = self._power_cap if counted.power_cap is None else counted.power_cap
            if cap is not None:
                for gpu in node.gpus:
                    gpu.cap(cap)
        return self

    @property
    def network(self) -> Network:
        """The network. Raises RuntimeError before `build`."""
        if self._network is None:
            raise RuntimeError("the cluster has no parts before build(simulation)")
        return self._network

    @property
    def targets(self) -> dict[str, Faultable]:
        """What can break, by name: devices, links ("a->b") and cables ("a--b")."""
        devices = {device.name: device for node in self.nodes for device in node.devices}
        return {**devices, **self.network.links, **self.network.cables}

    @property
    def free_gpus(self) -> int:
        """GPUs that nobody has."""
        return len(self._free)

    def node_of(self, gpu: Gpu) -> Node:
        """The node that a GPU is in."""
        return self._node_of[gpu]

    def holder(self, gpu: Gpu) -> str | None:
        """Who has a GPU; None while it is free."""
        return None if gpu in self._free else self._holder[gpu]

    def allocate(
        self,
        gpus: int,
        model: str | None = None,
        tenant: str = "",
        among: Sequence[Node] | None = None,
    ) -> list[Gpu]:
        """Hand out free GPUs (of that model, by its spec's name; of the nodes `among`) to a tenant,
        on one node if one has enough: the one that is left with the fewest. Otherwise from the
        nodes with most free GPUs first.

        Raises CapacityError with the numbers if there are not as many.
        """
        if gpus < 1:
            raise ValueError(f"allocate: {gpus} GPUs")
        free = [
            [g for g in node.gpus if g in self._free and (model is None or g.spec.name == model)]
            for node in (self.nodes if among is None else among)
        ]
        total = sum(len(here) for here in free)
        if gpus > total:
            of_model = f" of model {model}" if model is not None else ""
            raise CapacityError(
                f"{gpus} GPUs{of_model} asked, {total} are free; the cluster's {len(self.nodes)} "
                f"nodes have {len(self.gpus)} GPUs, {len(self.gpus) - len(self._free)} handed out"
            )
        fitting = [here for here in free if len(here) >= gpus]
        if fitting:
            chosen = min(fitting, key=len)[:gpus]
        else:
            fullest = sorted(free, key=len, reverse=True)
            chosen = [gpu for here in fullest for gpu in here][:gpus]
        for gpu in chosen:
            del self._free[gpu]
            self._holder[gpu] = tenant
        self._tell()
        return chosen

    def release(self, gpus: Iterable[Gpu]) -> None:
        """Take GPUs back. Raises LawBroken if one was not handed out."""
        gpus = list(gpus)
        for gpu in gpus:
            if gpu in self._free or gpu not in self._node_of:
                raise LawBroken(f"{gpu.name} is given back but was not handed out")
        for gpu in gpus:
            self._free[gpu] = None
        self._tell()

    def energy_j(self, now_s: float) -> float:
        """Energy of nodes and links until the present, `now_s`."""
        return sum(node.energy_j(now_s) for node in self.nodes) + self.network.energy_j

    def _tell(self) -> None:
        simulation = self.network.simulation
        simulation.facts.emit(HoldersChanged(simulation.now))

    def _templates(self) -> list[tuple[str, NodeCount]]:
        if isinstance(self._ordered, Mapping):
            return [
                (f"{name}{i}", counted)
                for name, counted in self._ordered.items()
                for i in range(counted.count)
            ]
        each = [counted for counted in self._ordered for _ in range(counted.count)]
        return [(f"node{i}", counted) for i, counted in enumerate(each)]


def _pcie(nic: SmartNic) -> LinkSpec:
    """The SmartNIC's link to its host; its power is the card's."""
    spec = nic.spec
    return LinkSpec(
        name=f"{spec.name} PCIe",
        bandwidth_bytes_per_s=spec.pcie_bandwidth_bytes_per_s,
        latency_s=spec.pcie_latency_s,
        efficiency=1.0,
        idle_w=0.0,
        energy_j_per_byte=0.0,
        source=dict.fromkeys(_LINK_KEYS, f"SmartNIC {spec.name}"),
    )


def _ports(nic: SmartNic, wire: LinkSpec) -> LinkSpec:
    """The SmartNIC's ports together, on wire like the node's plain interface."""
    spec = nic.spec
    return LinkSpec(
        name=f"{spec.name} ports",
        bandwidth_bytes_per_s=spec.port_bandwidth_bytes_per_s * spec.ports,
        latency_s=wire.latency_s,
        efficiency=wire.efficiency,
        idle_w=0.0,
        energy_j_per_byte=0.0,
        source=dict.fromkeys(_LINK_KEYS, f"SmartNIC {spec.name}, link {wire.name}"),
    )


_LINK_KEYS = ("bandwidth_bytes_per_s", "latency_s", "efficiency", "idle_w", "energy_j_per_byte")
