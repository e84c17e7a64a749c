"""Let's Wait Awhile on Great Britain's year 2020, and California's cleanest hours."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Any

import numpy as np

from experiments.reproduce.accepted import Band, Table, Trend
from experiments.reproduce.claim import Claim, Study, data_file
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.carbon.settings import part
from experiments.reproduce.papers.carbon.unit_values import exact
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers
from models.carbon.forecast import noisy_forecast
from models.carbon.signal import StepSignal
from models.carbon.units import S_PER_DAY, S_PER_HOUR
from workloads.carbon.columns import read_column
from workloads.carbon.electricity_maps import read_electricity_maps
from workloads.carbon.stamps import day, weekday_and_hour
from workloads.carbon.steps import Oddities
from workloads.jobs import RULES
from workloads.jobs import latest_end as slipped

SLOT_S = 1800.0
DAYS = 366
#: The first and the last night of the year are left out: their windows leave it.
NIGHTS = range(1, DAYS - 1)
JOBS = 3387
#: Reach of a nightly job to either side, in hours.
REACHES = (0, 2, 4, 8)
FORMS = {
    "in one piece": "shifting/lets_wait_awhile",
    "may pause": "shifting/lets_wait_awhile_interruptible",
}
#: How late scenario II's jobs may end.
ENDS = RULES
ERRORS = (0.0, 0.05, 0.1)
SEEDS = 4


@dataclass(frozen=True, slots=True)
class Job:
    """Work at one node."""

    remaining_s: float
    deadline_s: float
    work_per_s: tuple[float, ...] = (1.0,)
    node_w: tuple[float, ...] = (1.0,)


def great_britain() -> StepSignal:
    """The trace on its half hours. Raises NotRun without the data."""
    return read_column(data_file("carbon_gb_2020.csv"), odd=Oddities(grid_s=SLOT_S))


def _nightly(workers: Workers) -> dict[tuple[int, float], list[float]]:
    """Mean intensity of a half-hour job each night about 1 o'clock, by reach and error."""
    data_file("carbon_gb_2020.csv")
    tasks = [
        (reach, error, seed)
        for reach in REACHES
        for error in ERRORS
        for seed in range(SEEDS if error else 1)
    ]
    found: dict[tuple[int, float], list[float]] = {}
    for (reach, error, _), mean in zip(tasks, workers.map(_nights, tasks), strict=True):
        found.setdefault((reach, error), []).append(mean)
    return found


def _nights(task: tuple[int, float, int]) -> float:
    reach, error, seed = task
    truth = great_britain()
    seen = noisy_forecast(truth, error, np.random.default_rng(seed)) if error else truth
    policy = part(FORMS["in one piece"])
    means = []
    for night in NIGHTS:
        nominal = day("2020-01-01") + night * S_PER_DAY + S_PER_HOUR
        first, last = nominal - reach * S_PER_HOUR, nominal + reach * S_PER_HOUR
        (run,) = policy.plan(Job(SLOT_S, last + SLOT_S), seen, first)
        means.append(truth.mean(run.start_s, run.end_s))
    return fsum(means) / len(means)


def _by_day(workers: Workers) -> dict[tuple[str, str], list[float]]:
    """Savings in percent over running at once, by form and rule of the end, one for each draw."""
    data_file("carbon_gb_2020.csv")
    tasks = [(form, end, seed) for form in FORMS for end in ENDS for seed in range(SEEDS)]
    found: dict[tuple[str, str], list[float]] = {}
    for (form, end, _), saved in zip(tasks, workers.map(_year, tasks), strict=True):
        found.setdefault((form, end), []).append(saved)
    return found


def _year(task: tuple[str, str, int]) -> float:
    form, rule, seed = task
    signal = great_britain()
    policy = part(FORMS[form])
    at_once, waited = [], []
    for start, length in jobs(np.random.default_rng(seed)):
        end = latest_end(start + length, rule)
        runs = policy.plan(Job(length, end), signal, start)
        at_once.append(signal.integral(start, start + length))
        waited.append(fsum(signal.integral(run.start_s, run.end_s) for run in runs))
    return 100.0 * (1.0 - fsum(waited) / fsum(at_once))


