"""Carbon's reproduction: its exact claims, the rules of its studies, and that all can be drawn."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments.compose import compose
from experiments.reproduce.claim import NotRun
from experiments.reproduce.papers.carbon import (
    PAPER,
    decade,
    jobs,
    refresh,
    serving,
    serving_runs,
    shape,
    tokens,
    unit_values,
    waiting,
)
from experiments.reproduce.plots import picture
from experiments.reproduce.verdict import Verdict
from experiments.reproduce.workers import Workers
from models.carbon.units import J_PER_KWH
from sim.core.run import run
from workloads.carbon.stamps import day, weekday_and_hour

WITHOUT_DATA = {
    "act",
    "r740",
    "fab",
    "greensku",
    "embodied-share",
    "embodied-authors",
    "crossover",
    "break-even-planned",
    "best-life-planned",
    "refresh",
    "second-life",
    "decade",
}
#: Runs of the simulator, which need no data either.
SIMULATED = {"elastic", "tokens", "power-caps", "regions", "deferral"}
STUDIES = {claim.study.name: claim.study for claim in PAPER.claims}
measured = pytest.mark.skipif(not os.environ.get("ORRERY_DATA"), reason="ORRERY_DATA is not set")


@pytest.fixture(scope="module")
def exact():
    with Workers(1) as workers:
        return {name: STUDIES[name].run(workers) for name in WITHOUT_DATA}


def test_what_needs_data_is_not_run_without(monkeypatch) -> None:
    monkeypatch.delenv("ORRERY_DATA", raising=False)
    with Workers(1) as workers:
        for name in STUDIES.keys() - WITHOUT_DATA - SIMULATED:
            with pytest.raises(NotRun, match="ORRERY_DATA is not set"):
                STUDIES[name].run(workers)


def test_exact_claims_hold(exact) -> None:
    for claim in PAPER.claims:
        if claim.study.name in WITHOUT_DATA:
            found = claim.accepted.judge(claim.measure(exact[claim.study.name]), claim.unit)
            wanted = (Verdict.HOLDS, Verdict.REPORTED)
            assert found.verdict in wanted or claim.id == "embodied-clean", claim.id


def simulated() -> dict[str, serving_runs.Runs]:
    """Figures of two seeds as runs of serving might give them: each arm a gram below the one
    before."""
    keys = ("operational_g", "work_g", "energy_j", "ttft_s.p99", "tpot_s.p99", "good_share")
    arms = {
        "regions": [
            serving_runs.arm(name, load)
            for load in serving_runs.LOADS
            for name in ("nearest", "carbon", "cleanest")
        ],
        "deferral": [
            "at once",
            *serving_runs.WAITING,
            "10 % error",
            "30 % error",
            "ignoring capacity",
        ],
    }
    found = {
        study: {
            name: [
                dict.fromkeys(keys, 100.0 - i + 0.1 * seed)
                | {"deferred.in_time": float(serving_runs.DEFERRED_REQUESTS)}
                for seed in range(2)
            ]
            for i, name in enumerate(names)
        }
        for study, names in arms.items()
    }
    found["deferral"]["no batch"] = [dict.fromkeys(keys, 50.0) | {"deferred.in_time": 0.0}] * 2
    return found


def test_what_claims_take_from_runs_of_serving() -> None:
    runs = simulated()
    saved = serving.routing_savings(runs["regions"])["0.2/s"]
    assert saved.value == pytest.approx(100.0 * (1 / 100.0 + 1 / 100.1) / 2)
    waited = serving.waiting_savings(runs["deferral"])
    # Grams less than at once, over what batch work adds: 50 and 50.1.
    for less, name in enumerate(serving_runs.WAITING, 1):
        assert waited[name].value == pytest.approx(100.0 * less * (1 / 50.0 + 1 / 50.1) / 2)
    for claim in serving.CLAIMS:
        data = runs[claim.study.name]
        assert claim.accepted.judge(claim.measure(data), claim.unit).simulated


def test_a_batch_request_that_has_not_ended_in_time_is_undone() -> None:
    """Whatever became of it; where capacity is ignored nothing is promised."""
    runs = simulated()["deferral"]
    assert serving.undone(runs).value == 0.0
    runs["threshold"][1]["deferred.in_time"] -= 3.0
    runs["ignoring capacity"][0]["deferred.in_time"] -= 7.0
    assert serving.undone(runs).value == 3.0


def test_batch_requests_cut_off_by_the_end_are_not_in_time() -> None:
    arm = serving_runs.deferral_arms()["at once"]
    found = run(compose([*arm, "until_s=2000"]))
    deferred = found.table("serving_batch_deferred")
    in_time = serving_runs.figures(found)["deferred.in_time"]
    assert 0 < in_time <= deferred.finish_s.notna().sum() < found.number("serving.batch.deferred")


@pytest.mark.parametrize("arms", [serving_runs.routing_arms(), serving_runs.deferral_arms()])
def test_arms_of_serving_differ_and_one_of_each_runs(arms) -> None:
    settings = {name: str(compose(words)) for name, words in arms.items()}
    assert len(set(settings.values())) == len(arms)
    found = serving_runs.figures(run(compose([*list(arms.values())[1], "until_s=2000"])))
    assert found["operational_g"] > 0.0
    assert found["good_share"] > 50.0


@pytest.mark.parametrize("plot", PAPER.plots, ids=lambda plot: plot.name)
def test_every_plot_draws(plot, exact) -> None:
    made_up = {
        **exact,
        **simulated(),
        "nightly": {(reach, 0.0): [200.0 - reach] for reach in waiting.REACHES},
        "elastic": {name: _made_up(level) for level, name in enumerate(jobs.SCALER)},
        "by-day": {(form, end): [5.0, 6.0] for form in waiting.FORMS for end in waiting.ENDS},
        "coverage": {
            city: {
                (farms, flexible, hours): 0.5
                for farms in shape.MIXES
                for flexible in shape.FLEXIBLE
                for hours in shape.BATTERIES
            }
            for city in shape.CITIES
        },
    }
    assert picture(plot, made_up[plot.study.name]).startswith(b"\x89PNG")


def _made_up(level: int) -> list[dict[str, float]]:
    """Figures of a policy that avoids 10 % of the jobs' carbon a level at 1 % more energy, and by
    the jobs' books twice as much."""
    figures = {
        "added_g": 60.0 - 10.0 * level, "books_g": 100.0 - 20.0 * level, "site_g": 500.0,
        "added_j": 600.0 + 10.0 * level, "books_j": 1000.0,
    }  # fmt: skip
    return [
        {key: factor * value for key, value in figures.items()} | {"missed": level}
        for factor in (1.0, 1.5)
    ]


