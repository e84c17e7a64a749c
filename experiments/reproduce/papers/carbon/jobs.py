"""Batch jobs that wait, carried out on simulated GPUs: Let's Wait Awhile by the engine itself,
and CarbonScaler against simpler policies."""

from __future__ import annotations

from math import fsum
from typing import Any

from hydra.utils import instantiate

from experiments.compose import compose
from experiments.reproduce.accepted import Band, Finding, Order, Table
from experiments.reproduce.claim import Claim, Study, data_file
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.carbon import waiting
from experiments.reproduce.papers.carbon.unit_values import exact
from experiments.reproduce.papers.carbon.waiting import Job
from experiments.reproduce.runs import mean_interval, sweep
from experiments.reproduce.workers import Workers
from models.carbon.units import J_PER_KWH
from sim.core.result import Result
from sim.core.run import run
from sim.core.streams import Streams
from workloads.carbon.stamps import day

EXPERIMENT = "experiment=carbon_jobs"
STARTS = "2020-01-01"
#: On jobs that pause and go on for nothing, as the study of Let's Wait Awhile has them.
FREE = ("systems.jobs.checkpoint_s=0", "systems.jobs.restore_s=0")
#: Sums of all jobs are enough.
TENANTS = "carbon=ledger"
#: Scenario II on four weeks, with the year's rate of jobs.
DAYS = 28
COUNT = round(waiting.JOBS * DAYS / waiting.DAYS)
SERVERS = 8
#: Shifting of elastic jobs.
SCALER = {
    "at once": "at_once",
    "in one piece": "lets_wait_awhile",
    "may pause": "lets_wait_awhile_interruptible",
    "CarbonScaler": "carbon_scaler",
}
SEEDS = 4
#: After the last deadline of the elastic jobs, and after those that miss it.
END_S = 16 * 86_400.0

#: Grams and joules (of the site, PUE included) that jobs add to what stands there anyway.
Added = tuple[float, float]
#: By scenario and policy: what the jobs added, in the engine and by their plans alone.
Ways = dict[str, tuple[Added, Added]]


def _engine(workers: Workers) -> Ways:
    """Great Britain 2020: scenario I of the whole year, scenario II on its first weeks."""
    data_file("carbon_gb_2020.csv")
    tasks = {f"{reach} h": _nightly(reach) for reach in waiting.REACHES}
    tasks["at once"] = _workdays("shifting/at_once", waiting.ENDS[0])
    for form, policy in waiting.FORMS.items():
        for end in waiting.ENDS:
            tasks[f"{form}, {end}"] = _workdays(policy, end)
    return dict(zip(tasks, workers.map(both_ways, tasks.values()), strict=True))


def _nightly(reach: int) -> list[str]:
    return [
        "jobs=nightly",
        f"jobs.nights={len(waiting.NIGHTS)}",
        f"jobs.first_night={waiting.NIGHTS[0]}",
        f"jobs.reach_hours={reach}",
        "shifting=lets_wait_awhile",
        "node=a100-server",
        "cluster.nodes.node.count=1",
    ]


def _workdays(policy: str, end: str) -> list[str]:
    return [
        "jobs=workdays",
        f"jobs.days={DAYS}",
        f"jobs.count={COUNT}",
        "jobs.first_weekday=2",
        f"jobs.end={end}",
        policy.replace("/", "="),
        f"cluster.nodes.node.count={SERVERS}",
    ]


