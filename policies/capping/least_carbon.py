"""The cap at which work emits least."""

from __future__ import annotations

from collections.abc import Sequence

from models.carbon.units import J_PER_KWH
from models.errors import ConfigError
from policies.capping.contract import CapView


class LeastCarbon:
    """Of some caps the one at which a second's work of a GPU at full draw emits least: less power,
    but longer on the GPU and its server, which draw power and cost to make. Of equals the highest.

    making: false leaves out what the hardware cost to make, which is spent for whoever has it
    already; true is for whoever would have to buy more of it for the time that caps cost.
    """

    def __init__(self, shares: Sequence[float], making: bool = True) -> None:
        if not shares or not all(0.0 < share <= 1.0 for share in shares):
            raise ConfigError(f"capping.shares = {list(shares)} must be one or more, in (0, 1]")
        self.shares = sorted(shares, reverse=True)
        self.making = making

    def cap(self, gpu: CapView, now_s: float) -> float | None:
        g_per_j = gpu.intensity_g_per_kwh * gpu.pue / J_PER_KWH
        standing_g_per_s = gpu.standing_w * g_per_j
        if self.making:
            standing_g_per_s += gpu.embodied_g_per_s
        best = min(
            self.shares,
            key=lambda share: gpu.speed.g_per_work(share, gpu.peak_w, g_per_j, standing_g_per_s),
        )
        return None if best == 1.0 else best
