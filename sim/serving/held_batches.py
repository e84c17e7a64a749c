"""Batches of requests that wait, and the plans by which they go."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from policies.shifting.contract import ForecastView, Run, Shifting
from sim.core.errors import LawBroken, TraceError
from workloads.demand import Demand

ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Held:
    """What is held and due by a deadline, as a job for a shifting policy."""

    remaining_s: float
    deadline_s: float
    work_per_s: tuple[float, ...] = (1.0,)
    node_w: tuple[float, ...] = (1.0,)


class Batch:
    """Requests that were handed in together, when they are planned to go, and since when."""

    __slots__ = ("deadline_s", "held", "planned_s", "runs")

    def __init__(self, deadline_s: float) -> None:
        self.held: deque[tuple[float, Demand]] = deque()
        self.deadline_s = deadline_s
        self.runs: deque[Run] = deque()
        self.planned_s = -inf


class HeldBatches:
    """Batches by deadline, each planned by a shifting policy: its job is all that is held and due
    by then, at a rate. Where a plan ends with requests held, each `replan_s` while a batch waits,
    and after `expect` it is planned anew.

    key: the client's, as settings call it.
    """

    def __init__(self, shifting: Shifting, replan_s: float, key: str) -> None:
        self.batches: list[Batch] = []
        self.plans = 0
        self._shifting = shifting
        self._replan_s = replan_s
        self._key = key
        self._forecast: ForecastView
        self._foreseen = ""
        self._rate_rps = 1.0

    def expect(self, forecast: ForecastView, foreseen: str, rate_rps: float) -> None:
        """From now on plan by this forecast, of what is named, at this rate."""
        self._forecast = forecast
        self._foreseen = foreseen
        self._rate_rps = rate_rps
        for batch in self.batches:
            batch.runs.clear()

    def gap(self, now_s: float) -> tuple[float, bool]:
        """Time from one release to the next, and whether no slack is left."""
        gap_s, count, urgent = 1.0 / self._rate_rps, 0, False
        for batch in self.batches:
            count += len(batch.held)
            left_s = batch.deadline_s - now_s
            urgent = urgent or count / self._rate_rps >= left_s - ROUNDING_S
            gap_s = min(gap_s, max(0.0, left_s) / count)
        return gap_s, urgent

    def wanting(self, now_s: float) -> Batch | None:
        """The first batch that has a run now; those before it, and it, are planned where they
        need be. To be asked while there is slack. Raises TraceError where the forecast ends before
        a deadline."""
        count = 0
        for batch in self.batches:
            count += len(batch.held)
            runs = batch.runs
            while runs and now_s >= runs[0].end_s:
                runs.popleft()
            waits = runs and now_s < runs[0].start_s
            if not runs or (waits and now_s >= batch.planned_s + self._replan_s):
                self._plan(batch, count / self._rate_rps, now_s)
            if runs[0].start_s <= now_s:
                return batch
        return None

    def next_s(self, now_s: float) -> float:
        """When a batch begins to run, is planned again, or has no slack left, where none is
        wanting."""
        next_s, count = inf, 0
        for batch in self.batches:
            count += len(batch.held)
            latest_s = batch.deadline_s - count / self._rate_rps
            next_s = min(next_s, batch.runs[0].start_s, batch.planned_s + self._replan_s, latest_s)
        return max(now_s, next_s)

    def _plan(self, batch: Batch, work_s: float, now_s: float) -> None:
        job = Held(work_s, batch.deadline_s)
        try:
            runs = self._shifting.plan(job, self._forecast, now_s)
        except TraceError as error:
            raise TraceError(
                f"{self._key}.wait_s: a batch is planned from {now_s:g} s of the run to its "
                f"deadline, {job.deadline_s:g} s, by the forecast of {self._foreseen}; {error}; "
                "give a longer signal, or a shorter wait"
            ) from None
        _check(runs, job, now_s)
        self.plans += 1
        batch.planned_s = now_s
        batch.runs.clear()
        batch.runs.extend(runs)


def _check(runs: Sequence[Run], job: Held, now_s: float) -> None:
    """Raises LawBroken for a plan that does not do the work between now and the deadline."""
    planned_s = sum(run.end_s - run.start_s for run in runs)
    ordered = all(one.end_s <= other.start_s for one, other in pairwise(runs))
    if (
        not runs
        or not ordered
        or runs[0].start_s < now_s
        or runs[-1].end_s > job.deadline_s + ROUNDING_S
        or planned_s < job.remaining_s - ROUNDING_S
    ):
        raise LawBroken(
            f"shifting: a plan of {planned_s:g} s in {len(runs)} runs made at {now_s:g} s, for "
            f"{job.remaining_s:g} s of work by {job.deadline_s:g} s: {list(runs)}"
        )
