"""Replacement at a given age."""

from __future__ import annotations

from models.carbon.units import S_PER_YEAR
from models.errors import ConfigError
from policies.refresh.contract import Decision, DeviceView


class FixedPeriod:
    """Replaces what has been in service for so many years of 365 days."""

    def __init__(self, years: float) -> None:
        if not years > 0.0:
            raise ConfigError(f"refresh: years = {years!r} must be > 0")
        self.period_s = years * S_PER_YEAR

    def decide(self, device: DeviceView, now_s: float) -> Decision:
        return Decision(device.age_s >= self.period_s)
