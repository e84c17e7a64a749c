"""A battery by the C/L/C model (Kazhamiaka et al.), with the figures of Carbon Explorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.carbon.signal import Floats
from models.carbon.units import J_PER_KWH, S_PER_HOUR
from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class BatterySpec:
    """Constants of a kind of battery, for any capacity.

    charge: content gained for a joule put in. discharge: content lost for a joule taken out.
    c_rate: content that may be moved in an hour, in capacities. upper_h, upper: content after
    charging at p stays below upper x capacity - taper_h x p; lower_h, lower: content after
    discharging at p stays above lower_h x p + lower x capacity. embodied_g_per_kwh: of capacity;
    cycles: full ones in its life.
    """

    name: str
    charge: float
    discharge: float
    c_rate: float
    taper_h: float
    upper: float
    lower_h: float
    lower: float
    embodied_g_per_kwh: float
    cycles: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("battery", self, may_be_zero=("taper_h", "lower_h", "lower"))
        if not (self.charge <= 1.0 <= self.discharge and self.lower < self.upper <= 1.0):
            raise ConfigError(
                f"battery {self.name}: charge = {self.charge!r} must be <= 1 <= discharge = "
                f"{self.discharge!r}, and lower = {self.lower!r} < upper = {self.upper!r} <= 1"
            )

    def most_charge_w(self, capacity_j: float, content_j: float, step_s: float) -> float:
        """Largest power that may be put in over a whole step."""
        rate = self.c_rate * capacity_j / S_PER_HOUR / self.charge
        room = self.upper * capacity_j - content_j
        limit = room / (self.charge * step_s + self.taper_h * S_PER_HOUR)
        return max(0.0, min(rate, limit))

    def most_discharge_w(self, capacity_j: float, content_j: float, step_s: float) -> float:
        """Largest power that may be taken out over a whole step."""
        rate = self.c_rate * capacity_j / S_PER_HOUR / self.discharge
        stock = content_j - self.lower * capacity_j
        limit = stock / (self.lower_h * S_PER_HOUR + self.discharge * step_s)
        return max(0.0, min(rate, limit))

    def after(self, content_j: float, charge_w: float, discharge_w: float, step_s: float) -> float:
        """Content after a step."""
        change = self.charge * charge_w - self.discharge * discharge_w
        return content_j + change * step_s

    def embodied_g(self, capacity_j: float) -> float:
        return self.embodied_g_per_kwh * capacity_j / J_PER_KWH

    def worn_g(self, discharged_j: float) -> float:
        """Embodied carbon of the share of its cycles that so much output takes."""
        return self.embodied_g(self.discharge * discharged_j) / self.cycles


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Power by step: in, out, and the content at each edge (one more than steps)."""

    charge_w: Floats
    discharge_w: Floats
    content_j: Floats


def dispatch(
    spec: BatterySpec,
    capacity_j: float,
    step_s: float,
    load_w: Floats,
    farm_w: Floats,
    content_j: float = 0.0,
) -> Dispatch:
    """Surplus of the farm goes in as far as limits allow, deficits are served from it."""
    if not 0.0 <= content_j <= capacity_j:
        raise ConfigError(f"battery: content_j = {content_j!r} must be in [0, {capacity_j!r}]")
    count = len(load_w)
    charge, discharge = np.zeros(count), np.zeros(count)
    content = np.empty(count + 1)
    content[0] = content_j
    for i, gap in enumerate((farm_w - load_w).tolist()):
        if gap > 0.0:
            charge[i] = min(gap, spec.most_charge_w(capacity_j, content[i], step_s))
        elif gap < 0.0:
            discharge[i] = min(-gap, spec.most_discharge_w(capacity_j, content[i], step_s))
        content[i + 1] = spec.after(content[i], charge[i], discharge[i], step_s)
    return Dispatch(charge, discharge, content)
