"""SmartNICs: cores, memory levels with their engines, a flow table, accelerators."""

from __future__ import annotations

from collections.abc import Hashable

import simpy

from models.hardware.smartnic_spec import MemoryLevel, SmartNicSpec
from sim.core.errors import CapacityError, LawBroken
from sim.core.simulation import Simulation
from sim.hardware.device import Device
from sim.hardware.memory import ByteStore
from sim.hardware.servers import BusyMeter, Servers


class NicMemory:
    """One memory level: what is stored there, and the engines that serve its operations."""

    def __init__(
        self,
        simulation: Simulation,
        spec: MemoryLevel,
        size_bytes: float,
        nic: str,
        clock_hz: float,
    ) -> None:
        self.spec = spec
        self.store = ByteStore(size_bytes, f"{nic}/{spec.name}")
        self._simulation = simulation
        self._cycle_s = 1.0 / clock_hz
        self.readers = Servers(simulation, f"{nic}/{spec.name}/reads", 1)
        self.adders = Servers(simulation, f"{nic}/{spec.name}/adds", 1)

    def read(self, operations: int = 1) -> simpy.Event:
        """Dependent reads, one after the other: the latency of each, and the engine's time."""
        return self._access(self.readers, operations, self.spec.reads_per_s, self.spec.read_cycles)

    def add(self, operations: int = 1) -> simpy.Event:
        """Atomic additions, one after the other."""
        return self._access(self.adders, operations, self.spec.adds_per_s, self.spec.add_cycles)

    def _access(
        self, engine: Servers, operations: int, per_s: float | None, cycles: float
    ) -> simpy.Event:
        latency_s = operations * cycles * self._cycle_s
        if per_s is None:
            event = simpy.Event(self._simulation.env)
            event._ok = True
            event._value = None
            self._simulation.env.schedule_at(event, self._simulation.now + latency_s)
            return event
        service_s = operations / per_s
        return engine.run(service_s, max(0.0, latency_s - service_s))


class FlowTable:
    """An exact-match table in the data path, filled through one insertion channel."""

    def __init__(self, simulation: Simulation, name: str, entries: int, inserts_per_s: float):
        self.name = name
        self.entries = entries
        self.inserts_per_s = inserts_per_s
        self.channel = Servers(simulation, f"{name}/insert", 1)
        self.reserved = 0
        self._known: set[Hashable] = set()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)

    def insert(self, key: Hashable) -> simpy.Event:
        """Insert an entry; it matches from the moment the event fires. Raises CapacityError if
        the table is full, LawBroken if the key is there."""
        if key in self._known:
            raise LawBroken(f"{self.name}: {key!r} is there already")
        if len(self._known) + self.reserved >= self.entries:
            raise CapacityError(
                f"{self.name}: no room for {key!r}: {len(self._known)} entries and "
                f"{self.reserved} on their way, of {self.entries}"
            )
        self.reserved += 1
        event = self.channel.run(1.0 / self.inserts_per_s)

        def inserted(event: simpy.Event) -> None:
            self.reserved -= 1
            if event.ok:
                self._known.add(key)

        assert event.callbacks is not None
        event.callbacks.append(inserted)
        return event

    def remove(self, key: Hashable) -> simpy.Event:
        """Remove an entry: it stops matching at once, the channel is busy as for an insertion.
        Raises LawBroken if it is not there."""
        if key not in self._known:
            raise LawBroken(f"{self.name}: {key!r} is not there")
        self._known.remove(key)
        return self.channel.run(1.0 / self.inserts_per_s)


class SmartNic(Device):
    """A NIC with programmable cores.

    Cores serve packets first come, first served; each memory level and accelerator has its own
    queue, so that the binding one shows. Failure loses all that is under way. `tenant`: who has it
    for itself ("": nobody).
    """

    spec: SmartNicSpec

    def __init__(self, simulation: Simulation, spec: SmartNicSpec, name: str) -> None:
        super().__init__(simulation, spec, name)
        self.cores = Servers(simulation, f"{name}/cores", spec.cores)
        self.tenant = ""
        meter = BusyMeter(spec.idle_w, spec.peak_w, simulation.now)
        meter.watch(self.cores, simulation.now)
        self.meter = meter
        self.memory = {
            level.name: NicMemory(simulation, level, spec.level_bytes(level), name, spec.clock_hz)
            for level in spec.memory_levels
        }
        self.table = FlowTable(simulation, f"{name}/table", spec.table_entries, spec.inserts_per_s)
        self.accelerators = {
            key: Servers(simulation, f"{name}/{key}", 1) for key in spec.accelerators
        }
        self.on_change.append(self._rescale)

    def cycles(self, cycles: float, latency_s: float = 0.0) -> simpy.Event:
        """Work of one packet on one core."""
        return self.cores.run(cycles / self.spec.clock_hz, latency_s)

    def accelerate(self, accelerator: str, size_bytes: float) -> simpy.Event:
        """Bytes through an accelerator. Raises KeyError if there is none of that name."""
        rate = self.spec.accelerators[accelerator]
        return self.accelerators[accelerator].run(size_bytes / rate)

    def _rescale(self, _: Device) -> None:
        speed = self.speed if self.up else 0.0
        for level in self.memory.values():
            level.readers.set_speed(speed)
            level.adders.set_speed(speed)
        for servers in (self.cores, self.table.channel, *self.accelerators.values()):
            servers.set_speed(speed)
