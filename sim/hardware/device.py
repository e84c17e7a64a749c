"""Things that compute: a device, and several that act as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from models.capped_cost import PowerLimit
from models.step_cost import StepCost
from sim.core.simulation import Simulation
from sim.hardware.facts import DeviceChanged
from sim.hardware.power import PowerMeter
from sim.hardware.run import Run


class DeviceSpec(Protocol):
    """What every device's spec says."""

    @property
    def idle_w(self) -> float: ...

    @property
    def peak_w(self) -> float: ...


class Device:
    """One device: its speed (1 as specified), whether it is up, its power, its work.

    `limit`: what its power cap means to work; None without one. `on_change` holds callables that
    are called after it failed, was repaired, or its speed or cap changed.
    """

    def __init__(self, simulation: Simulation, spec: DeviceSpec, name: str) -> None:
        self.simulation = simulation
        self.spec = spec
        self.name = name
        self.speed = 1.0
        self.limit: PowerLimit | None = None
        self.up = True
        self.meter = PowerMeter(spec.idle_w, spec.peak_w, simulation.now)
        self.on_change: list[Callable[[Device], None]] = []
        self._alone: DeviceGroup | None = None

    def run(
        self,
        cost: StepCost,
        steps: int,
        on_boundary: Callable[[int], None],
        on_failure: Callable[[int], None] | None = None,
    ) -> Run:
        """Run `steps` steps on this device alone (see `DeviceGroup.run`)."""
        if self._alone is None:
            self._alone = DeviceGroup([self])
        return self._alone.run(cost, steps, on_boundary, on_failure)

    def set_speed(self, factor: float) -> None:
        """Run at `factor` times the specified speed from now on. Raises ValueError if not > 0."""
        if not factor > 0.0:
            raise ValueError(f"{self.name}: a speed factor is > 0, not {factor}; use fail()")
        self.speed = factor
        self._refresh()
        self._changed("speed")

    def fail(self) -> None:
        """Stop at once: work under way is lost, no power is drawn until `repair`."""
        if not self.up:
            return
        self.up = False
        self._refresh()
        self.meter.stand(0.0, self.simulation.now)
        self._changed("fail")

    def repair(self) -> None:
        """Back to work at the specified speed."""
        if self.up:
            return
        self.up = True
        self.speed = 1.0
        self._refresh()
        self.meter.stand(self.spec.idle_w, self.simulation.now)
        self._changed("repair")

    def _refresh(self) -> None:
        for group in self.meter.groups:
            group.refresh()

    def _changed(self, what: str) -> None:
        self.simulation.facts.emit(
            DeviceChanged(self.simulation.now, self.name, what, self.speed if self.up else 0.0)
        )
        for listener in list(self.on_change):
            listener(self)


class DeviceGroup:
    """Devices that act as one (a tensor-parallel group): the slowest sets the pace, and the lowest
    power cap the pace and draw of all.

    `up`: whether all devices are; `slow`: seconds that a second of specified work takes; `limit`:
    the lowest cap. `runs`: the runs under way, `active_s`: full-power-equivalent seconds of those
    that ended. `tenant`: for whom they work ("": nobody says).

    Where steps of several groups end at the same instant, those of lower `order` (0 to 2**20)
    come first, so that the sequence does not depend on which events were scheduled when.
    """

    def __init__(self, devices: Sequence[Device], order: int = 0, tenant: str = "") -> None:
        if not devices:
            raise ValueError("a group needs a device")
        self.priority = order * 2.0**-20
        self.devices = list(devices)
        self.tenant = tenant
        simulation = devices[0].simulation
        self.simulation = simulation
        self.env = simulation.env
        self.stepwise = simulation.stepwise
        self.up = all(device.up for device in self.devices)
        self.slow = 1.0 / min(device.speed for device in self.devices)
        self.limit = self._lowest()
        self.runs: list[Run] = []
        self.active_s = 0.0
        for device in self.devices:
            device.meter.groups.append(self)

    @property
    def name(self) -> str:
        """The devices' names, joined."""
        return "+".join(device.name for device in self.devices)

    def run(
        self,
        cost: StepCost,
        steps: int,
        on_boundary: Callable[[int], None],
        on_failure: Callable[[int], None] | None = None,
    ) -> Run:
        """Start `steps` steps at this moment.

        `on_boundary(steps)` is called when they are done (at each boundary in step mode); the
        caller then ends the run or lets it hold on. `on_failure(steps)` is called if a device
        fails, with the steps done since the last boundary told.
        """
        run = Run(self, on_boundary, on_failure)
        run.begin(cost, steps)
        return run

    def active_at(self, now_s: float) -> float:
        """Full-power-equivalent seconds of all its runs until now."""
        return self.active_s + sum([run.active_at(now_s) for run in self.runs])

    def intensity_at(self, now_s: float) -> float:
        """Share of the dynamic power range that its runs draw now."""
        return sum([run.intensity_at(now_s) for run in self.runs])

    def energy_j(self, now_s: float) -> float:
        """Energy that the devices have drawn."""
        return sum([device.meter.energy_j(now_s) for device in self.devices])

    def disband(self) -> None:
        """The devices no longer act as one. Raises RuntimeError while they do."""
        if self.runs:
            raise RuntimeError(f"{self.name}: has {len(self.runs)} runs under way")
        for device in self.devices:
            meter = device.meter
            meter.groups.remove(self)
            meter.past[self.tenant] = meter.past.get(self.tenant, 0.0) + self.active_s

    def refresh(self) -> None:
        """A device failed or came back, or its speed or cap changed."""
        up = all(device.up for device in self.devices)
        speed = min(device.speed for device in self.devices)
        self.slow = 1.0 / speed
        self.limit = self._lowest()
        self.up = up
        for run in list(self.runs):
            if up:
                run.rescale(speed)
            elif run.live:  # the failure of another may have ended it
                run.fail()

    def _lowest(self) -> PowerLimit | None:
        limits = [device.limit for device in self.devices if device.limit is not None]
        return min(limits, key=lambda limit: limit.share, default=None)
