"""The anchor paper's goal: a fleet that emits 45 % less after ten years."""

from __future__ import annotations

from itertools import product
from math import fsum
from typing import Any

from experiments.reproduce.accepted import Band, Finding
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.carbon.settings import part
from experiments.reproduce.papers.carbon.unit_values import exact
from experiments.reproduce.workers import Workers
from models.carbon.fleet import FleetYear, fleet_years

YEARS = 10
GOAL = -45.0
GROWTHS = (0.10, 0.15, 0.20, 0.25)
GAINS = (0.10, 0.125, 0.15)
GRIDS = (0.0, 0.035, 0.07)
LIVES = (3, 4, 6, 8)
#: The middle, from which one lever at a time is pulled.
MIDDLE = (0.15, 0.125, 0.035, 4)

Levers = tuple[float, float, float, int]
Decades = dict[Levers, list[FleetYear]]


def _decades(workers: Workers) -> Decades:
    plan = part("carbon/fleet/decade")
    return {
        levers: fleet_years(
            plan(**_named(levers)),
            YEARS,
        )
        for levers in product(GROWTHS, GAINS, GRIDS, LIVES)
    }


def _named(levers: Levers) -> dict[str, float]:
    keys = ("demand_growth", "efficiency_gain", "grid_decline", "life_years")
    return dict(zip(keys, levers, strict=True))


DECADES = Study("decade", _decades)


def change(years: list[FleetYear]) -> float:
    """Percent from year 0 to the last."""
    return 100.0 * (years[-1].total_g / years[0].total_g - 1.0)


def worst_identity(decades: Decades) -> Estimate:
    """Largest relative gap between a year's carbon and demand x energy/work x PUE x CI + embodied
    flow, with energy and flow from what is bought of each make by the levers alone."""
    gaps = []
    for levers, years in decades.items():
        plan = part("carbon/fleet/decade")(**_named(levers))
        pue = [1.0 + (plan.pue0 - 1.0) * (1.0 - plan.pue_decline) ** y for y in range(YEARS + 1)]
        for year, makes in enumerate(in_service(levers)):
            demand = (1.0 + plan.demand_growth) ** year
            energy_per_work = (
                fsum(work * (1.0 - plan.efficiency_gain) ** make for make, work in makes.items())
                / demand
            )
            grid = (1.0 - plan.grid_decline) ** year
            devices = fsum(w * (1.0 - plan.capacity_gain) ** make for make, w in makes.items())
            operation = plan.operational_g * demand * energy_per_work * pue[year] / pue[0] * grid
            whole = operation + plan.embodied_g * devices / plan.life_years
            gaps.append(abs(whole / years[year].total_g - 1.0))
    return Estimate.exact(max(gaps))


def in_service(levers: Levers) -> list[dict[int, float]]:
    """By year, the work that each make does, of the demand of year 0: what is bought in a year is
    what demand has grown by, and what was bought a life before."""
    growth, _, _, life = levers
    bought = dict.fromkeys(range(1 - life, 1), 1.0 / life)
    for year in range(1, YEARS + 1):
        bought[year] = growth * (1.0 + growth) ** (year - 1) + bought[year - life]
    return [
        {make: bought[make] for make in range(year - life + 1, year + 1)}
        for year in range(YEARS + 1)
    ]


def pulls(decades: Decades) -> dict[str, float]:
    """Points of the ten years' change between the ends of each lever, the others in the middle."""
    found = {}
    for at, (name, ends) in enumerate(
        (
            ("demand growth, 25 to 10 %/y", (0.25, 0.10)),
            ("efficiency gain, 10 to 15 %/y", (0.10, 0.15)),
            ("grid decline, 0 to 7 %/y", (0.0, 0.07)),
            ("life, 3 to 8 years", (3, 8)),
        )
    ):
        low, high = (decades[_with(at, end)] for end in ends)
        found[name] = change(low) - change(high)
    return found


def _with(at: int, value: float) -> Levers:
    levers: list[Any] = list(MIDDLE)
    levers[at] = value
    return tuple(levers)


def _reaching(decades: Decades) -> dict[str, Estimate]:
    """How many of the combinations with each setting reach the goal."""
    found = {}
    names = ("growth", "gain", "grid", "life")
    for at, (name, settings) in enumerate(zip(names, (GROWTHS, GAINS, GRIDS, LIVES), strict=True)):
        for setting in settings:
            those = [years for levers, years in decades.items() if levers[at] == setting]
            label = f"{setting} years" if name == "life" else f"{100 * setting:g} %"
            share = sum(change(years) <= GOAL for years in those) / len(those)
            found[f"{name} {label}"] = 100.0 * share
    return exact(found)


def shortest_reaching(decades: Decades) -> dict[str, float]:
    """Years of the shortest life that reaches the goal, by the other levers; where the longer ones
    do not, a combination of its own for each that does."""
    found: dict[str, float] = {}
    for growth, gain, grid in product(GROWTHS, GAINS, GRIDS):
        lives = [life for life in LIVES if change(decades[growth, gain, grid, life]) <= GOAL]
        if not lives:
            continue
        label = f"growth {100 * growth:g} %, gain {100 * gain:g} %, grid {100 * grid:g} %"
        if lives == [life for life in LIVES if life >= lives[0]]:
            found[label] = float(lives[0])
        else:
            found |= {f"{label}, {life} years alone": float(life) for life in lives}
    return found


CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="identity",
        where="decade goal",
        what="largest relative gap in C = demand x energy/work x PUE x CI + embodied, all years, "
        "energy and making summed up again from what is bought of each make",
        published="an identity",
        accepted=Band(0.0, 1e-12),
        study=DECADES,
        measure=worst_identity,
    ),
    Claim(
        id="reach",
        where="decade goal, -45 %",
        what="share of all combinations with a setting that reach -45 % in ten years",
        published="no number",
        accepted=Finding(),
        study=DECADES,
        measure=_reaching,
        unit="%",
    ),
    Claim(
        id="combinations",
        where="decade goal, -45 %",
        what="the combinations that reach it, with the shortest life of each: longer ones reach it "
        "too, no other combination does",
        published="no number",
        accepted=Finding(),
        study=DECADES,
        measure=lambda decades: exact(shortest_reaching(decades)),
        unit="years",
    ),
    Claim(
        id="best-and-worst",
        where="decade goal, -45 %",
        what="change in ten years: all levers at their best, in the middle, at their worst",
        published="no number",
        accepted=Finding(),
        study=DECADES,
        measure=lambda decades: exact(
            {
                "best": min(change(years) for years in decades.values()),
                "middle": change(decades[MIDDLE]),
                "worst": max(change(years) for years in decades.values()),
            }
        ),
        unit="%",
    ),
    Claim(
        id="levers",
        where="decade goal, -45 %",
        what="points that pulling one lever from end to end brings, the others in the middle",
        published="no number",
        accepted=Finding(),
        study=DECADES,
        measure=lambda decades: exact(pulls(decades)),
        unit="points",
        note="Demand outweighs the rest; with growth of 20 %/y or more nothing reaches -45 %",
    ),
]
