"""Refresh and second lives over years: closed forms, nothing lost, what is decided."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from experiments.catalogue import choices
from experiments.compose import compose
from experiments.reproduce.papers.carbon.settings import part
from models.carbon.calendar import Calendar
from models.carbon.life_cycle import Progress
from models.carbon.supply import FarmEnergy
from models.carbon.units import J_PER_KWH, S_PER_DAY, S_PER_YEAR, grams
from models.carbon.wear import WeibullLife
from models.errors import ConfigError
from policies.refresh.best_period import BestPeriod
from policies.refresh.break_even import BreakEven
from policies.refresh.contract import KEEP, Decision, DeviceView, PlaceView
from policies.refresh.fixed_period import FixedPeriod
from policies.refresh.second_life import SecondLife, saved_g
from sim.core.run import instantiate, run
from sim.fleet.planner import FleetPlanner, PoolYears
from sim.fleet.pool import Cohort, Pool, SecondUse

SERVER = part("carbon/generations/gpu_server")
#: Never fails, gets no better and has no limits of wear, draws 300 W always; 1,500 kg to make.
STEADY = replace(
    SERVER, embodied_g=1.5e6, idle_w=300.0, peak_w=300.0, gain=0.0, mean_life_years=1e9,
    most_on_years=0.0,
)  # fmt: skip


class Keep:
    def decide(self, device: DeviceView, now_s: float) -> Decision:
        return KEEP


class Once:
    """Replaces at the beginning."""

    def decide(self, device: DeviceView, now_s: float) -> Decision:
        return Decision(now_s == 0.0)


def pool(**keys) -> Pool:
    known = {
        "name": "home",
        "device": STEADY,
        "refresh": Keep(),
        "devices": [(0.0, 1.0)],
        "use": 0.5,
        "intensity_g_per_kwh": 300.0,
        "pue": 1.2,
    }
    return Pool(**known | keys)


def years(first, number, *pools) -> dict[str, PoolYears]:
    return dict(FleetPlanner(Calendar(first, number), pools).run())


# ---- closed forms ----


@pytest.mark.parametrize(("grid", "expected"), [(300.0, 2.378), (50.0, 14.27)])
def test_break_even_by_planning_both(grid, expected) -> None:
    """The device in service draws 200 W more than the make of year 0."""
    device = replace(STEADY, gain=log(500.0 / 300.0))
    keys = {"device": device, "devices": [(1.0, 1.0)], "intensity_g_per_kwh": grid}
    old = years(2021, 16, pool(**keys))["home"]
    new = years(2021, 16, pool(refresh=Once(), **keys))["home"]
    assert new.bought == [(0.0, 1.0)]
    saved = np.cumsum(old.accounts.supply.total_g - new.accounts.supply.total_g)
    hours = int(np.searchsorted(saved, 1.5e6))
    assert hours / 8760.0 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("grid", "life", "replaced"), [
    (300.0, 2.3, False), (300.0, 2.5, True), (50.0, 14.0, False), (50.0, 15.0, True),
])  # fmt: skip
def test_the_break_even_policy_replaces_what_pays_in_its_life(grid, life, replaced) -> None:
    device = replace(STEADY, gain=log(500.0 / 300.0), life_years=life)
    found = years(
        2021,
        1,
        pool(
            device=device,
            devices=[(1.0, 1.0)],
            intensity_g_per_kwh=grid,
            refresh=part("refresh/break_even"),
        ),
    )["home"]
    # Later the gap grows by what a year's makes are better.
    assert ((0.0, 1.0) in found.bought) == replaced


def test_a_share_of_the_life_may_be_all_that_a_new_device_has_to_pay_in() -> None:
    """2.378 years at 300 g/kWh: within a life of 4, not within half of it."""
    device = replace(STEADY, gain=log(500.0 / 300.0), life_years=4.0)
    keys = {"device": device, "devices": [(1.0, 1.0)]}
    for share, replaced in ((1.0, True), (0.6, True), (0.5, False)):
        found = years(2021, 1, pool(refresh=BreakEven(share), **keys))["home"]
        assert ((0.0, 1.0) in found.bought) == replaced


def test_what_is_known_is_the_year_that_has_passed() -> None:
    """The plan of the first year at its start; then the mean of what has been, never what comes."""
    seen: list[float] = []

    class Looks:
        def decide(self, device: DeviceView, now_s: float) -> Decision:
            seen.append(device.intensity_g_per_kwh)
            return KEEP

    grid = np.repeat([100.0, 300.0, 700.0], 8760)
    # A device in service: those bought at the start are not asked for.
    years(2021, 3, pool(refresh=Looks(), devices=[(1.0, 1.0)], intensity_g_per_kwh=grid))
    first, second, third = seen[:4], seen[4:8], seen[8:]
    assert first == pytest.approx([100.0] * 4)
    passed = np.array([0, 90, 181, 273]) / 365
    assert second == pytest.approx(100.0 + 200.0 * passed)
    assert third == pytest.approx(300.0 + 400.0 * passed)


def test_the_best_life_by_planning_many() -> None:
    """Excess over the newest is making by 1/L and being behind by L; the least lies at
    sqrt(2 E / (o g)), here 2.5 years. Slow progress, so that the formula holds."""
    gain, best = 0.001, 2.5
    device = replace(STEADY, gain=gain, life_years=1.0)
    operational_g = 2.0 * device.embodied_g / (gain * best**2)
    grid = operational_g / (0.3 * 8760.0)
    lives = [0.5, 1.0, 2.0, 2.5, 5.0]
    totals = []
    for life in lives:
        found = years(
            2021,
            10,
            pool(
                device=device,
                refresh=FixedPeriod(life),
                intensity_g_per_kwh=grid,
                pue=1.0,
                devices=[(0.0, 1.0)],
            ),
        )["home"]
        totals.append(found.accounts.supply.total_g.sum() + 1.5e6 * (1 + len(found.bought)))
    # Fit a/L + b L + c; the least of it lies at sqrt(a/b).
    columns = np.array([[1.0 / life, life, 1.0] for life in lives])
    (a, b, _), *_ = np.linalg.lstsq(columns, np.array(totals), rcond=None)
    assert sqrt(a / b) == pytest.approx(best, rel=0.01)
    progress = Progress(device.embodied_g, operational_g / S_PER_YEAR, gain / S_PER_YEAR)
    assert progress.best_life_formula_s() == pytest.approx(best * S_PER_YEAR)
    # Among lives of whole quarters around it, that is also the least as planned.
    assert lives[int(np.argmin(totals))] == best


def test_the_best_period_is_near_the_best_of_all_fixed_ones() -> None:
    """With progress of 15 % a year: no fixed period does better by more than a percent."""
    keys = {"device": SERVER, "intensity_g_per_kwh": 400.0, "devices": [(0.0, 100.0)]}

    def emitted(refresh) -> float:
        found = years(2021, 24, pool(refresh=refresh, **keys))["home"]
        return float(found.accounts.supply.total_g.sum()) + found.made_g - found.left_g

    best = emitted(part("refresh/best_period"))
    fixed = {life: emitted(FixedPeriod(life)) for life in (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)}
    assert best < 1.01 * min(fixed.values())
    assert best < 0.8 * max(fixed.values())


def test_long_lives_win_on_clean_grids_and_short_ones_on_dirty_ones() -> None:
    def emitted(life, grid) -> float:
        found = years(
            2021,
            24,
            pool(device=SERVER, refresh=FixedPeriod(life), intensity_g_per_kwh=grid),
        )["home"]
        return float(found.accounts.supply.total_g.sum()) + found.made_g - found.left_g

    assert emitted(8.0, 10.0) < emitted(3.0, 10.0)
    assert emitted(3.0, 600.0) < emitted(8.0, 600.0)


def test_power_of_makes_by_hand() -> None:
    """Replaced every two years: makes of 2021, 2023, each exp(-0.15 x 2) of the one before."""
    device = replace(STEADY, gain=0.15)
    found = years(2021, 4, pool(device=device, refresh=FixedPeriod(2.0), pue=1.0))["home"]
    energy = Calendar(2021, 4).by_year(found.accounts.supply.it_j)
    year_j = 300.0 * S_PER_YEAR
    assert energy[2022] == pytest.approx(year_j)
    assert energy[2023] == pytest.approx(year_j * exp(-0.15 * 2))
    assert energy[2024] == pytest.approx(year_j * exp(-0.15 * 2) * 366 / 365)


def test_use_by_hour_and_demand_that_grows() -> None:
    device = replace(SERVER, mean_life_years=1e9, gain=0.0)
    shape = np.tile(np.repeat([0.5, 1.5], 12), 365)
    found = years(2021, 2, pool(device=device, shape=shape, growth=0.5, pue=1.0))["home"]
    watts = found.accounts.supply.it_j / 3600.0
    assert watts[0] == pytest.approx(800.0 + 3200.0 * 0.25)
    assert watts[12] == pytest.approx(800.0 + 3200.0 * 0.75)
    assert watts[8760] == pytest.approx(1.5 * (800.0 + 3200.0 * 0.25))
    shrinking = years(2021, 2, pool(device=device, growth=-0.5, devices=[(2.0, 4.0), (1.0, 4.0)]))
    accounts = shrinking["home"].accounts
    # The oldest go first: by 2022 all of those of 2 years, which then are 3 years old.
    assert accounts.supply.it_j[8760] == pytest.approx(0.5 * accounts.supply.it_j[0])
    assert accounts.early_g.sum() > 0.0


def test_failures_follow_the_law_and_are_replaced() -> None:
    device = replace(STEADY, mean_life_years=5.0)
    found = years(2021, 4, pool(device=device, devices=[(0.0, 1000.0)]))["home"]
    assert found.accounts.supply.it_j[-1] == pytest.approx(found.accounts.supply.it_j[0])
    first_year = sum(number for time_s, number in found.bought if time_s <= 366 * S_PER_DAY)
    law = WeibullLife(5.0 * S_PER_YEAR, 1.5)
    # A few of those that came in their place fail too.
    expected = 1000.0 * (1.0 - law.survives(0.0, S_PER_YEAR))
    assert expected < first_year < 1.1 * expected


# ---- second lives ----


def two(policy, second=None, **keys) -> dict[str, PoolYears]:
    busy = pool(refresh=policy, devices=[(0.0, 10.0)], **keys)
    quiet = pool(
        name="quiet",
        devices=[(4.0, 6.0)],
        use=0.1,
        refresh=FixedPeriod(6.0),
        second=second or SecondUse(4.0),
        intensity_g_per_kwh=keys.get("intensity_g_per_kwh", 300.0),
        device=keys.get("device", STEADY),
    )
    return years(2021, 4, busy, quiet)


def test_a_second_life_by_hand() -> None:
    """Ten servers replaced after two of four years; six go where six are due, with half of their
    making, and four are retired."""
    found = two(SecondLife(FixedPeriod(2.0)))
    home, quiet = found["home"], found["quiet"]
    assert quiet.moved_in == [(730 * S_PER_DAY, pytest.approx(6.0))]
    assert quiet.bought == []
    assert home.bought == [(730 * S_PER_DAY, pytest.approx(10.0))]
    assert home.passed_on_g == quiet.received_g == pytest.approx(6 * 0.75e6)
    assert home.accounts.early_g.sum() == pytest.approx(4 * 0.75e6)
    # 365 + 366 days of a plan of 4 x 365 days.
    assert quiet.accounts.embodied_g.sum() == pytest.approx(6 * 0.75e6 * 731 / 1460)


def test_without_what_comes_along_reuse_is_free_and_the_rest_is_expensed() -> None:
    found = two(SecondLife(FixedPeriod(2.0)), SecondUse(4.0, carries=False))
    assert found["quiet"].accounts.embodied_g.sum() == 0.0
    assert found["home"].accounts.early_g.sum() == pytest.approx(10 * 0.75e6)


def test_reuse_costs_power_and_failures() -> None:
    plain = two(SecondLife(FixedPeriod(2.0)), device=replace(STEADY, mean_life_years=8.0))
    worse = two(
        SecondLife(FixedPeriod(2.0)),
        SecondUse(4.0, draw=1.1, failures=3.0),
        device=replace(STEADY, mean_life_years=8.0),
    )
    at = 24 * 731
    for found, factor in ((plain, 1.0), (worse, 1.1)):
        watts = found["quiet"].accounts.supply.it_j[at] / 3600.0
        number = sum(n for t, n in found["quiet"].moved_in if t == 730 * S_PER_DAY)
        assert watts == pytest.approx(300.0 * (6.0 + (factor - 1.0) * number))
    bought = [sum(n for t, n in f["quiet"].bought if t > 730 * S_PER_DAY) for f in (plain, worse)]
    assert bought[1] > 1.5 * bought[0] > 0.0


def test_what_is_worn_out_has_no_second_life() -> None:
    worn = replace(STEADY, most_on_years=1.5)
    assert two(SecondLife(FixedPeriod(2.0)), device=worn)["quiet"].moved_in == []
    frail = replace(STEADY, mean_life_years=3.0)
    certain = SecondUse(4.0, survival=0.5)
    assert two(SecondLife(FixedPeriod(2.0)), certain, device=frail)["quiet"].moved_in == []
    assert two(SecondLife(FixedPeriod(2.0)), device=frail)["quiet"].moved_in != []


def test_what_fails_more_often_there_serves_less_of_its_second_life() -> None:
    law = WeibullLife(8.0 * S_PER_YEAR, 1.5)
    assert law.survives(1e7, 1e8, 3.0) == pytest.approx(law.survives(1e7, 1e8) ** 3)
    # Without ageing: (1 - exp(-rate x time)) / rate.
    steady = WeibullLife(2.0 * S_PER_YEAR, 1.0)
    expected = (1.0 - np.exp(-6.0)) / 3.0 * 2.0 * S_PER_YEAR
    assert steady.serves_s(1e8, 4.0 * S_PER_YEAR, 3.0) == pytest.approx(expected, rel=1e-4)
    device = replace(STEADY, mean_life_years=8.0)
    likely = device.failures.survives(2.0 * S_PER_YEAR, 4.0 * S_PER_YEAR)
    cohort = Cohort.bought(device, 1.0, 2.0 * S_PER_YEAR, 2.0 * S_PER_YEAR)
    for failures in (1.0, 3.0):
        there = SecondUse(4.0, failures=failures, survival=likely**2)
        assert cohort.fit(there) == (failures == 1.0)
        served_s = device.failures.serves_s(2.0 * S_PER_YEAR, 4.0 * S_PER_YEAR, failures)
        assert cohort.serves_s(there) == served_s < 4.0 * S_PER_YEAR
    assert saved_g(place(served_s=S_PER_YEAR)) == pytest.approx(0.5 * saved_g(place()))


def place(**keys) -> PlaceView:
    known = {
        "name": "quiet",
        "reused_w": 500.0,
        "new_w": 300.0,
        "embodied_g": 1.5e6,
        "life_s": 4 * S_PER_YEAR,
        "pue": 1.2,
        "intensity_g_per_kwh": 100.0,
        "served_s": 2 * S_PER_YEAR,
        "fit": True,
    }
    return PlaceView(**known | keys)


def test_reuse_goes_where_it_saves_most_and_nowhere_where_it_costs() -> None:
    saved = 0.75e6 - grams(200.0 * 1.2 * 2 * S_PER_YEAR, 100.0)
    assert saved_g(place()) == pytest.approx(saved)
    view = DeviceView(
        name="server",
        age_s=5 * S_PER_YEAR,
        old_w=500.0,
        new_w=300.0,
        embodied_g=1.5e6,
        life_s=4 * S_PER_YEAR,
        gain_per_s=0.0,
        pue=1.2,
        intensity_g_per_kwh=300.0,
        places=[
            place(name="dirty", intensity_g_per_kwh=900.0),
            place(name="clean", intensity_g_per_kwh=20.0),
            place(),
            place(name="unfit", intensity_g_per_kwh=0.0, fit=False),
        ],
    )
    policy = SecondLife(FixedPeriod(4.0))
    assert policy.decide(view, 0.0) == Decision(True, "clean")
    assert policy.decide(replace(view, places=view.places[:1]), 0.0) == Decision(True)
    assert policy.decide(replace(view, age_s=3 * S_PER_YEAR), 0.0) == KEEP


def test_best_period_at_its_edges() -> None:
    view = DeviceView(
        name="server",
        age_s=5 * S_PER_YEAR,
        old_w=500.0,
        new_w=300.0,
        embodied_g=1.5e6,
        life_s=4 * S_PER_YEAR,
        gain_per_s=0.15 / S_PER_YEAR,
        pue=1.2,
        intensity_g_per_kwh=0.0,
    )
    policy = BestPeriod()
    assert policy.decide(view, 0.0) == KEEP
    assert policy.decide(replace(view, embodied_g=0.0), 0.0) == Decision(True)
    assert policy.decide(replace(view, intensity_g_per_kwh=900.0), 0.0) == Decision(True)
    assert BreakEven(0.5).decide(view, 0.0) == KEEP


# ---- nothing is lost ----

POLICIES = st.one_of(
    st.builds(FixedPeriod, st.floats(0.3, 9.0)),
    st.builds(BreakEven, st.floats(0.1, 2.0)),
    st.just(BestPeriod()),
)


@settings(max_examples=40)
@given(
    POLICIES,
    POLICIES,
    st.floats(-0.2, 0.3),
    st.lists(st.tuples(st.floats(0.0, 6.0), st.floats(0.0, 20.0)), min_size=1, max_size=3),
    st.builds(SecondUse, st.floats(0.5, 6.0), st.floats(1.0, 1.3), st.floats(0.0, 4.0),
              carries=st.booleans()),
    st.floats(2.0, 30.0),
    st.floats(0.0, 600.0),
)  # fmt: skip
def test_every_gram_of_making_is_somewhere(
    first, other, growth, devices, second, mean_life, grid
) -> None:
    device = replace(SERVER, mean_life_years=mean_life)
    keys = {"device": device, "intensity_g_per_kwh": grid, "devices": devices}
    found = years(
        2023,
        5,
        pool(refresh=SecondLife(first), growth=growth, **keys),
        pool(name="quiet", refresh=SecondLife(other), second=second, use=0.1, **keys),
    )
    approx = {"rel": 1e-9, "abs": 1e-3}
    for each in found.values():
        accounts = each.accounts
        booked = float((accounts.embodied_g + accounts.early_g).sum())
        assert booked + each.passed_on_g + each.left_g == pytest.approx(
            each.made_g + each.received_g, **approx
        )
        assert sum(accounts.by_device_g.values()) == pytest.approx(booked, **approx)
        emitted = grams(1.2 * float(accounts.supply.it_j.sum()), grid)
        assert accounts.supply.total_g.sum() == pytest.approx(emitted, **approx)
    passed_on = sum(each.passed_on_g for each in found.values())
    assert passed_on == pytest.approx(sum(each.received_g for each in found.values()), **approx)


def test_farms_serve_a_pool_by_the_hour() -> None:
    sun = np.tile(np.repeat([0.0, 1.0], 12), 365) * J_PER_KWH
    alone = years(2021, 1, pool(pue=1.0))["home"].accounts
    with_sun = years(2021, 1, pool(pue=1.0, farms=[FarmEnergy(sun, 41.0)]))["home"].accounts
    half = 0.5 * alone.supply.total_g.sum()
    assert with_sun.supply.total_g.sum() == pytest.approx(half * (1.0 + 41.0 / 300.0))


def test_the_curve_of_power_counts_hour_by_hour() -> None:
    """By hand: half of the hours idle and half at 0.5, an exponent of 2."""
    device = replace(
        STEADY,
        idle_w=100.0,
        peak_w=300.0,
        power=part("carbon/power/affine", "carbon.power.exponent=2"),
    )
    shape = np.tile([0.0, 1.0], 4380)
    found = years(2021, 1, pool(device=device, use=0.5, shape=shape))["home"].accounts.supply
    assert found.it_j.sum() == pytest.approx(8760 * 3600 * (100.0 + 150.0) / 2)
    assert device.power_w(0.5, 0.0) == pytest.approx(150.0)


def test_every_curve_that_is_listed_is_one_that_a_fleet_can_draw_by() -> None:
    curves = choices("carbon_power")
    assert {"affine", "fan", "greensku"} <= set(curves)
    for name in curves:
        config = compose(["experiment=fleet", f"carbon/power@device.power={name}"])
        device = instantiate("device", OmegaConf.to_container(config.device))
        assert device.power_w(0.1, 0.0) < device.power_w(0.9, 0.0) <= device.peak_w


def test_a_run_of_a_fleet_is_its_plan() -> None:
    words = ["experiment=fleet", "years=5", "refresh=second_life", "refresh.when.years=3"]
    result = run(compose([*words, "intensity_g_per_kwh=40"]))
    second = SecondUse(4.0, draw=1.05, failures=1.2, survival=0.5)
    keys = {"device": SERVER, "intensity_g_per_kwh": 40.0, "devices": [(0.0, 100.0)], "pue": 1.12}
    found = years(
        2026,
        5,
        pool(name="busy", refresh=SecondLife(FixedPeriod(3.0)), **keys),
        pool(name="quiet", refresh=FixedPeriod(4.0), use=0.1, second=second, **keys),
    )
    for name, each in found.items():
        wanted = float(each.accounts.total_g.sum())
        assert result[f"fleet.{name}.carbon_g"] == pytest.approx(wanted)
        drawn = float(each.accounts.supply.it_j.sum())
        assert result[f"fleet.{name}.energy_j"] == pytest.approx(drawn)
        assert result[f"fleet.{name}.facility_energy_j"] == pytest.approx(1.12 * drawn)
    assert result["fleet.moved_in"] == result["fleet.quiet.moved_in"] > 0.0
    table = result.table("fleet")
    assert list(table.year) == [*range(2026, 2031)] * 2
    assert table.early_g.sum() == pytest.approx(result["fleet.early_g"])
    assert result["simulated_s"] == Calendar(2026, 5).hours * 3600.0
    with pytest.raises(ConfigError, match="until_s: 60 s"):
        run(compose([*words, "until_s=60"]))


# ---- bad input ----


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: pool(use=1.2), r"pool home: use = 1\.2 must be in \[0, 1\]"),
        (lambda: pool(devices=[]), r"pool home: devices = \[\] must be"),
        (lambda: FleetPlanner(Calendar(2021, 1), [pool(), pool()]), "of different names"),
        (lambda: years(2021, 1, pool(use=0.8, shape=np.full(8760, 2.0))), r"use x shape is 1\.6"),
        (lambda: years(2021, 1, pool(intensity_g_per_kwh=np.ones(5))), "5 values are no year"),
        (lambda: SecondUse(0.0), r"second use: years = 0\.0 must be > 0"),
        (lambda: SecondUse(1.0, survival=2.0), r"survival = 2\.0"),
        (lambda: FixedPeriod(0.0), r"refresh: years = 0\.0"),
        (lambda: BreakEven(0.0), r"refresh: share = 0\.0"),
        (lambda: replace(SERVER, idle_w=5000.0), r"device class gpu-server: idle_w = 5000\.0"),
        (lambda: replace(SERVER, source={}), "has no entry in `source`"),
    ],
)
def test_impossible_settings_are_named(make, says) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_a_place_that_is_none_is_named() -> None:
    class Elsewhere:
        def decide(self, device: DeviceView, now_s: float) -> Decision:
            return Decision(True, "moon")

    with pytest.raises(ConfigError, match=r"pool home: .*moon"):
        years(2021, 1, pool(refresh=Elsewhere(), devices=[(1.0, 1.0)]))


@pytest.mark.parametrize("name", ["fixed_period", "break_even", "best_period", "second_life"])
def test_policies_of_the_catalogue_are_made(name) -> None:
    assert callable(part(f"refresh/{name}").decide)
