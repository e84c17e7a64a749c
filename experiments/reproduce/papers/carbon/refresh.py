"""When to replace, planned over years: break-even, lives by grid, second lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log, sqrt
from typing import Any

import numpy as np

from experiments.reproduce.accepted import Band, Finding, Table, Trend
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.carbon.settings import part
from experiments.reproduce.papers.carbon.unit_values import exact
from experiments.reproduce.workers import Workers
from models.carbon.calendar import Calendar
from models.carbon.life_cycle import Progress
from models.carbon.units import S_PER_YEAR
from policies.refresh.contract import KEEP, Decision, DeviceView, Refresh
from policies.refresh.fixed_period import FixedPeriod
from policies.refresh.second_life import SecondLife
from sim.fleet.planner import FleetPlanner
from sim.fleet.pool import Pool, SecondUse

#: Grids in g/kWh, from nearly clean to coal.
GRIDS = (12.0, 25.0, 40.0, 100.0, 200.0, 400.0, 700.0)
LIVES = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
#: Years over which fleets are planned: a multiple of every life.
HORIZON = 24
#: Mean use of a server that is busy, and of one that stands by.
BUSY, QUIET = 0.5, 0.1
#: Years after which busy servers give way, before they are written off.
WAITED = 3.0
SERVERS = 100.0

#: Best life by the formula, lives that are planned, and years for which they are.
BEST_LIVES = ((2.5, (0.5, 1.0, 2.0, 2.5, 5.0), 10), (4.0, (1.0, 2.0, 4.0, 8.0), 16))

#: Tonnes (of second lives also percent carried) by policy and grid.
Emitted = dict[tuple[str, float], float]


class Never:
    """Keeps what is there."""

    def decide(self, device: DeviceView, now_s: float) -> Decision:
        return KEEP


class AtOnce:
    """Replaces what is there at the beginning."""

    def decide(self, device: DeviceView, now_s: float) -> Decision:
        return Decision(now_s == 0.0)


def emitted_t(pools: Sequence[Pool], years: int = HORIZON) -> float:
    """Carbon of pools over years, operation and what is written off or expensed of making."""
    found = FleetPlanner(Calendar(2026, years), pools).run()
    return sum(float(pool.accounts.total_g.sum()) for pool in found.values()) / 1e6


def _pool(name: str, refresh: Refresh, grid: float, use: float, **keys: Any) -> Pool:
    known = {"device": part("carbon/generations/gpu_server"), "devices": [(0.0, SERVERS)]}
    return Pool(
        name=name,
        refresh=refresh,
        intensity_g_per_kwh=grid,
        use=use,
        pue=float(part("carbon/pue/constant").value),
        **{**known, **keys},
    )


def _break_even(workers: Workers) -> dict[float, float]:
    """By grid: years until the server replaced has emitted as little as the one kept. The old one
    draws 200 W more than the new one of 300 W, of 1500 kg, PUE 1.2."""
    device = replace(
        part("carbon/generations/gpu_server"),
        embodied_g=1.5e6,
        idle_w=300.0,
        peak_w=300.0,
        gain=log(500.0 / 300.0),
        mean_life_years=1e9,
    )
    found = {}
    for grid in (300.0, 50.0):
        supplies = []
        for policy in (Never(), AtOnce()):
            pool = replace(
                _pool("home", policy, grid, BUSY, device=device, devices=[(1.0, 1.0)]), pue=1.2
            )
            plan = FleetPlanner(Calendar(2026, 16), [pool]).run()["home"]
            supplies.append(plan.accounts.supply.total_g)
        saved = np.cumsum(supplies[0] - supplies[1])
        found[grid] = float(np.searchsorted(saved, device.embodied_g)) / 8760.0
    return found


def _best_life(workers: Workers) -> dict[str, float]:
    """Years of the life of least carbon, planned; by what the formula says for devices of 1500 kg,
    0.1 % a year better, and the carbon of operation that makes it so."""
    gain = 0.001
    device = replace(
        part("carbon/generations/gpu_server"),
        embodied_g=1.5e6,
        idle_w=300.0,
        peak_w=300.0,
        gain=gain,
        life_years=1.0,
        mean_life_years=1e9,
    )
    found = {}
    for best, lives, horizon in BEST_LIVES:
        operational_g = 2.0 * device.embodied_g / (gain * best**2)
        grid = operational_g / (0.3 * 8760.0)
        totals = []
        for life in lives:
            pool = replace(
                _pool("home", FixedPeriod(life), grid, BUSY, device=device, devices=[(0.0, 1.0)]),
                pue=1.0,
            )
            plan = FleetPlanner(Calendar(2026, horizon), [pool]).run()["home"]
            making = device.embodied_g * (1 + len(plan.bought))
            totals.append(float(plan.accounts.supply.total_g.sum()) + making)
        # Making is as 1/life, being behind the newest as life: a / L + b L + c.
        columns = np.array([[1.0 / life, life, 1.0] for life in lives])
        (a, b, _), *_ = np.linalg.lstsq(columns, np.array(totals), rcond=None)
        found[f"{best:g}"] = sqrt(a / b)
    return found


def _refresh(workers: Workers) -> Emitted:
    names = [*(f"{life:g} years" for life in LIVES), "break-even", "best period"]
    cells = [(name, grid) for name in names for grid in GRIDS]
    return dict(zip(cells, workers.map(refreshed_t, cells), strict=True))


def refreshed_t(cell: tuple[str, float]) -> float:
    """Carbon by a policy's name on a grid."""
    name, grid = cell
    life, _, unit = name.partition(" ")
    policy: Refresh = (
        FixedPeriod(float(life))
        if unit == "years"
        else part(f"refresh/{name.replace(' ', '_').replace('-', '_')}")
    )
    return emitted_t([_pool("home", policy, grid, BUSY)])


