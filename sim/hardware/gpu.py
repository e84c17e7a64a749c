"""GPUs."""

from __future__ import annotations

from models.capped_cost import PowerLimit
from models.carbon.power import CappedSpeed
from models.errors import ConfigError
from models.gpu_spec import GpuSpec
from sim.core.simulation import Simulation
from sim.hardware.device import Device


class Gpu(Device):
    """A GPU of the catalogue. `capped_speed`: what a power cap leaves of its speed."""

    spec: GpuSpec

    def __init__(
        self,
        simulation: Simulation,
        spec: GpuSpec,
        name: str,
        capped_speed: CappedSpeed | None = None,
    ) -> None:
        super().__init__(simulation, spec, name)
        self.capped_speed = capped_speed

    def cap(self, share: float | None) -> None:
        """Draw at most `share` of peak power from now on; None lifts the cap. It outlives failures.

        A step that would draw more is slowed until it draws the cap: at full draw to the speed of
        `capped_speed`, straight from there to one that draws the cap, which keeps its speed, as
        work bound by memory mostly does. Speeds of `set_speed` come on top. Raises ConfigError for
        a share that the model does not know or that does not exceed the idle draw.
        """
        self.limit = None if share is None else self._limit(share)
        self._refresh()
        self._changed("cap")

    def _limit(self, share: float) -> PowerLimit | None:
        if self.capped_speed is None:
            raise ConfigError(f"{self.name}: power_cap = {share!r} needs a capped_speed")
        speed = self.capped_speed.speed(share)
        if share == 1.0:
            return None
        idle, peak = self.spec.idle_w, self.spec.peak_w
        if not share * peak > idle:
            raise ConfigError(
                f"{self.name}: power_cap = {share!r} of {peak:g} W must exceed the {idle:g} W of "
                "an idle device"
            )
        left = (share * peak - idle) / (peak - idle)
        return PowerLimit(left, (1.0 / speed - 1.0) / (1.0 - left))
