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

#: By scenario, policy and seed, grams a kWh that the jobs had, in the engine and by policies alone.
Means = dict[str, tuple[float, float]]


def _engine(workers: Workers) -> Means:
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


def both_ways(words: list[str]) -> tuple[float, float]:
    """Mean intensity of jobs, in g/kWh, on the engine's GPUs and by their plans alone."""
    grid = "sites.sites.home.intensity"
    place = ["sites=from_file", f"{grid}.path={data_file('carbon_gb_2020.csv')}"]
    place += [f"{grid}.starts={STARTS}", f"{grid}.odd.grid_s={waiting.SLOT_S}"]
    config = compose([EXPERIMENT, TENANTS, *FREE, *place, *words])
    result = run(config)
    assert result["jobs.deadlines_missed"] == 0
    energy_j = result.number("jobs.carbon.it_energy_j") * config.sites.sites.home.pue.value
    simulated = result.number("jobs.carbon.operational_g") * J_PER_KWH / energy_j

    signal = waiting.great_britain().shifted(-day(STARTS))
    policy = instantiate(config.shifting)
    emitted, lasted = [], []
    for demand in instantiate(config.jobs).jobs(Streams(config.seed)("jobs.workload")):
        runs = policy.plan(Job(demand.work_s, demand.deadline_s), signal, demand.arrival_s)
        emitted.append(fsum(signal.integral(each.start_s, each.end_s) for each in runs))
        lasted.append(demand.work_s)
    return simulated, fsum(emitted) / fsum(lasted)


def _elastic(workers: Workers) -> dict[str, list[dict[str, float]]]:
    """Elastic jobs on a made-up grid, with what pauses cost, by policy: one for each seed."""
    settings = {
        name: [EXPERIMENT, TENANTS, f"shifting={policy}", "cluster.nodes.node.count=6"]
        for name, policy in SCALER.items()
    }
    figures = ("jobs.carbon.operational_g", "jobs.carbon.it_energy_j", "jobs.deadlines_missed")
    return sweep(settings, range(SEEDS), figures, workers)


ENGINE = Study("engine", _engine)
ELASTIC = Study("elastic", _elastic)


def apart(means: Means) -> Estimate:
    """The largest relative difference between both ways."""
    return Estimate.exact(max(abs(engine / pure - 1.0) for engine, pure in means.values()))


def night_savings(means: Means) -> dict[str, Estimate]:
    """Percent saved by reach."""
    base, _ = means["0 h"]
    return exact(
        {f"{r} h": 100.0 * (1.0 - means[f"{r} h"][0] / base) for r in waiting.REACHES if r}
    )


def day_savings(means: Means) -> dict[str, Estimate]:
    """Percent saved by form and end."""
    base, _ = means["at once"]
    return exact(
        {name: 100.0 * (1.0 - mean / base) for name, (mean, _) in means.items() if "," in name}
    )


def savings(found: dict[str, list[dict[str, float]]]) -> dict[str, Estimate]:
    """Percent of operational carbon that each policy saves over running at once, seed by seed."""
    base = found["at once"]
    return {
        name: mean_interval(
            [
                100.0 * (1.0 - own["jobs.carbon.operational_g"] / once["jobs.carbon.operational_g"])
                for own, once in zip(runs, base, strict=True)
            ]
        )
        for name, runs in found.items()
        if name != "at once"
    }


def costs(found: dict[str, list[dict[str, float]]]) -> dict[str, Estimate]:
    """What it costs: more energy in percent, and deadlines missed of all jobs in percent."""
    base = found["at once"]
    jobs = compose([EXPERIMENT]).jobs.count
    shown = {}
    for name, runs in found.items():
        if name == "at once":
            continue
        key = "jobs.carbon.it_energy_j"
        pairs = zip(runs, base, strict=True)
        more = [100.0 * (own[key] / once[key] - 1.0) for own, once in pairs]
        shown[f"{name}, energy"] = mean_interval(more)
        missed = [100.0 * own["jobs.deadlines_missed"] / jobs for own in runs]
        shown[f"{name}, late"] = mean_interval(missed)
    return shown


CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="jobs-agree",
        where="Let's Wait Awhile, by the engine",
        what="largest relative difference between the carbon of jobs on simulated GPUs and that of "
        "their plans alone, over scenario I and four weeks of scenario II",
        published="1e-6",
        accepted=Band(0.0, 1e-6),
        study=ENGINE,
        measure=apart,
        note="The brief of the field asks for this of an hourly and an event-by-event reckoning",
    ),
    Claim(
        id="jobs-night",
        where="Let's Wait Awhile, scenario I, by the engine",
        what="carbon saved by moving a half-hour job of each night so many hours to either side",
        published="6.5, 8.4, 10.2 %",
        accepted=Table({"2 h": 6.5, "4 h": 8.4, "8 h": 10.2}, absolute=1.0),
        study=ENGINE,
        measure=night_savings,
        unit="%",
    ),
    Claim(
        id="jobs-day",
        where="Let's Wait Awhile, scenario II, by the engine",
        what=f"carbon saved on {COUNT} jobs of the first four weeks of 2020, by form and end",
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
        what="operational carbon saved over running at once, elastic jobs of 1 to 4 GPUs, what "
        "pauses cost included",
        published="CarbonScaler saves more than suspension and resumption",
        accepted=Order("CarbonScaler", "may pause", "in one piece"),
        study=ELASTIC,
        measure=savings,
        unit="%",
        note="Grid, jobs and scaling are made up, so that the size of it is our own",
    ),
    Claim(
        id="scaler-costs",
        where="CarbonScaler (SIGMETRICS 2024)",
        what="energy above that of running at once, and jobs that end after their deadline",
        published="-",
        accepted=Finding(),
        study=ELASTIC,
        measure=costs,
        unit="%",
    ),
]
