"""A batch job as it lives in time, and what a shifting policy sees of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from policies.shifting.contract import Run
from workloads.job_demand import JobDemand

#: Rounding of times: work and ends that miss by less are met.
ROUNDING_S = 1e-6


class Outlook(NamedTuple):
    """What a policy sees of a job (see `policies.shifting.contract.JobView`)."""

    remaining_s: float
    deadline_s: float
    work_per_s: Sequence[float]
    node_w: Sequence[float]


class Job:
    """One job.

    `left`: iterations still to do, of `iteration_s` on the least number of GPUs; `runs`: what is
    still planned. `paces`: seconds of that work that a second brings, by number of GPUs, on those
    that there are; `node_w`: what it adds to their idle draw. `begun`: it has progress that must be
    restored before it goes on. `late`: it can no longer be done by its deadline.
    """

    __slots__ = (
        "begun",
        "blocked",
        "demand",
        "finish_s",
        "gpu_s",
        "id",
        "iteration_s",
        "late",
        "left",
        "lost",
        "node_w",
        "overhead_gpu_s",
        "paces",
        "plans",
        "runs",
        "start_s",
        "status",
        "suspensions",
        "waited_s",
    )

    def __init__(
        self,
        number: int,
        demand: JobDemand,
        iteration_s: float,
        paces: Sequence[float],
        node_w: Sequence[float],
    ) -> None:
        self.id = number
        self.demand = demand
        self.left = max(1, math.ceil(demand.work_s / iteration_s - ROUNDING_S))
        # A job shorter than so many whole iterations has somewhat shorter ones.
        self.iteration_s = demand.work_s / self.left
        self.paces = paces
        self.node_w = node_w
        self.runs: list[Run] = []
        self.status = "waiting"
        self.begun = self.late = self.blocked = False
        self.start_s = self.finish_s = -1.0
        self.gpu_s = self.overhead_gpu_s = self.waited_s = 0.0
        self.suspensions = self.plans = self.lost = 0

    @property
    def work_left_s(self) -> float:
        """Seconds of work on its least number of GPUs, which no power cap slows."""
        return self.left * self.iteration_s

    @property
    def missed(self) -> bool:
        """Whether it was done after its deadline."""
        return self.finish_s > self.demand.deadline_s + ROUNDING_S

    def outlook(self) -> Outlook:
        """What a policy sees."""
        least = self.paces[0]
        rates = [pace / least for pace in self.paces]
        return Outlook(self.work_left_s / least, self.demand.deadline_s, rates, self.node_w)

    def planned_s(self) -> float:
        """Work that the runs still planned would do."""
        return sum(self.paces[run.level] * (run.end_s - run.start_s) for run in self.runs)

    def in_one_go(self, from_s: float, level: int) -> Run:
        """All that is left, from a time on."""
        return Run(from_s, from_s + self.work_left_s / self.paces[level], level)
