"""The closed-form performance of a plan: what it costs, how fast it can be, what binds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf

from models.hardware.cpu_spec import CpuSpec
from models.hardware.smartnic_spec import SmartNicSpec
from models.network_functions.finding import Reach
from models.network_functions.host_demand import HostDemand
from models.network_functions.nic_demand import NicCost, NicDemand
from models.network_functions.packet_stack import PacketStack
from models.network_functions.path import NoPath, Path, paths
from models.network_functions.plan import Plan
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile

#: Resources of `PlanCost.binding` in words.
_WORDS = {
    "cores": "NIC cores",
    "threads": "NIC threads",
    "inserts": "NIC insertions",
    "pcie bytes": "PCIe bytes",
    "pcie packets": "PCIe packets",
    "mac": "packets at the port",
    "line": "line rate",
}


@dataclass(frozen=True, slots=True)
class PlanCost:
    """What a plan costs for each packet of the traffic.

    paths: by packet type. weights: share of each type. host_cycles, host_s: of a core, moves of
    entries included. host_bytes, memory_s: of the host's memory, and at its full bandwidth.
    inserts: entries that the host inserts or moves at the NIC. nic: the NIC's demands.
    most_utilisation: of any resource, where a rate is to be held.
    """

    plan: Plan
    paths: Mapping[str, Path]
    weights: Mapping[str, float]
    host_cycles: float
    host_s: float
    host_bytes: float
    memory_s: float
    inserts: float
    nic: NicCost
    most_utilisation: float

    @property
    def nic_s(self) -> float:
        """Time of the NIC's busiest resource for each packet."""
        return max(self.nic.seconds.values())

    @property
    def crossing_share(self) -> float:
        """Share of packets that cross PCIe."""
        return sum(self.weights[packet] for packet, path in self.paths.items() if path.crosses)

    def busy_cores(self, rate_pps: float) -> float:
        """Host cores at work, on average."""
        return rate_pps * self.host_s

    def whole_cores(self, rate_pps: float) -> int:
        """Host cores to provide, so that none is used above the margin."""
        return ceil(self.busy_cores(rate_pps) / self.most_utilisation - 1e-9)

    def utilisations(self, rate_pps: float) -> dict[str, float]:
        """Utilisation of each resource of the NIC at a rate."""
        return {key: rate_pps * seconds for key, seconds in self.nic.seconds.items()}

    def nic_utilisation(self, rate_pps: float) -> float:
        """The highest of them."""
        return rate_pps * self.nic_s

    def holds(self, rate_pps: float) -> bool:
        """Whether the NIC holds a rate with the margin on every resource."""
        return self.nic_utilisation(rate_pps) <= self.most_utilisation * (1.0 + 1e-12)

    def highest_rate_pps(self, cores: float = inf) -> float:
        """Highest rate of the NIC and the host's memory at full use and of that many host cores
        with the margin."""
        return 1.0 / max(self._seconds(cores).values())

    def binding(self, cores: float = inf) -> str:
        """The resource that sets the highest rate; "host cores" and "host memory" for those of the
        host."""
        seconds = self._seconds(cores)
        return max(seconds, key=lambda key: seconds[key])

    def bound_by(self, cores: float = inf) -> str:
        """`binding`, in words."""
        name = self.binding(cores)
        return _WORDS.get(name, f"NIC {name}" if name.startswith("memory ") else name)

    def _seconds(self, cores: float) -> dict[str, float]:
        """Time of each resource for each packet, of so many host cores with the margin."""
        cores_s = self.host_s / (cores * self.most_utilisation) if self.host_s else 0.0
        return {**self.nic.seconds, "host cores": cores_s, "host memory": self.memory_s}


