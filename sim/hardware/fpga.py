"""FPGAs: a design is loaded, its units work."""

from __future__ import annotations

import simpy

from models.hardware.fpga_spec import FpgaDesign, FpgaSpec
from sim.core.errors import CapacityError
from sim.core.simulation import Simulation
from sim.hardware.device import Device
from sim.hardware.faults import Down
from sim.hardware.memory import ByteStore
from sim.hardware.servers import BusyMeter, Servers


class Fpga(Device):
    """An FPGA card: holds one design at a time, whose equal units serve jobs in order of arrival.

    Power is proportional to the units at work. Failure loses all that is under way and the design.
    """

    spec: FpgaSpec

    def __init__(self, simulation: Simulation, spec: FpgaSpec, name: str) -> None:
        super().__init__(simulation, spec, name)
        self._meter = BusyMeter(spec.idle_w, spec.peak_w, simulation.now)
        self.meter = self._meter
        self.memory = ByteStore(spec.memory_bytes, f"{name}/memory")
        self.design: FpgaDesign | None = None
        self.units: Servers | None = None
        self.loads = 0
        self._loading: simpy.Event | None = None
        self.on_change.append(self._rescale)

    def load(self, design: FpgaDesign) -> simpy.Event:
        """Load a design; the event fires when it is ready. Raises CapacityError if it does not
        fit or jobs are still at work."""
        self.spec.check_fits(design)
        if self._loading is not None or (self.units is not None and self.units.jobs):
            raise CapacityError(f"{self.name}: {design.name} cannot be loaded while it is at work")
        event = self.simulation.event()
        if not self.up:
            event.fail(Down(f"{self.name} is down at {self.simulation.now} s"))
            return event
        self.design = self.units = None
        self._loading = event
        self.simulation.at(
            self.simulation.now + self.spec.reconfiguration_s,
            lambda _: self._ready(event, design),
        )
        return event

    def run(self, seconds: float) -> simpy.Event:  # type: ignore[override]
        """A job of `seconds` on one unit. Raises CapacityError if no design is ready."""
        if self.units is None:
            raise CapacityError(f"{self.name}: no design is ready at {self.simulation.now} s")
        return self.units.run(seconds)

    def _ready(self, event: simpy.Event, design: FpgaDesign) -> None:
        if event is not self._loading:
            return
        self._loading = None
        self.design = design
        self.loads += 1
        self.units = Servers(self.simulation, f"{self.name}/{design.name}", design.units)
        if self.speed != 1.0:
            self.units.set_speed(self.speed)
        self._meter.watch(self.units, self.simulation.now)
        event.succeed()

    def _rescale(self, _: Device) -> None:
        if self.up:
            if self.units is not None:
                self.units.set_speed(self.speed)
            return
        if self.units is not None:
            self.units.set_speed(0.0)
            self.design = self.units = None
        if self._loading is not None:
            loading, self._loading = self._loading, None
            loading.fail(Down(f"{self.name} failed at {self.simulation.now} s while loading"))
