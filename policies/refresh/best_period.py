"""Replacement at the age at which equal lives emit least."""

from __future__ import annotations

from models.carbon.life_cycle import Progress
from models.carbon.units import grams
from policies.refresh.contract import KEEP, Decision, DeviceView


class BestPeriod:
    """Replaces at the exact optimum of making against being behind the newest, at the present
    intensity and for what the device draws; never where progress does not repay a new one."""

    def decide(self, device: DeviceView, now_s: float) -> Decision:
        rate = grams(device.old_w * device.pue, device.intensity_g_per_kwh)
        if device.embodied_g == 0.0:
            return Decision(device.new_w < device.old_w)
        if not (rate > 0.0 and device.gain_per_s > 0.0):
            return KEEP
        progress = Progress(device.embodied_g, rate, device.gain_per_s)
        return Decision(device.age_s >= progress.best_life_s())