def both_ways(words: list[str]) -> tuple[Added, Added]:
    """What jobs add on the engine's GPUs, and by their plans and the GPUs' power alone."""
    grid = "sites.sites.home.intensity"
    place = ["sites=from_file", f"{grid}.path={data_file('carbon_gb_2020.csv')}"]
    place += [f"{grid}.starts={STARTS}", f"{grid}.odd.grid_s={waiting.SLOT_S}"]
    config = compose([EXPERIMENT, TENANTS, *FREE, *place, *words])
    found = figures(run(config))
    assert found["missed"] == found["unfinished"] == 0
    pue, gpu = config.sites.sites.home.pue.value, config.node.gpu

    signal = waiting.great_britain().shifted(-day(STARTS))
    policy = instantiate(config.shifting)
    emitted, drawn = [], []
    for demand in instantiate(config.jobs).jobs(Streams(config.seed)("jobs.workload")):
        (level,) = demand.levels
        watts = pue * level.gpus * level.power_share * (gpu.peak_w - gpu.idle_w)
        runs = policy.plan(Job(demand.work_s, demand.deadline_s), signal, demand.arrival_s)
        emitted += [watts * signal.integral(each.start_s, each.end_s) for each in runs]
        drawn += [watts * (each.end_s - each.start_s) for each in runs]
    planned = fsum(emitted) / J_PER_KWH, fsum(drawn)
    return (found["added_g"], pue * found["added_j"]), planned


def figures(result: Result) -> dict[str, float]:
    """What the jobs of a run added to its site (g, J without PUE), and what their books say; of a
    run with carbon=ledger.

    What stands there draws the same whatever they do, so that sites over equal times differ by what
    is added. Books of jobs hold what the GPUs that they have would
    draw without work too: that goes to the account `idle`, and not away, when they are given back.
    """
    books = result.table("carbon")
    added = books[books.account != "idle"]
    return {
        "added_g": float(added.operational_g.sum()),
        "added_j": float(added.energy_j.sum()),
        "books_g": result.number("jobs.carbon.operational_g"),
        "books_j": result.number("jobs.carbon.it_energy_j"),
        "site_g": result.number("carbon.operational_g"),
        "missed": result.number("jobs.deadlines_missed"),
        "unfinished": result.number("jobs.jobs_unfinished"),
    }


#: By policy, the figures of each seed.
Elastic = dict[str, list[dict[str, float]]]


def _elastic(workers: Workers) -> Elastic:
    """Elastic jobs on a made-up grid, with what pauses cost; all runs end together."""
    common = [EXPERIMENT, TENANTS, "cluster.nodes.node.count=6", f"idle_until_s={END_S}"]
    settings = {name: [*common, f"shifting={policy}"] for name, policy in SCALER.items()}
    return sweep(settings, range(SEEDS), figures, workers)


ENGINE = Study("engine", _engine)
ELASTIC = Study("elastic", _elastic)


def apart(ways: Ways) -> Estimate:
    """The largest relative difference between both ways, of grams and of joules."""
    return Estimate.exact(
        max(
            abs(one / other - 1.0)
            for engine, plan in ways.values()
            for one, other in zip(engine, plan, strict=True)
        )
    )


def night_savings(ways: Ways) -> dict[str, Estimate]:
    """Percent of the grams added that is saved, by reach."""
    (base, _), _ = ways["0 h"]
    return exact(
        {f"{r} h": 100.0 * (1.0 - ways[f"{r} h"][0][0] / base) for r in waiting.REACHES if r}
    )


def day_savings(ways: Ways) -> dict[str, Estimate]:
    """Percent of the grams added that is saved, by form and end."""
    (base, _), _ = ways["at once"]
    return exact(
        {
            name: 100.0 * (1.0 - engine[0] / base)
            for name, (engine, _) in ways.items()
            if "," in name
        }
    )


def share(found: Elastic, policy: str, less: str, of: str) -> Estimate:
    """By how many percent of a figure at once a policy lowers a figure, seed by seed."""
    pairs = zip(found[policy], found["at once"], strict=True)
    return mean_interval([100.0 * (once[less] - own[less]) / once[of] for own, once in pairs])


def savings(found: Elastic) -> dict[str, Estimate]:
    """Percent of the jobs' operational carbon at once that the site does not emit, by policy."""
    return {name: share(found, name, "added_g", "books_g") for name in SCALER if name != "at once"}


