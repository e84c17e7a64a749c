"""The cores that a data path takes from its host."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from sim.core.errors import ConfigError
from sim.hardware.cpu import Cpu


class Provision:
    """Whole cores that poll, taken from the host as a standing load; those it does not take are
    free for others. Where others want them too, each gets its fair share, and the cores here run
    at `speed`, as they do where the host is slowed down.

    most: cores that packets may use. margin: utilisation above which another core is taken.
    changed(): called after `count` or `speed` has changed.
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
        self._changed = changed
        self._core_s = 0.0
        self._since_s = 0.0
        self._load = cpu.load(cores_wanted=float(most), tenant=tenant, on_grant=self._granted)
        self._load.want(0.0)

    def take(self, count: int) -> None:
        """Poll with so many cores from now on."""
        count = min(count, self.most)
        if count == self.count:
            return
        self._account()
        self.count = count
        self._load.want(count / self.most)
        self._changed()

    def adjust(self, busy: float, pressed: bool) -> None:
        """Take what `busy` cores of work need; `pressed`: packets were dropped for want of cores.

        One core is given back at a time, and only where the rest keep a tenth of the margin free,
        so that noise does not move flows between cores."""
        margin = self.margin * self.cpu.speed
        wanted = ceil(busy / margin - 1e-9)
        if pressed:
            self.take(max(self.count + 1, wanted))
        elif wanted > self.count:
            self.take(wanted)
        elif self.count > 1 and busy < 0.9 * margin * (self.count - 1):
            self.take(self.count - 1)

    def provided_s(self, now_s: float) -> float:
        """Core-seconds taken until now."""
        return self._core_s + self.count * (now_s - self._since_s)

    def _account(self) -> None:
        now = self.cpu.simulation.now
        self._core_s += self.count * (now - self._since_s)
        self._since_s = now

    def _granted(self) -> None:
        granted = self._load.cores
        speed = self.cpu.speed * (min(1.0, granted / self.count) if self.count else 1.0)
        if abs(speed - self.speed) > 1e-12:
            self.speed = speed
            self._changed()