def test_savings_and_costs_of_jobs_are_over_running_at_once() -> None:
    found = {name: _made_up(level) for level, name in enumerate(jobs.SCALER)}
    saved = jobs.savings(found)
    assert [estimate.value for estimate in saved.values()] == pytest.approx([10.0, 20.0, 30.0])
    assert saved["CarbonScaler"].low == pytest.approx(30.0)
    views = {key: each.value for key, each in jobs.views(found).items() if "CarbonScaler" in key}
    assert list(views.values()) == pytest.approx([50.0, 6.0, 60.0])
    costs = jobs.costs(found)
    assert costs["may pause, energy"].value == pytest.approx(2.0)
    assert costs["CarbonScaler, late"].value == pytest.approx(100.0 * 3 / 60)
    judged = {claim.id: claim.accepted for claim in jobs.CLAIMS}["scaler-savings"]
    assert judged.judge(saved, "%").verdict is Verdict.HOLDS


def test_sites_differ_by_what_jobs_add() -> None:
    """Without it a site draws and emits the same to the same end whatever the policy, on whichever
    GPUs jobs are."""
    standing_j, standing_g = [], []
    few = ["jobs.count=8", "jobs.days=2", "jobs.most_hours=8", f"idle_until_s={5 * 86_400}"]
    for policy in jobs.SCALER.values():
        result = run(compose([jobs.EXPERIMENT, jobs.TENANTS, *few, f"shifting={policy}"]))
        found = jobs.figures(result)
        standing_j.append(result.number("energy_j") - found["added_j"])
        standing_g.append(found["site_g"] - found["added_g"])
        assert found["books_g"] > found["added_g"]
    assert standing_j == pytest.approx([standing_j[0]] * len(standing_j), rel=1e-9)
    assert standing_g == pytest.approx([standing_g[0]] * len(standing_g), rel=1e-9)


def test_capacity_leaves_ramp_and_drain_out() -> None:
    """Two a second between a slow beginning and a slow end."""
    ends = [*range(100, 200, 5), *(200.0 + 0.5 * i for i in range(60)), *range(300, 400, 5)]
    requests = pd.DataFrame({"finish_s": [*map(float, ends)]})
    result = SimpleNamespace(table={"requests": requests}.__getitem__)
    assert tokens.steady_rate(result) == pytest.approx(2.0, rel=0.02)


def test_carbon_of_tokens_is_divided_by_the_tenants_own_share() -> None:
    run = {"serving.carbon_per_1k_tokens_g": 0.01, "serving.carbon_g": 50.0}
    run |= {"serving.carbon.embodied_g": 10.0, "carbon.embodied_share": 0.9}
    assert tokens.in_two(run) == pytest.approx((8.0, 2.0))
    assert tokens.making_share([run, run]).value == pytest.approx(20.0)