def views(found: Elastic) -> dict[str, Estimate]:
    """The same by what it is a share of, and what the jobs' own books would have it be."""
    shown = {}
    for name in SCALER:
        if name != "at once":
            shown[f"{name}, of what jobs add"] = share(found, name, "added_g", "added_g")
            shown[f"{name}, of the whole site"] = share(found, name, "added_g", "site_g")
            shown[f"{name}, in the jobs' books"] = share(found, name, "books_g", "books_g")
    return shown


def costs(found: Elastic) -> dict[str, Estimate]:
    """What it costs: more energy in percent of the jobs', deadlines missed of all in percent."""
    jobs = compose([EXPERIMENT]).jobs.count
    shown = {}
    for name, runs in found.items():
        if name == "at once":
            continue
        more = share(found, name, "added_j", "books_j")
        shown[f"{name}, energy"] = mean_interval([-each for each in more.samples])
        shown[f"{name}, late"] = mean_interval([100.0 * own["missed"] / jobs for own in runs])
    return shown


CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="jobs-agree",
        where="Let's Wait Awhile, by the engine",
        what="largest relative difference between the carbon and energy that jobs add on simulated "
        "GPUs and those of their plans and power alone, scenario I and four weeks of scenario II",
        published="1e-6",
        accepted=Band(0.0, 1e-6),
        study=ENGINE,
        measure=apart,
        note="Events and a reckoning of plans alone must not differ by more",
    ),
    Claim(
        id="jobs-night",
        where="Let's Wait Awhile, scenario I, by the engine",
        what="carbon saved of what a half-hour job of each night adds to its site, moved so many "
        "hours to either side",
        published="6.5, 8.4, 10.2 %",
        accepted=Table({"2 h": 6.5, "4 h": 8.4, "8 h": 10.2}, absolute=1.0),
        study=ENGINE,
        measure=night_savings,
        unit="%",
        note="As in the study, which knows no idle draw: what a GPU draws without work it draws at "
        "any hour, and none of it is saved",
    ),
    Claim(
        id="jobs-day",
        where="Let's Wait Awhile, scenario II, by the engine",
        what=f"carbon saved of what {COUNT} jobs of the first four weeks of 2020 add, by form and "
        "end",
        published="6.7, 9.2, 14.9, 20.1 % over the whole year",
        accepted=Finding(),
        study=ENGINE,
        measure=day_savings,
        unit="%",
        note="Four winter weeks and one draw of jobs; the whole year is the claim day-savings",
    ),
    Claim(
        id="scaler-savings",
        where="CarbonScaler (SIGMETRICS 2024)",
        what="operational carbon that the site does not emit, of the jobs' own when they run at "
        "once; elastic jobs of 1 to 4 GPUs, what pauses cost included",
        published="CarbonScaler saves more than suspension and resumption",
        accepted=Order("CarbonScaler", "may pause", "in one piece"),
        study=ELASTIC,
        measure=savings,
        unit="%",
        note="Grid, jobs and scaling are made up, so that the size of it is our own. What GPUs "
        "draw without work is emitted whoever has them: by the jobs' own books, which lose it with "
        "the GPUs, more seems to be saved than is (see scaler-views)",
    ),
    Claim(
        id="scaler-views",
        where="CarbonScaler (SIGMETRICS 2024)",
        what="the same as a share of what the jobs add to the site, and of all that the site "
        "emits; and what the jobs' books alone would say",
        published="-",
        accepted=Finding(),
        study=ELASTIC,
        measure=views,
        unit="%",
    ),
    Claim(
        id="scaler-costs",
        where="CarbonScaler (SIGMETRICS 2024)",
        what="energy of the site above that of running at once, of the jobs' own, and jobs that "
        "end after their deadline",
        published="-",
        accepted=Finding(),
        study=ELASTIC,
        measure=costs,
        unit="%",
    ),
]
