"""Training and inference estimated from floating-point work (LLMCarbon's form)."""

from __future__ import annotations

from dataclasses import dataclass

from models.carbon.units import grams
from models.errors import ConfigError


def training_flops(parameters: float, tokens: float) -> float:
    """6 P D of a dense model."""
    return 6.0 * parameters * tokens


def inference_flops(parameters: float, tokens: float) -> float:
    """2 P D of a dense model."""
    return 2.0 * parameters * tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeJob:
    """Equal devices that work together. power_w: mean draw of one while it works."""

    devices: int
    peak_flops: float
    efficiency: float
    power_w: float

    def __post_init__(self) -> None:
        if not (self.devices >= 1 and 0.0 < self.efficiency <= 1.0 and self.peak_flops > 0.0):
            raise ConfigError(
                f"job: devices = {self.devices!r} must be >= 1, efficiency = {self.efficiency!r} "
                f"in (0, 1], peak_flops = {self.peak_flops!r} > 0"
            )

    def seconds(self, flops: float) -> float:
        """How long so much work takes."""
        return flops / (self.devices * self.peak_flops * self.efficiency)

    def energy_j(self, seconds: float) -> float:
        return self.devices * self.power_w * seconds

    def operational_g(self, seconds: float, pue: float, intensity_g_per_kwh: float) -> float:
        return grams(self.energy_j(seconds) * pue, intensity_g_per_kwh)

    def embodied_g(self, seconds: float, device_g: float, life_s: float) -> float:
        """The share of the devices' making that falls to a time."""
        return self.devices * device_g * seconds / life_s