def jobs(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Start and length of jobs: submitted on workdays of 2020 from 9 to 17 o'clock, 4 to 90 h."""
    first = day("2020-01-01")
    workdays = [
        first + i * S_PER_DAY for i in range(DAYS) if weekday_and_hour(first + i * S_PER_DAY)[0] < 5
    ]
    days = rng.integers(len(workdays), size=JOBS)
    slots = rng.integers(18, 35, size=JOBS)
    lengths = rng.integers(8, 181, size=JOBS)
    return [
        (workdays[int(d)] + int(s) * SLOT_S, int(n) * SLOT_S)
        for d, s, n in zip(days, slots, lengths, strict=True)
    ]


def latest_end(end_s: float, rule: str) -> float:
    """How late a job that would end at `end_s` may end."""
    return slipped(end_s, *weekday_and_hour(end_s), rule)


def _california(workers: Workers) -> dict[str, float]:
    year = read_electricity_maps(data_file("carbon_us_cal_ciso_2022.csv")).values.reshape(-1, 24)
    hours = np.sort(year, axis=1)
    return {
        "cheapest hour": float(hours[:, 0].mean()),
        "best four": float(hours[:, :4].mean()),
        "below the mean, %": float(100.0 * (1.0 - hours[:, 0].mean() / year.mean())),
    }


NIGHTLY = Study("nightly", _nightly)
BY_DAY = Study("by-day", _by_day)
CALIFORNIA = Study("california", _california)


def night_savings(means: dict[tuple[int, float], list[float]]) -> dict[str, Estimate]:
    """Percent saved by reach with a perfect forecast."""
    (base,) = means[0, 0.0]
    return exact(
        {f"{reach} h": 100.0 * (1.0 - means[reach, 0.0][0] / base) for reach in REACHES if reach}
    )


def _with_errors(means: dict[tuple[int, float], list[float]]) -> dict[str, Estimate]:
    (base,) = means[0, 0.0]
    return {f"{100 * error:g} % error": _saved(means[8, error], base) for error in ERRORS}


def _saved(means: list[float], base: float) -> Estimate:
    saved = [100.0 * (1.0 - mean / base) for mean in means]
    return mean_interval(saved) if len(saved) > 1 else Estimate.exact(saved[0])


def _savings(found: dict[tuple[str, str], list[float]]) -> dict[str, Estimate]:
    return {f"{form}, {end}": mean_interval(saved) for (form, end), saved in found.items()}


CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="night-mean",
        where="Let's Wait Awhile, scenario I",
        what="mean intensity of a half-hour job at 1 o'clock each night",
        published="184.07 g/kWh",
        accepted=Band(184.065, 184.075),
        study=NIGHTLY,
        measure=lambda means: Estimate.exact(means[0, 0.0][0]),
        unit="g/kWh",
    ),
    Claim(
        id="night-savings",
        where="Let's Wait Awhile, scenario I",
        what="carbon saved by moving it so many hours to either side, perfect forecast",
        published="6.5, 8.4, 10.2 %",
        accepted=Table({"2 h": 6.5, "4 h": 8.4, "8 h": 10.2}, absolute=1.0),
        study=NIGHTLY,
        measure=night_savings,
        unit="%",
    ),
    Claim(
        id="night-errors",
        where="Let's Wait Awhile, forecast errors",
        what="carbon saved with 8 h to either side, by the forecast's error",
        published="errors cost savings",
        accepted=Trend("the error", rises=False),
        study=NIGHTLY,
        measure=_with_errors,
        unit="%",
    ),
    Claim(
        id="day-savings",
        where="Let's Wait Awhile, scenario II",
        what=f"carbon saved on {JOBS:,} jobs of 4 to 90 h, by form and latest end",
        published="6.7, 9.2, 14.9, 20.1 %",
        accepted=Table(
            {
                "in one piece, next workday": 6.7,
                "may pause, next workday": 9.2,
                "in one piece, Monday or Thursday": 14.9,
                "may pause, Monday or Thursday": 20.1,
            },
            absolute=1.0,
        ),
        study=BY_DAY,
        measure=_savings,
        unit="%",
        note="Submission in steps of half an hour from 9 to 17 o'clock UTC, public holidays worked",
    ),
    Claim(
        id="california",
        where="California ISO 2022, life cycle",
        what="the cheapest hour and the best four of each UTC day",
        published="178.3 (31.8 % below the mean) and 182.2 g/kWh",
        accepted=Table(
            {"cheapest hour": 178.3, "best four": 182.2, "below the mean, %": 31.8}, absolute=0.05
        ),
        study=CALIFORNIA,
        measure=exact,
        unit="g/kWh",
    ),
]
