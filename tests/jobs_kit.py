"""A small system of batch jobs for tests, on the kits' nodes and grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from carbon_kit import Given, catalogue, site
from serving_kit import IDLE_W, PEAK_W, FactLog, FaultyCluster, node_spec

from models.elastic import Amdahl, Level
from policies.shifting.lets_wait_awhile import Interruptible
from sim.carbon.ledger import Ledger
from sim.carbon.sites import Sites
from sim.core.result import Result
from sim.core.simulation import Simulation
from sim.hardware.cluster import NodeCount
from sim.training.facts import JobArrived, JobEnded, JobPlanned, JobRan
from sim.training.forecast import Forecast
from sim.training.jobs import Jobs
from workloads.job_demand import JobDemand

HOUR = 3600.0
SHARE = 0.8
ONE = (Level(1, 1.0, SHARE),)
#: What a job draws on one of the kit's GPUs, and holds of its node.
BUSY_W = IDLE_W + SHARE * (PEAK_W - IDLE_W)


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
    mode: str = "jump",
    seed: int = 0,
    until_s: float | None = None,
    metered: bool = True,
    observers: Sequence[Any] = (),
    pue: Any = None,
    **settings: Any,
) -> Ran:
    """Jobs on nodes of so many GPUs, on a grid of such hourly values."""
    grid = hourly(values) if isinstance(values, Sequence) else values
    own = {"pue": pue} if pue is not None else {}
    simulation = Simulation(
        seed=seed,
        mode=mode,  # type: ignore[arg-type]
        until_s=until_s,
        cluster=FaultyCluster([NodeCount(node_spec(gpus), nodes)], faults),
        sites=Sites({"home": site(grid, **own)}),
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
