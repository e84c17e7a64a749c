"""A small system of batch jobs for tests, on the kits' nodes and grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from carbon_kit import PUE, Given, catalogue, site
from serving_kit import IDLE_W, NODE_W, PEAK_W, FactLog, TroubledCluster, node_spec

from models.elastic import Amdahl, Level
from policies.shifting.at_once import AtOnce
from policies.shifting.carbon_scaler import CarbonScaler
from policies.shifting.fixed_window import FixedWindow
from policies.shifting.lets_wait_awhile import Interruptible, NonInterruptible
from policies.shifting.threshold import Threshold
from sim.carbon.ledger import Ledger
from sim.carbon.sites import Sites
from sim.core.result import Result
from sim.core.simulation import Simulation
from sim.hardware.cluster import NodeCount
from sim.hardware.faults import Fault
from sim.training.facts import JobArrived, JobEnded, JobPlanned, JobRan
from sim.training.forecast import Forecast
from sim.training.jobs import Jobs
from workloads.job_demand import JobDemand

HOUR = 3600.0
SHARE = 0.8
ONE = (Level(1, 1.0, SHARE),)
#: What a job draws on one of the kit's GPUs, and holds of its node.
BUSY_W = IDLE_W + SHARE * (PEAK_W - IDLE_W)
POLICIES: dict[str, Any] = {
    "at once": AtOnce(),
    "in one piece": NonInterruptible(),
    "may pause": Interruptible(),
    "threshold": Threshold(33.0, 24.0),
    "night": FixedWindow(23.0, 5.0),
    "scaler": CarbonScaler(),
}
#: Grams of a job's hour at 1,000 g/kWh, its share of a node of one GPU included.
HOUR_G = (BUSY_W + NODE_W) * PUE
PAUSES = {"checkpoint_s": 120.0, "restore_s": 240.0, "overhead_power_share": 0.25}


def scaling(serial_share: float = 0.0) -> Amdahl:
    source = dict.fromkeys(("serial_share", "power_share"), "made up for tests")
    return Amdahl(name="test", serial_share=serial_share, power_share=SHARE, source=source)


def hourly(values: Sequence[float]) -> Given:
    """A grid by the hour, its last value for long after."""
    edges = [HOUR * i for i in range(len(values))]
    return Given([*edges, 1e8], list(values))


def job(
    work_h: float, deadline_h: float, arrival_h: float = 0.0, levels: tuple[Level, ...] = ONE
) -> JobDemand:
    return JobDemand(HOUR * arrival_h, HOUR * work_h, HOUR * deadline_h, levels, "test")


class Listed:
    """A workload of given jobs, lazily."""

    def __init__(self, jobs: Sequence[JobDemand]) -> None:
        self._jobs = jobs

    def jobs(self, rng: np.random.Generator) -> Iterator[JobDemand]:
        yield from self._jobs


@dataclass
class Ran:
    """What came of a run."""

    result: Result
    simulation: Simulation
    log: FactLog

    def table(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.result._tables[name].to_pylist()
        return rows

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """By id."""
        return sorted(self.table("jobs"), key=lambda row: row["id"])

    def spans(self, number: int = 0) -> list[tuple[float, float, int, str]]:
        """In hours, what a job ran: from, to, on how many GPUs, for what."""
        return [
            (row["start_s"] / HOUR, row["end_s"] / HOUR, row["gpus"], row["what"])
            for row in self.table("jobs_runs")
            if row["id"] == number
        ]

    def __getitem__(self, figure: str) -> float:
        return self.result.number(f"jobs.{figure}")


def run(
    jobs: Sequence[JobDemand] | Any,
    values: Sequence[float] | Any,
    shifting: Any = None,
    *,
    gpus: int = 1,
    nodes: int = 1,
    forecast: Forecast | None = None,
    faults: Sequence[Any] = (),
    caps: Sequence[Any] = (),
    mode: str = "jump",
    seed: int = 0,
    until_s: float | None = None,
    idle_until_s: float | None = None,
    metered: bool = True,
    observers: Sequence[Any] = (),
    home: dict[str, Any] | None = None,
    **settings: Any,
) -> Ran:
    """Jobs on nodes of so many GPUs, on a grid of such hourly values; `home`: more of the site."""
    grid = hourly(values) if isinstance(values, Sequence) else values
    simulation = Simulation(
        seed=seed,
        mode=mode,  # type: ignore[arg-type]
        until_s=until_s,
        idle_until_s=idle_until_s,
        cluster=TroubledCluster([NodeCount(node_spec(gpus), nodes)], faults, caps),
        sites=Sites({"home": site(grid, **home or {})}),
    )
    simulation.add(
        Jobs(
            workload=Listed(jobs) if isinstance(jobs, Sequence) else jobs,
            shifting=shifting or Interruptible(),
            forecast=forecast or Forecast(),
            **{"iteration_s": 10.0} | settings,
        )
    )
    log = FactLog((JobArrived, JobPlanned, JobRan, JobEnded))
    if metered:
        for observer in (log, Ledger(catalogue(), requests=True)):
            simulation.observe(observer)
    for observer in observers:
        simulation.observe(observer)
    simulation.run()
    simulation.finish()
    return Ran(simulation.results.close({}, {}), simulation, log)


def grams(ran: Ran, number: int | None = None) -> float:
    """Operational carbon of a job, or of all, their overheads not in it."""
    rows = ran.table("jobs_carbon_requests")
    return sum(row["operational_g"] for row in rows if number in (None, row["id"]))


def crowd(seed: int) -> list[Any]:
    """Jobs that get into each other's way."""
    rng = np.random.default_rng(seed)
    jobs = []
    for arrival in np.sort(rng.integers(0, 20, size=14)).tolist():
        work = float(rng.integers(1, 40)) / 7
        levels = scaling(0.1).levels(1, int(rng.integers(1, 4)))
        jobs.append(job(work, arrival + work * float(rng.uniform(1.0, 4.0)) + 0.5, arrival, levels))
    return jobs


def grid(seed: int) -> list[float]:
    return (50.0 + 400.0 * np.random.default_rng(seed).random(60)).tolist()


CAPS = [(2.2 * HOUR, "node0/gpu0", 0.5), (9.0 * HOUR, "node0/gpu0", None)]
FAULTS = [
    Fault(time_s=3.3 * HOUR, target="node0/gpu1", kind="fail", duration_s=1.1 * HOUR),
    Fault(time_s=7.0 * HOUR, target="node*/gpu0", kind="slow", speed=0.6, duration_s=5 * HOUR),
]