def test_where_the_best_cap_lies_between_the_ends() -> None:
    """Operation falls and making rises with a lower cap: each end where the grid says so."""
    caps = {
        ("H100", cap): [(factor * 10.0 * cap**2, factor / cap) for factor in (1.0, 1.1)]
        for cap in tokens.CAPS
    }
    best = [tokens.best_cap(caps, "H100", grid).value for grid in (1.0, 10.0, 400.0)]
    assert best == pytest.approx([1.0, 0.8, 0.5])
    margins = [tokens.margin(caps, "H100", grid).value for grid in (1.0, 10.0, 400.0)]
    assert margins[0] < 0.0 < margins[1]
    assert margins[2] < 0.0
    # At 10 g/kWh: cap^2 + 1/cap is 1.89 at 0.8, and 2 at full power.
    assert margins[1] == pytest.approx(100.0 * (2.0 / 1.89 - 1.0))


@measured
@pytest.mark.parametrize("policy", ["at_once", *(f.split("/")[1] for f in waiting.FORMS.values())])
@pytest.mark.parametrize("end", waiting.ENDS)
def test_the_engine_and_the_plans_agree_on_great_britain(policy: str, end: str) -> None:
    words = ["jobs=workdays", "jobs.days=7", "jobs.count=20", "jobs.first_weekday=2"]
    words += [f"jobs.end={end}", f"shifting={policy}", "cluster.nodes.node.count=3"]
    engine, plan = jobs.both_ways(words)
    assert engine == pytest.approx(plan, rel=1e-6)
    # Grams and joules, each by itself.
    wrong = {"": (engine, (plan[0] * 1.01, plan[1] * 1.01))}
    assert jobs.apart(wrong).value == pytest.approx(0.01, rel=0.02)


@measured
def test_the_engines_first_nights_are_the_studys() -> None:
    """And so is their mean, of the job that may not move."""
    engine, plan = jobs.both_ways([*jobs._nightly(0), "jobs.nights=5"])
    truth = waiting.great_britain()
    nominal = [day("2020-01-01") + night * 86400.0 + 3600.0 for night in range(1, 6)]
    means = [truth.mean(start, start + waiting.SLOT_S) for start in nominal]
    assert engine == pytest.approx(plan, rel=1e-6)
    assert J_PER_KWH * engine[0] / engine[1] == pytest.approx(np.mean(means), rel=1e-6)


@pytest.mark.parametrize(
    ("end", "next_workday", "semi_weekly"),
    [
        ("2020-06-03T12:00", "2020-06-03T12:00", "2020-06-04T09:00"),  # a Wednesday
        ("2020-06-03T17:00", "2020-06-03T17:00", "2020-06-04T09:00"),
        ("2020-06-03T17:30", "2020-06-04T09:00", "2020-06-04T09:00"),
        ("2020-06-04T08:30", "2020-06-04T09:00", "2020-06-04T09:00"),
        ("2020-06-04T09:30", "2020-06-04T09:30", "2020-06-08T09:00"),
        ("2020-06-05T18:00", "2020-06-06T09:00", "2020-06-08T09:00"),  # Friday evening
        ("2020-06-06T03:00", "2020-06-08T09:00", "2020-06-08T09:00"),
        ("2020-06-07T23:30", "2020-06-08T09:00", "2020-06-08T09:00"),
    ],
)
def test_how_late_a_job_may_end(end, next_workday, semi_weekly) -> None:
    assert waiting.latest_end(day(end), "next workday") == day(next_workday)
    assert waiting.latest_end(day(end), "Monday or Thursday") == day(semi_weekly)


def test_the_draw_of_jobs() -> None:
    found = waiting.jobs(np.random.default_rng(0))
    assert len(found) == 3387
    for start, length in found:
        weekday, hour = weekday_and_hour(start)
        assert weekday < 5
        assert 9.0 <= hour <= 17.0
        assert 4.0 <= length / 3600.0 <= 90.0
        assert length % 1800.0 == start % 1800.0 == 0.0
    assert np.mean([length for _, length in found]) / 3600.0 == pytest.approx(47.0, rel=0.02)


def test_a_plan_of_the_decade_moves_as_its_levers_say(exact) -> None:
    """Every lever pulled the right way helps, whatever the others are at; life, which trades
    making against efficiency, is the exception."""
    changes = {levers: decade.change(years) for levers, years in exact["decade"].items()}
    for growth in decade.GROWTHS:
        for gain in decade.GAINS:
            for grid in decade.GRIDS:
                for life in decade.LIVES:
                    here = changes[growth, gain, grid, life]
                    assert changes[0.10, gain, grid, life] <= here
                    assert changes[growth, 0.15, grid, life] <= here
                    assert changes[growth, gain, 0.07, life] <= here


