"""Replacement as soon as a new device saves its own making in time."""

from __future__ import annotations

from models.carbon.life_cycle import break_even_s
from models.errors import ConfigError
from policies.refresh.contract import Decision, DeviceView


class BreakEven:
    """Replaces where the break-even time is at most `share` of the life of a new device."""

    def __init__(self, share: float = 1.0) -> None:
        if not share > 0.0:
            raise ConfigError(f"refresh: share = {share!r} must be > 0")
        self.share = share

    def decide(self, device: DeviceView, now_s: float) -> Decision:
        saved_w = device.old_w - device.new_w
        repaid_s = break_even_s(device.embodied_g, saved_w, device.pue, device.intensity_g_per_kwh)
        return Decision(repaid_s <= self.share * device.life_s)
