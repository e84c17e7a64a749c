"""A battery by the C/L/C model (Kazhamiaka et al.), with the figures of Carbon Explorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

import numpy as np

from models.carbon.signal import Floats
from models.carbon.units import J_PER_KWH, S_PER_HOUR, S_PER_YEAR, grams
from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class BatterySpec:
    """Constants of a kind of battery, for any capacity.

    charge: content gained for a joule put in. discharge: content lost for a joule taken out.
    c_rate: content that may be moved in an hour, in capacities. upper_h, upper: content after
    charging at p stays below upper x capacity - taper_h x p; lower_h, lower: content after
    discharging at p stays above lower_h x p + lower x capacity. embodied_g_per_kwh: of capacity;
    cycles: full ones in its life; life_years: by the calendar, used or not.
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
    life_years: float
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

    def embodied_g(self, capacity_j: float) -> float:
        return self.embodied_g_per_kwh * capacity_j / J_PER_KWH

    def worn_g(self, discharged_j: float) -> float:
        """Embodied carbon of the share of its cycles that so much output takes."""
        return self.embodied_g(self.discharge * discharged_j) / self.cycles

    def aged_g(self, capacity_j: float, seconds: float) -> float:
        """Embodied carbon of the share of its years that so much time is."""
        return self.embodied_g(capacity_j) * seconds / (self.life_years * S_PER_YEAR)


class Store(NamedTuple):
    """What is in a battery: energy, and the carbon that came in with it. Of its making, what its
    cycles and what the calendar have taken so far, and what somebody has been charged with."""

    content_j: float = 0.0
    content_g: float = 0.0
    cycled_g: float = 0.0
    aged_g: float = 0.0
    written_g: float = 0.0


class Moved(NamedTuple):
    """Energy into a battery from a surplus and from the grid, energy out of it, the carbon that
    came out with that, and what is in it then."""

    surplus_j: float
    grid_j: float
    out_j: float
    out_g: float
    store: Store


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery of some capacity (of none: it does nothing)."""

    spec: BatterySpec
    capacity_j: float

    def __post_init__(self) -> None:
        if not (self.capacity_j >= 0.0 and isfinite(self.capacity_j)):
            raise ConfigError(f"battery: capacity_j = {self.capacity_j!r} must be >= 0")

    def holding(self, content_j: float, content_g: float = 0.0) -> Store:
        """So much in it. Raises ConfigError for more than it holds."""
        if not (0.0 <= content_j <= self.capacity_j and content_g >= 0.0):
            raise ConfigError(
                f"battery: content_j = {content_j!r} must be in [0, {self.capacity_j!r}] and "
                f"content_g = {content_g!r} >= 0"
            )
        return Store(content_j, content_g)

    def move(
        self,
        store: Store,
        gap_j: float,
        step_s: float,
        surplus_g_per_kwh: float = 0.0,
        from_grid_j: float = 0.0,
        grid_g_per_kwh: float = 0.0,
    ) -> Moved:
        """One step. gap_j: a surplus (> 0), which goes in, or a lack (< 0), which comes out, as far
        as limits allow. from_grid_j: asked of the grid on top of a surplus; nothing comes out then.

        Carbon that came in goes out evenly with the content, lost content included.
        """
        content_j, content_g = store[:2]
        spec = self.spec
        if gap_j > 0.0 or from_grid_j > 0.0:
            most_j = spec.most_charge_w(self.capacity_j, content_j, step_s) * step_s
            surplus_j = min(max(0.0, gap_j), most_j)
            grid_j = min(from_grid_j, most_j - surplus_j)
            added_g = grams(surplus_j, surplus_g_per_kwh) + grams(grid_j, grid_g_per_kwh)
            content_j += spec.charge * (surplus_j + grid_j)
            after = store._replace(content_j=content_j, content_g=content_g + added_g)
            return Moved(surplus_j, grid_j, 0.0, 0.0, after)
        most_j = spec.most_discharge_w(self.capacity_j, content_j, step_s) * step_s
        out_j = min(-gap_j, most_j)
        if not out_j > 0.0:
            return Moved(0.0, 0.0, 0.0, 0.0, store)
        lost_j = spec.discharge * out_j
        out_g = content_g * min(1.0, lost_j / content_j)
        after = store._replace(content_j=content_j - lost_j, content_g=content_g - out_g)
        return Moved(0.0, 0.0, out_j, out_g, after)

    def write_off(self, store: Store, out_j: float, step_s: float, used: bool) -> Store:
        """The store after a step, its making written off by what has gone further, its cycles or
        the calendar. In a step without load (`used`: with one) nobody is there to charge: later
        ones are."""
        cycled_g = store.cycled_g + self.spec.worn_g(out_j)
        aged_g = store.aged_g + self.spec.aged_g(self.capacity_j, step_s)
        written_g = max(cycled_g, aged_g) if used else store.written_g
        return store._replace(cycled_g=cycled_g, aged_g=aged_g, written_g=written_g)


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
    battery = Battery(spec, capacity_j)
    store = battery.holding(content_j)
    count = len(load_w)
    charge, discharge, content = np.empty(count), np.empty(count), np.empty(count + 1)
    content[0] = content_j
    for i, gap_j in enumerate(((farm_w - load_w) * step_s).tolist()):
        moved = battery.move(store, gap_j, step_s)
        store = moved.store
        charge[i], discharge[i], content[i + 1] = moved.surplus_j, moved.out_j, store.content_j
    return Dispatch(charge / step_s, discharge / step_s, content)
