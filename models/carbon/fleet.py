"""A fleet over years: demand grows, devices and the grid get better, old ones are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """The levers, as yearly shares, and what a fleet emits in year 0.

    demand_growth: of work. efficiency_gain: energy for the work of a device of a year's make falls
    by it. grid_decline: of carbon intensity. life_years: whole years a device serves.
    operational_g: of year 0 on devices of that year's make. embodied_g: to make the devices for the
    work of year 0. capacity_gain: work of a device rises by it with each year's make, so that
    fewer are made. pue_decline: of what the site adds to its computers' power (pue0 - 1).
    """

    demand_growth: float
    efficiency_gain: float
    grid_decline: float
    life_years: int
    operational_g: float
    embodied_g: float
    capacity_gain: float = 0.0
    pue0: float = 1.0
    pue_decline: float = 0.0

    def __post_init__(self) -> None:
        if self.life_years < 1 or self.life_years != int(self.life_years):
            raise ConfigError(f"fleet: life_years = {self.life_years!r} must be whole and >= 1")
        for key in ("efficiency_gain", "grid_decline", "capacity_gain", "pue_decline"):
            if not 0.0 <= getattr(self, key) < 1.0:
                raise ConfigError(f"fleet: {key} = {getattr(self, key)!r} must be in [0, 1)")
        if not (self.demand_growth > -1.0 and self.pue0 >= 1.0):
            raise ConfigError(
                f"fleet: demand_growth = {self.demand_growth!r} must be > -1 and pue0 = "
                f"{self.pue0!r} >= 1"
            )


@dataclass(frozen=True, slots=True)
class FleetYear:
    """One year: work relative to year 0, energy for work relative to a device of year 0, site and
    grid factors relative to year 0, and the carbon."""

    year: int
    demand: float
    energy_per_work: float
    pue_factor: float
    grid_factor: float
    operational_g: float
    embodied_g: float

    @property
    def total_g(self) -> float:
        return self.operational_g + self.embodied_g


def fleet_years(plan: FleetPlan, years: int) -> list[FleetYear]:
    """Years 0 to `years`: every year devices at the end of their life go, and as many of that
    year's make are bought as the work needs.

    The fleet starts in even ages, made of generations that follow the same gains backwards in
    time. A device's making is written off over its life.
    """
    life = plan.life_years
    # Work served by the makes of each age, oldest first; work of year 0 is 1.
    cohorts = [(make - life + 1, 1.0 / life) for make in range(life)]
    found = []
    for year in range(years + 1):
        demand = (1.0 + plan.demand_growth) ** year
        if year:
            cohorts = [(make, work) for make, work in cohorts if year - make < life]
            served = sum(work for _, work in cohorts)
            cohorts = _fit(cohorts, demand, served, year)
        energy = sum(work * (1.0 - plan.efficiency_gain) ** make for make, work in cohorts)
        pue = 1.0 + (plan.pue0 - 1.0) * (1.0 - plan.pue_decline) ** year
        grid = (1.0 - plan.grid_decline) ** year
        devices = sum(work * (1.0 - plan.capacity_gain) ** make for make, work in cohorts)
        found.append(
            FleetYear(
                year=year,
                demand=demand,
                energy_per_work=energy / demand,
                pue_factor=pue / plan.pue0,
                grid_factor=grid,
                operational_g=plan.operational_g * energy * pue / plan.pue0 * grid,
                embodied_g=plan.embodied_g * devices / life,
            )
        )
    return found


def _fit(
    cohorts: Sequence[tuple[int, float]], demand: float, served: float, year: int
) -> list[tuple[int, float]]:
    """Buy what is lacking; where demand has fallen below what stands, the oldest work less."""
    if served <= demand:
        return [*cohorts, (year, demand - served)]
    fitted, spare = [], served - demand
    for make, work in cohorts:
        less = min(work, spare)
        spare -= less
        fitted.append((make, work - less))
    return fitted
