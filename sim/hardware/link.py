"""Links: one direction each, shared fairly, slowed, broken and repaired."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from models.hardware.link_spec import LinkSpec
from sim.core.simulation import Simulation
from sim.hardware.facts import DeviceChanged
from sim.hardware.power import PowerMeter
from sim.hardware.sharing import Resource, Sharing


class OnLink(Protocol):
    """What is on a link and hears of its failure."""

    def link_failed(self, link: Link) -> None:
        """The link failed just now."""
        ...


class Link:
    """One direction between two endpoints, `width` specified links side by side.

    `on_change` holds callables that are called after it failed, was repaired or changed speed.
    """

    def __init__(
        self,
        simulation: Simulation,
        sharing: Sharing,
        spec: LinkSpec,
        source: str,
        target: str,
        width: float = 1.0,
    ) -> None:
        self.simulation = simulation
        self.spec = spec
        self.source = source
        self.target = target
        self.name = f"{source}->{target}"
        self.width = width
        self.speed = 1.0
        self.up = True
        self.resource = Resource(self.name, spec.payload_bytes_per_s * width)
        self.on_change: list[Callable[[Link], None]] = []
        self._sharing = sharing
        self._standing = PowerMeter(spec.idle_w * width, spec.idle_w * width, simulation.now)

    @property
    def capacity_bytes_per_s(self) -> float:
        """Payload that it carries at present; 0 while it is down."""
        return self.resource.capacity

    @property
    def rate_bytes_per_s(self) -> float:
        """Payload that flows, as of the last settling."""
        return self.resource.rate

    @property
    def bytes_sent(self) -> float:
        """Payload sent until now."""
        return self.resource.amount(self.simulation.now)

    @property
    def busy_s(self) -> float:
        """Seconds in which anything flowed, until now."""
        return self.resource.busy_s(self.simulation.now)

    @property
    def energy_j(self) -> float:
        """Energy of its interfaces until now."""
        standing_j = self._standing.standing_j(self.simulation.now)
        return standing_j + self.spec.energy_j_per_byte * self.bytes_sent

    def set_speed(self, factor: float) -> None:
        """Carry `factor` times the specified payload from now on. Raises ValueError if not > 0."""
        if not factor > 0.0:
            raise ValueError(f"{self.name}: a speed factor is > 0, not {factor}; use fail()")
        self.speed = factor
        if self.up:
            self._set_capacity(factor)
        self._changed("speed")

    def fail(self) -> None:
        """Carry nothing until `repair`: transfers stall, or fail if they asked for that."""
        if not self.up:
            return
        self.up = False
        self._set_capacity(0.0)
        self._standing.stand(0.0, self.simulation.now)
        for activity in list(self.resource.activities):
            on_link: OnLink = activity.owner  # type: ignore[assignment]
            on_link.link_failed(self)
        self._changed("fail")

    def repair(self) -> None:
        """Carry the specified payload again."""
        if self.up:
            return
        self.up = True
        self.speed = 1.0
        self._set_capacity(1.0)
        self._standing.stand(self.spec.idle_w * self.width, self.simulation.now)
        self._changed("repair")

    def _set_capacity(self, factor: float) -> None:
        specified = self.spec.payload_bytes_per_s * self.width
        self._sharing.set_capacity(self.resource, specified * factor)

    def _changed(self, what: str) -> None:
        speed = self.speed if self.up else 0.0
        self.simulation.facts.emit(DeviceChanged(self.simulation.now, self.name, what, speed))
        for listener in list(self.on_change):
            listener(self)


class Cable:
    """Both directions between two endpoints, which break together."""

    def __init__(self, forward: Link, backward: Link) -> None:
        self.forward = forward
        self.backward = backward
        self.name = f"{forward.source}--{forward.target}"

    def set_speed(self, factor: float) -> None:
        """Change the speed of both directions."""
        self.forward.set_speed(factor)
        self.backward.set_speed(factor)

    def fail(self) -> None:
        """Break both directions."""
        self.forward.fail()
        self.backward.fail()

    def repair(self) -> None:
        """Repair both directions."""
        self.forward.repair()
        self.backward.repair()
