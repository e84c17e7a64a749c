"""The data path of a network function as a system: NIC, PCIe and host of one node."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from models.checks import at_least, flag, positive, whole, whole_or_none
from models.network_functions.cost_model import CostModel
from models.network_functions.packet_stack import PacketStack
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile
from models.network_functions.trip import Trips
from policies.partition.contract import Partition
from sim.core.errors import ConfigError
from sim.core.result import Draft
from sim.core.simulation import Simulation
from sim.dataplane.carrier import Carrier
from sim.dataplane.figures import Window
from sim.dataplane.limits import QueueLimits
from sim.dataplane.monitor import Monitor, MonitorSettings
from sim.dataplane.packet_mode import PacketMode
from sim.dataplane.packet_path import PacketPath
from sim.dataplane.pcie import PcieShare
from sim.dataplane.phases import PhasedTraffic
from sim.dataplane.provision import Provision
from sim.dataplane.rate_mode import RateMode
from sim.dataplane.recorder import Recorder
from sim.dataplane.runtime import Runtime
from sim.hardware.cluster import Node
from sim.hardware.device import Device
from sim.hardware.servers import BusyMeter
from workloads.demand import PacketWorkload


class DataPlane:
    """A network function on the first node that has a SmartNIC that no other has.

    program: what packets go through. packets: the workload; traffic: its profile, as known before
    the first packet. partition: decides the plan, and again each `decide_s` (None: never). stack,
    limits, monitor: settings. cores: of the host, at most (None: all). fixed_cores: polled all the
    time (None: as many as are needed). steering: "flow" gives each core a queue of its own (RSS),
    "any" one queue for all, as rates have it (None: what is usual). burst: packets that move
    together (see `PacketPath`), the workload's too. window: so many packets are under way all the
    time, to find the highest rate. learn: flows for the NIC are learned by the runtime, as those of
    a capture are in any case; else popular ones are known by their rank. Either way those that have
    a rank at the start are at the NIC then, as if they had been learned before. own_caches: see
    `PacketPath`. rates: follow rates instead of packets (see `RateMode`). informed: the policy sees
    the traffic as it is, and what it changes takes no time and no work, for an oracle.
    warm_up_s: figures are of what comes later.
    """

    def __init__(
        self,
        *,
        program: Program,
        packets: PacketWorkload,
        traffic: TrafficProfile,
        partition: Partition,
        stack: PacketStack,
        limits: QueueLimits,
        monitor: MonitorSettings,
        cores: int | None = None,
        fixed_cores: int | None = None,
        steering: str | None = None,
        burst: int = 1,
        window: int | None = None,
        decide_s: float | None = None,
        learn: bool = False,
        own_caches: bool = False,
        rates: bool = False,
        informed: bool = False,
        npu_model: str = "asymptotic",
        warm_up_s: float = 0.0,
        name: str = "dataplane",
    ) -> None:
        burst = whole("burst", burst)
        if getattr(packets, "burst", 1) != burst:
            raise ConfigError(
                f"burst is {burst}, that of the packets is {getattr(packets, 'burst', 1)}; they "
                "must be the same"
            )
        if learn and burst > 1:
            raise ConfigError(
                f"learn is true with burst={burst}: so many flows end where one does, and the "
                "others would stay at the NIC; take burst=1, or rates=true"
            )
        for key, value in (("learn", learn), ("own_caches", own_caches), ("rates", rates)):
            flag(key, value)
        packets_only: tuple[tuple[str, object, object], ...] = (
            ("burst", burst, 1),
            ("window", window, None),
            ("own_caches", own_caches, False),
        )
        for key, given, usual in packets_only:
            if rates and given != usual:
                raise ConfigError(
                    f"{key} is {given!r} with rates=true: it is of packets, rates do not know it; "
                    f"take {key}={'null' if usual is None else str(usual).lower()}"
                )
        self.name = name
        self.node: Node | None = None
        self.program = program
        self.packets = packets
        self.traffic = traffic
        self.stack = stack
        self.limits = limits
        self.burst = burst
        self._partition = partition
        self._monitor = monitor
        self._cores = whole_or_none("cores", cores)
        self._fixed = whole_or_none("fixed_cores", fixed_cores)
        if steering not in (None, "flow", "any"):
            raise ConfigError(f"steering is {steering!r}; it must be flow or any, or null")
        if rates and steering == "flow":
            raise ConfigError(
                "steering is flow with rates=true: rates have one queue for all host cores; take "
                "steering=any or steering=null"
            )
        self._steering = steering or ("any" if rates else "flow")
        self._window = whole_or_none("window", window)
        self._decide_s = None if decide_s is None else positive("decide_s", decide_s)
        learns = learn or getattr(packets, "phases", None) is None
        if decide_s is not None and not learns and getattr(partition, "keeps_plan", False):
            raise ConfigError(
                f"decide_s is {decide_s!r}; {type(partition).__name__} keeps its first plan, and "
                "learn is false, so that nothing would be decided; take decide_s=null or "
                "partition=cora"
            )
        self._learn = learn
        self._own_caches = own_caches
        if flag("informed", informed) and not (rates and not learn):
            raise ConfigError(
                f"informed is true with rates={rates} and learn={learn}; traffic is known as it is "
                "with rates=true and learn=false"
            )
        self._rates = rates
        self._informed = informed
        self._npu_model = npu_model
        self._warm_up_s = at_least("warm_up_s", warm_up_s, 0.0)

    def start(self, simulation: Simulation) -> None:
        """Take the NIC, get a first plan, let packets come.

        Raises ConfigError where no node has a SmartNIC, CapacityError where there is no plan."""
        self._simulation = simulation
        if simulation.until_s is None and (self._rates or not self.packets.finite):
            raise ConfigError(f"until_s: must be given, since the packets of {self.name} never end")
        node = self.node = self._node(simulation)
        assert node.smartnic is not None
        nic, cpu = node.smartnic, node.cpu
        nic.tenant = self.name
        if simulation.until_s is not None and self._warm_up_s >= simulation.until_s:
            raise ConfigError(
                f"warm_up_s is {self._warm_up_s!r}; it must be below until_s, "
                f"{simulation.until_s!r}, or no figure is left"
            )
        until_s, decide_s = simulation.until_s, self._decide_s
        if until_s is not None and decide_s is not None and decide_s >= until_s:
            raise ConfigError(
                f"decide_s is {decide_s!r}; it must be below until_s, {until_s!r}, or nothing is "
                "ever decided; decide_s=null keeps the first plan"
            )
        most = cpu.spec.cores if self._cores is None else self._cores
        if self._fixed is not None and self._fixed > most:
            raise ConfigError(f"fixed_cores is {self._fixed}; packets may use {most}, see cores")
        # Packets that say nothing of the popularity of their flows begin without any.
        ranked = getattr(self.packets, "phases", None) is not None
        learn = self._learn or not ranked
        rng = simulation.stream(f"{self.name}.sketch")
        # Of others, those that say so have flows that have begun.
        begun = int(self.traffic.flows) if ranked else int(getattr(self.packets, "begun", 0))
        monitor = Monitor(self._monitor, self.traffic, begun, rng)
        self.runtime = Runtime(
            simulation,
            self.name,
            program=self.program,
            nic=nic.spec,
            cpu=cpu.spec,
            stack=self.stack,
            limits=self.limits,
            policy=self._partition,
            monitor=monitor,
            cores=most,
            interval_s=self._decide_s,
            learn=learn,
            npu_model=self._npu_model,
        )
        self.recorder = Recorder(simulation, self.name)
        cost = self.runtime.first()
        hardware = CostModel(
            program=self.program,
            profile=self.traffic,
            nic=nic.spec,
            cpu=cpu.spec,
            stack=self.stack,
            npu_model=self._npu_model,
        )
        self.provision = Provision(
            cpu, self.name, most, self.stack.most_utilisation, self._provisioned
        )
        first = cost.whole_cores(self.traffic.rate_pps) if self._fixed is None else self._fixed
        rng = simulation.stream(f"{self.name}.packets")
        self.carrier: Carrier
        meter = nic.meter
        assert isinstance(meter, BusyMeter)
        true_profile: Callable[[], TrafficProfile] | None = None
        if self._rates:
            self.carrier = rates = RateMode(
                simulation,
                self._phased(),
                hardware,
                cost,
                self.limits,
                monitor,
                by_rank=not learn,
                free=self._informed,
                rng=rng,
            )
            meter.watch(rates.load, simulation.now)
            if self._informed:
                true_profile = rates.true_profile
        else:
            self.path = PacketPath(
                simulation,
                self.packets.packets(rng),
                Trips(
                    hardware,
                    cost,
                    burst=self.burst,
                    posted=self.limits.posted,
                    own_caches=self._own_caches,
                ),
                self.limits,
                cores=max(1, first),
                steering=self._steering,
                window=self._window,
                first_flows=begun,
                ranked=ranked,
                by_rank=not learn,
                own_caches=self._own_caches,
                monitor=monitor,
                ended=self._ended,
                name=self.name,
            )
            meter.watch(self.path.cores, simulation.now)
            self.carrier = PacketMode(self.path)
        nic.on_change.append(self._nic_changed)
        self._nic_changed(nic)
        self.provision.take(first)
        rate = self.traffic.rate_pps
        self.provision.fetch(rate * cost.host_bytes, cost.busy_cores(rate))
        self.window = Window(simulation, self.carrier, self.provision, cpu.spec.clock_hz)
        if self._warm_up_s:
            simulation.at(self._warm_up_s, self._warm)
        if self._window is not None and until_s is not None:
            simulation.sample(0.5 * (self._warm_up_s + until_s), self._halve)
        fixed = self._fixed is not None
        assert simulation.cluster is not None
        network = simulation.cluster.network
        self.pcie = PcieShare(network, nic.name, node.name, self._pcie_changed)
        each_bytes = self.traffic.packet_bytes + self.stack.crossing_bytes
        self.pcie.want(cost.crossing_share * self.traffic.rate_pps * each_bytes)
        self.runtime.start(self.carrier, self.provision, fixed, self.pcie, true_profile)
        self.carrier.start(simulation.now)

    def done(self) -> bool:
        """Whether the packets have ended and all have left."""
        return self.carrier.idle

    def snapshot(self) -> dict[str, object]:
        """Who waits where."""
        return self.carrier.snapshot()

    def finish(self, results: Draft) -> None:
        """Figures of the run. Raises LawBroken where packets were lost or made."""
        self.carrier.check()
        results.figures(self.name, self.window.figures())
        results.figures(self.name, self.carrier.counts())
        results.figures(self.name, self.runtime.figures())

    def _node(self, simulation: Simulation) -> Node:
        cluster = simulation.cluster
        if cluster is None:
            raise ConfigError(f"{self.name}: needs a cluster")
        others = [each for each in simulation.systems if isinstance(each, DataPlane)]
        taken = [each.node for each in others if each.node is not None]
        for node in cluster.nodes:
            if node.smartnic is not None and node not in taken:
                return node
        raise ConfigError(
            f"{self.name}: no node of the cluster has a SmartNIC of its own for it; try "
            "hardware/node@node=smartnic-server"
        )

    def _phased(self) -> PhasedTraffic:
        phases = getattr(self.packets, "phases", None)
        if phases is None:
            raise ConfigError(
                f"{self.name}: rates is true, {type(self.packets).__name__} says nothing of its "
                "averages; take packets=zipf, or rates=false"
            )
        return self.packets  # type: ignore[return-value]

    def _provisioned(self) -> None:
        given = self.provision
        self.carrier.provide(given.count, given.speed, given.memory_bytes_per_s)

    def _nic_changed(self, nic: Device) -> None:
        self.carrier.provide_nic(nic.speed if nic.up else 0.0)

    def _pcie_changed(self) -> None:
        self.carrier.provide_pcie(*self.pcie.speeds)

    def _warm(self, _: simpy.Event) -> None:
        self.window.begin()

    def _halve(self, _: float) -> None:
        self.window.halve(self.path.stations.lines)

    def _ended(self, time_s: float) -> None:
        self.path.calendar.outside(time_s)
        self._simulation.check_done()