class CostModel:
    """Costs of the plans of one program under one traffic, on one NIC and host.

    cores: of the host that packets may use; None for all. npu_model: "asymptotic" (cores and
    threads of the NIC as two bounds) or "mva" (exact for exponential times). reach: of the places
    for flows at the NIC, which are filled, and of their packets, which hit; None: all.
    """

    def __init__(
        self,
        *,
        program: Program,
        profile: TrafficProfile,
        nic: SmartNicSpec,
        cpu: CpuSpec,
        stack: PacketStack,
        cores: float | None = None,
        npu_model: str = "asymptotic",
        reach: Reach | None = None,
    ) -> None:
        self.program = program
        self.profile = profile
        self.nic = nic
        self.cpu = cpu
        self.stack = stack
        self.cores = float(cpu.cores) if cores is None else cores
        self.reach = reach
        self.host = HostDemand(program, profile, cpu, stack)
        self.at_nic = NicDemand(program, profile, nic, stack, npu_model)
        self._weights: dict[float, Mapping[str, float]] = {}
        self._paths: dict[tuple[str, tuple[bool, ...], bool], dict[str, Path] | NoPath] = {}

    def under(self, profile: TrafficProfile) -> CostModel:
        """The same under another traffic."""
        return CostModel(
            program=self.program,
            profile=profile,
            nic=self.nic,
            cpu=self.cpu,
            stack=self.stack,
            cores=self.cores,
            npu_model=self.at_nic.npu_model,
            reach=self.reach,
        )

    @property
    def capable(self) -> tuple[bool, ...]:
        """For each block, whether the NIC can run it."""
        return self.at_nic.capable

    @property
    def lacking(self) -> dict[str, str]:
        """Blocks that stay at the host since the NIC lacks their accelerator, and which."""
        return {
            block.name: block.accelerator
            for block in self.program.blocks
            if block.accelerator is not None and block.accelerator not in self.nic.accelerators
        }

    def weights(self, offloaded: float) -> Mapping[str, float]:
        """Share of each packet type."""
        found = self._weights.get(offloaded)
        if found is None:
            reached = 1.0 if self.reach is None else self.reach.part(offloaded)
            found = self._weights[offloaded] = self.profile.weights(offloaded, reached)
        return found

    def paths(
        self, sides: str, on_nic: Sequence[bool], whole: bool = False
    ) -> dict[str, Path] | NoPath:
        """Paths of the packet types with states on those sides; kept, since a search asks for the
        same ones with each number of offloaded flows."""
        key = (sides, tuple(on_nic), whole)
        found = self._paths.get(key)
        if found is None:
            found = paths(self.program, sides, on_nic, self.capable, whole=whole)
            self._paths[key] = found
        return found

    def host_cycles(self, found: Mapping[str, Path], sides: str, offloaded: float) -> float:
        """Mean cycles of a host core for each packet."""
        return self.host.cycles(found, self.weights(offloaded), sides, self.filled(offloaded))

    def filled(self, offloaded: float) -> float:
        """Places of so many at the NIC that are filled."""
        return offloaded if self.reach is None else self.reach.filled(offloaded)

    def moves(self, sides: str, offloaded: float) -> float:
        """Entries moved to the NIC or from there for each packet, as flows come and go."""
        return self.host.moves_per_packet(sides, self.filled(offloaded))

    def inserts(self, found: Mapping[str, Path], sides: str, offloaded: float) -> float:
        """Entries that the host inserts or moves at the NIC for each packet."""
        weights = self.weights(offloaded)
        total = self.moves(sides, offloaded)
        for packet, path in found.items():
            total += weights[packet] * self.host.nic_inserts(path, sides)
        return total

    def cost(self, plan: Plan) -> PlanCost | NoPath:
        """What a plan costs, or why it cannot be."""
        sides, offloaded = plan.sides, plan.offloaded
        found = self.paths(sides, plan.on_nic, plan.whole)
        if isinstance(found, NoPath):
            return found
        weights = self.weights(offloaded)
        inserts = self.inserts(found, sides, offloaded)
        nic = self.at_nic.cost(found, weights, sides, offloaded, inserts)
        if isinstance(nic, NoPath):
            return nic
        cycles = self.host_cycles(found, sides, offloaded)
        memory_bytes = self.host.memory_bytes(found, weights)
        return PlanCost(
            plan=plan,
            paths=found,
            weights=weights,
            host_cycles=cycles,
            host_s=cycles / self.cpu.clock_hz,
            host_bytes=memory_bytes,
            memory_s=memory_bytes / self.cpu.memory_bandwidth_bytes_per_s,
            inserts=inserts,
            nic=nic,
            most_utilisation=self.stack.most_utilisation,
        )


__all__ = ["CostModel", "NoPath", "PlanCost"]