def test_the_combinations_that_reach_the_goal_are_those_named(exact) -> None:
    """Each with the shortest life, and one of its own where a longer life does not."""
    decades = exact["decade"]
    reaching = {levers for levers, years in decades.items() if decade.change(years) <= -45.0}
    named = decade.shortest_reaching(decades)
    assert len(named) == len({levers[:3] for levers in reaching}) > 3
    assert named["growth 10 %, gain 10 %, grid 7 %"] == 4.0
    assert (0.10, 0.10, 0.07, 3) not in reaching
    assert {(0.10, 0.10, 0.07, life) for life in (4, 6, 8)} <= reaching
    odd = dict(decades)
    odd[0.10, 0.10, 0.07, 6] = decades[0.25, 0.10, 0.0, 6]
    alone = {name: life for name, life in decade.shortest_reaching(odd).items() if "alone" in name}
    assert alone == {
        f"growth 10 %, gain 10 %, grid 7 %, {life} years alone": life for life in (4, 8)
    }


def test_the_servers_bill_by_formula_is_the_published_one() -> None:
    published = {"CPU": 23.143, "main DRAM": 330.43, "main SSDs": 8 * (136.046 + 1.95)}
    for name, kg in published.items():
        assert unit_values.R740[name] == pytest.approx(kg, abs=6e-3)
    assert unit_values.R740["CPU"] == pytest.approx(23.143, abs=5e-4)


def test_the_identity_is_summed_up_apart_from_the_years(exact) -> None:
    """A year whose energy is a thousandth off is seen."""
    decades = dict(exact["decade"])
    years = decades[decade.MIDDLE]
    wrong = replace(years[7], operational_g=1.001 * years[7].operational_g)
    decades[decade.MIDDLE] = [*years[:7], wrong, *years[8:]]
    share = wrong.operational_g / wrong.total_g
    assert decade.worst_identity(decades).value == pytest.approx(0.001 * share, rel=0.01)


def test_second_lives_take_along_what_is_not_written_off(exact) -> None:
    """A quarter of what is spent, at most: they move on after three of four years."""
    found = exact["second-life"]
    for grid in refresh.GRIDS:
        assert found["retired, carried", grid] == 0.0
        assert 0.0 < found["second life, carried", grid] < 25.0


@measured
def test_more_flexibility_and_more_battery_cover_more() -> None:
    found = shape.city_coverage("Berlin")
    for farms in shape.MIXES:
        for flexible in shape.FLEXIBLE:
            by_battery = [found[farms, flexible, hours] for hours in shape.BATTERIES]
            assert by_battery == sorted(by_battery)
        by_share = [found[farms, flexible, 0.0] for flexible in shape.FLEXIBLE]
        assert by_share == sorted(by_share)


def test_whose_figures_count_decides_what_is_embodied(exact) -> None:
    """Grams and joules by hand from EcoLogits' constants: 7,884 kg over three years."""
    servers = exact["embodied-authors"]
    shares = {name: each.embodied_share(40.0, shape.pue()) for name, each in servers.items()}
    assert shares["low figures"] < shares["mid figures"] < shares["high figures"]
    kwh = servers["mid figures"].mean_w / 1000.0 * 3 * 8760 * shape.pue()
    assert shares["EcoLogits"] == pytest.approx(7884.0 / (7884.0 + 0.040 * kwh))
    assert shares["mid figures"] < 0.5 < shares["EcoLogits"]


def test_a_server_is_written_off_over_the_lives_of_the_ledger(exact) -> None:
    """By hand, kg: eight H100s over four years; host, two processors, 2 TB of memory, 30 TB of
    drives and nine NICs over six."""
    rest = 362.5 + 2 * 29.033 + 2048 * 0.3 + 30 * 6.2 + 9 * 20.0
    per_year = 8 * 164.063 / 4 + rest / 6
    found = exact["embodied-share"]["8 x H100"].embodied_g_per_s * 365 * 86400 / 1000.0
    assert found == pytest.approx(per_year, rel=1e-5)


def test_savings_of_greensku_keep_their_order(exact) -> None:
    for released in (True, False):
        saved = unit_values.savings(exact["greensku"], released)
        kinds = ("Full", "CXL", "Efficient", "Resized")
        assert sorted(kinds, key=lambda kind: -saved[f"{kind}, total"]) == list(kinds)
        assert saved["Resized, total"] > 0.0