def _second(workers: Workers) -> Emitted:
    """Of busy servers, replaced after three of the four years that they are written off over, and
    as many that stand by, replaced after four. The old ones are retired, and what is not written
    off of them expensed; or they go on as those that stand by, where that is weighed to emit less,
    and take it along. Of that, also the percent of the making of all busy ones."""
    found = {}
    for grid in GRIDS:
        for name, policy in (
            ("retired", FixedPeriod(WAITED)),
            ("second life", SecondLife(FixedPeriod(WAITED))),
        ):
            second = SecondUse(4.0, draw=1.05, failures=1.2, survival=0.5)
            pools = [
                _pool("busy", policy, grid, BUSY),
                _pool("quiet", FixedPeriod(4.0), grid, QUIET, second=second),
            ]
            plan = FleetPlanner(Calendar(2026, HORIZON), pools).run()
            found[name, grid] = sum(float(p.accounts.total_g.sum()) for p in plan.values()) / 1e6
            found[f"{name}, carried", grid] = 100.0 * plan["busy"].passed_on_g / plan["busy"].made_g
    return found


BEST = Study("best-life-planned", _best_life)
BREAK_EVEN = Study("break-even-planned", _break_even)
REFRESH = Study("refresh", _refresh)
SECOND = Study("second-life", _second)


def best_life(found: Emitted, grid: float) -> float:
    """Years of the fixed life that emits least."""
    return min(LIVES, key=lambda life: found[f"{life:g} years", grid])


def over_best(found: Emitted, policy: str, grid: float) -> float:
    """Percent that a policy emits above the best fixed life."""
    return 100.0 * (found[policy, grid] / found[f"{best_life(found, grid):g} years", grid] - 1.0)


def second_saves(found: Emitted, grid: float) -> float:
    """Percent that second lives save."""
    return 100.0 * (1.0 - found["second life", grid] / found["retired", grid])


CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="break-even-planned",
        where="refresh break-even",
        what="years until a server replaced has emitted as little as one kept, planned hour by "
        "hour: 1500 kg, 200 W less, PUE 1.2",
        published="2.378 at 300 g/kWh, 14.27 at 50",
        accepted=Table({"300": 2.378, "50": 14.27}, relative=0.01),
        study=BREAK_EVEN,
        measure=lambda found: exact({f"{grid:g}": years for grid, years in found.items()}),
        unit="years",
    ),
    Claim(
        id="best-life",
        where="best period of replacement",
        what="years of the life that emits least by sqrt(2 E / (o g)), devices of 1500 kg, 15 % a "
        "year better, by carbon of operation a year",
        published="4.47 and 10",
        accepted=Table({"1000 kg": 4.472, "200 kg": 10.0}, relative=1e-3),
        study=BEST,
        measure=lambda _: exact(
            {
                f"{kg:g} kg": Progress(
                    1.5e6, 1e3 * kg / S_PER_YEAR, 0.15 / S_PER_YEAR
                ).best_life_formula_s()
                / S_PER_YEAR
                for kg in (1000.0, 200.0)
            }
        ),
        unit="years",
    ),
    Claim(
        id="best-life-planned",
        where="best period of replacement",
        what="years of the life that emits least, from fleets planned hour by hour with fixed "
        "lives, against what the formula says",
        published="2.5 and 4 by the formula",
        accepted=Table({"2.5": 2.5, "4": 4.0}, relative=0.01),
        study=BEST,
        measure=exact,
        unit="years",
        note="0.1 % a year better, as the formula is for slow progress",
    ),
    Claim(
        id="refresh-by-grid",
        where="refresh break-even",
        what="the best of fixed lives by carbon intensity, a hundred GPU servers planned over 24 "
        "years, makes 15 % a year better, some failing",
        published="longer lives win where the grid is clean, refresh where it is not",
        accepted=Trend("the carbon intensity", rises=False),
        study=REFRESH,
        measure=lambda found: exact({f"{grid:g}": best_life(found, grid) for grid in GRIDS}),
        unit="years",
    ),
    Claim(
        id="refresh-policies",
        where="-",
        what="most that a policy which weighs each quarter emits above the best fixed life, all "
        "grids",
        published="-",
        accepted=Finding(),
        study=REFRESH,
        measure=lambda found: exact(
            {
                name: max(over_best(found, name, grid) for grid in GRIDS)
                for name in ("break-even", "best period", "4 years")
            }
        ),
        unit="%",
    ),
    Claim(
        id="second-life",
        where="second life and reuse",
        what="carbon that second lives save of busy and stand-by servers, by carbon intensity: "
        "5 % more draw, failures x1.2; moved on after 3 of 4 years, what is not written off goes "
        "along",
        published="reuse saves making, but draws more",
        accepted=Trend("the carbon intensity", rises=False),
        study=SECOND,
        measure=lambda found: exact({f"{grid:g}": second_saves(found, grid) for grid in GRIDS}),
        unit="%",
    ),
    Claim(
        id="second-life-carries",
        where="second life and reuse",
        what="making that goes along, of all that is spent on busy servers, by carbon intensity",
        published="-",
        accepted=Finding(),
        study=SECOND,
        measure=lambda found: exact(
            {f"{grid:g}": found["second life, carried", grid] for grid in GRIDS}
        ),
        unit="%",
    ),
    Claim(
        id="second-life-never-costs",
        where="second life and reuse",
        what="least that second lives save on any of the grids, as they are weighed against new "
        "devices",
        published="reuse is not free",
        accepted=Band(low=0.0),
        study=SECOND,
        measure=lambda found: Estimate.exact(min(second_saves(found, grid) for grid in GRIDS)),
        unit="%",
    ),
]
