"""What a data path takes from its host: cores, and bandwidth of its memory."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import simpy

from sim.core.environment import PLAN
from sim.core.errors import ConfigError
from sim.hardware.cpu import Cpu

#: Share of the bandwidth there is from which on packets are taken to want more, and how much more.
_SATURATED, _MORE = 0.99, 2.0


class Provision:
    """Whole cores that poll, and bandwidth of the memory for what packets move, taken from the host
    as standing loads; what it does not take is free for others. Where others want them too, each
    gets its fair share: of cores, which run at `speed` then, and of bandwidth by itself, since a
    core that waits for memory polls on.

    most: cores that packets may use. margin: utilisation above which more is taken.
    changed(): called after any of these has changed: count, speed, and memory_bytes_per_s, which
    is what others leave of the bandwidth.
    """

    def __init__(
        self, cpu: Cpu, tenant: str, most: int, margin: float, changed: Callable[[], None]
    ) -> None:
        if not 0 < most <= cpu.spec.cores:
            raise ConfigError(
                f"{tenant}: cores is {most}; {cpu.name} has {cpu.spec.cores}, give 1 to that many"
            )
        self.cpu = cpu
        self.most = most
        self.margin = margin
        self.count = 0
        self.speed = 1.0
        self.memory_bytes_per_s = cpu.spec.memory_bandwidth_bytes_per_s
        self._changed = changed
        self._core_s = 0.0
        self._since_s = 0.0
        self._core_bytes_per_s = 0.0
        self._saturated = False
        # A tenant's weight is split among its uses; these two never want the same.
        self._load = cpu.load(
            cores_wanted=float(most), tenant=tenant, weight=2.0, on_grant=self._granted
        )
        self._memory = cpu.load(
            bandwidth_wanted_bytes_per_s=cpu.spec.memory_bandwidth_bytes_per_s,
            tenant=tenant,
            weight=2.0,
            on_grant=self._granted,
        )
        self._load.want(0.0)
        self._memory.want(0.0)
        cpu.on_bandwidth.append(self._granted)

    def take(self, count: int) -> None:
        """Poll with so many cores from now on."""
        count = min(count, self.most)
        if count == self.count:
            return
        self._account()
        self.count = count
        self._load.want(count / self.most)
        self._changed()
        self._settle()

    def adjust(self, busy: float, pressed: bool) -> None:
        """Take what `busy` cores of work need; `pressed`: packets were dropped for want of cores.

        One core is given back at a time, and only where the rest keep a tenth of the margin free,
        so that noise does not move flows between cores."""
        margin = self.margin * self.cpu.speed
        wanted = ceil(busy / margin - 1e-9)
        if pressed and not self._saturated:
            self.take(max(self.count + 1, wanted))
        elif wanted > self.count:
            self.take(wanted)
        elif self.count > 1 and busy < 0.9 * margin * (self.count - 1):
            self.take(self.count - 1)

    def fetch(self, bytes_per_s: float, busy: float, pressure: float = 1.0) -> None:
        """Take bandwidth for packets that moved so much with `busy` cores at work, and that would
        have moved `pressure` times as much had none been dropped. Where they moved all they could,
        they may want more: twice as much, up to what their cores can move."""
        if busy > 0.0:
            self._core_bytes_per_s = bytes_per_s / busy
        most = self.count * self.cpu.speed * self._core_bytes_per_s
        self._saturated = bytes_per_s >= _SATURATED * self.memory_bytes_per_s
        wanted = bytes_per_s * (_MORE if self._saturated else pressure / self.margin)
        self._memory.want(min(wanted, most) / self.cpu.spec.memory_bandwidth_bytes_per_s)
        self._settle()

    def provided_s(self, now_s: float) -> float:
        """Core-seconds taken until now."""
        return self._core_s + self.count * (now_s - self._since_s)

    def _account(self) -> None:
        now = self.cpu.simulation.now
        self._core_s += self.count * (now - self._since_s)
        self._since_s = now

    def _settle(self) -> None:
        """What is granted may stay as it was, though more is wanted: no grant is heard of then."""
        simulation = self.cpu.simulation
        simulation.at(simulation.now, self._granted, PLAN)

    def _granted(self, _: simpy.Event | None = None) -> None:
        speed = self.cpu.speed
        if self.count:
            speed *= min(1.0, self._load.cores / self.count)
        memory = self.cpu.bandwidth
        others = memory.rate - self._memory.bandwidth_bytes_per_s
        left = max(0.0, memory.capacity - others)
        slower = abs(speed - self.speed) > 1e-12
        if slower or abs(left - self.memory_bytes_per_s) > 1e-9 * memory.capacity:
            if slower:
                self.speed = speed
            self.memory_bytes_per_s = left
            self._changed()
