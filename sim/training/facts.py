"""Facts of batch jobs."""

from __future__ import annotations

from typing import NamedTuple

from policies.shifting.contract import Run
from sim.training.job import Job


class JobArrived(NamedTuple):
    """A job may begin from now on."""

    time_s: float
    job: Job


class JobPlanned(NamedTuple):
    """A job has a plan: the first, or another than before."""

    time_s: float
    job: Job
    runs: list[Run]


class JobRan(NamedTuple):
    """A job had `gpus` (by name) from `start_s` to `end_s`, for one thing: "work", "checkpoint",
    "restore", or "down" (one of them had failed)."""

    start_s: float
    end_s: float
    job: Job
    gpus: list[str]
    what: str


class JobEnded(NamedTuple):
    """A job is done, or was turned away; `job.status` says which."""

    time_s: float
    job: Job
