"""A client that holds requests back until a shifting policy lets them go."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Literal

import simpy

from policies.shifting.contract import ForecastView, Run, Shifting
from sim.carbon.outlook import LeastForecast, MeanForecast
from sim.core.environment import BOUNDARY, NORMAL, Alarm
from sim.core.errors import ConfigError, LawBroken, TraceError
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.serving.clients import Arrivals, Entrance, OpenLoop
from sim.serving.request import Request
from workloads.demand import Demand, Workload

COLUMNS = {
    "id": "int64",
    "submitted_s": "float64",
    "released_s": "float64",
    "deadline_s": "float64",
    "finish_s": "float64",
}
_ROUNDING_S = 1e-6
#: Of an instant: after all that arrives, before steps end, so that what is released is seen there.
_AFTER_ARRIVALS = 0.5 * (NORMAL + BOUNDARY)

_Times = tuple[float, float, float]
"""When a request was handed in, when released, its deadline."""


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


class Deferring(OpenLoop):
    """Requests that may wait: handed in at their times, done `wait_s` later.

    Those handed in within `gather_s` are one batch, with the deadline of its first. `shifting`
    plans each batch by the forecast of `site` (None: of all where replicas stand, `of_sites` says
    which: their "mean", or the "least" intensity x PUE of each moment, for a routing that sends
    requests there); its job is all that is held and due by then, released at `rate_rps`. In a
    batch's runs its requests go, one each beat of that rate, of several batches those due first; a
    beat is left out while the replicas have `most_unfinished` requests or more, whosever they are,
    so that others keep their latency. Where a plan ends with requests held, and each `replan_s`
    while a batch waits, it is planned anew. Once no slack is left, requests go on at the rate that
    meets all deadlines, however many there are. All are released `serve_s` before their deadlines,
    the time kept for serving them (and for their way there and back).

    A request arrives at the gateway when it is released; the table `deferred` tells how long each
    was held, and when it finished (null: it was rejected, or not done when the run ended). Raises
    ConfigError where a deadline is not after the gathering and serving, and where the run has no
    sites.
    """

    def __init__(
        self,
        workload: Workload,
        arrivals: Arrivals,
        shifting: Shifting,
        wait_s: float,
        rate_rps: float,
        most_unfinished: int,
        gather_s: float = 0.0,
        serve_s: float = 0.0,
        replan_s: float | None = None,
        site: str | None = None,
        of_sites: Literal["mean", "least"] = "mean",
    ) -> None:
        super().__init__(workload, arrivals)
        for key, value in (("gather_s", gather_s), ("serve_s", serve_s)):
            if not 0.0 <= value < inf:
                raise ConfigError(f"client.{key}: {value!r} is not a time >= 0")
        if not gather_s + serve_s < wait_s < inf:
            raise ConfigError(
                f"client.wait_s: {wait_s!r}; a deadline lies after gather_s + serve_s = "
                f"{gather_s + serve_s:g} s from the first of a batch"
            )
        if not 0.0 < rate_rps < inf:
            raise ConfigError(f"client.rate_rps: {rate_rps!r} must be > 0")
        if not most_unfinished >= 1:
            raise ConfigError(f"client.most_unfinished: {most_unfinished!r} must be at least 1")
        if replan_s is not None and not replan_s > 0.0:
            raise ConfigError(f"client.replan_s: {replan_s!r} must be > 0, or null")
        if of_sites not in ("mean", "least"):
            raise ConfigError(f"client.of_sites: {of_sites!r} is neither mean nor least")
        self.shifting = shifting
        self.wait_s = wait_s
        self.rate_rps = rate_rps
        self.most_unfinished = most_unfinished
        self.gather_s = gather_s
        self.serve_s = serve_s
        self.replan_s = inf if replan_s is None else replan_s
        self.site = site
        self.of_sites = of_sites
        self._gathering: Batch | None = None
        self._batches: list[Batch] = []
        self._released: dict[int, _Times] = {}
        self._due_s = -inf
        self._count = self._forced = self._late = self._missed = self._plans = 0
        self._held_s = self._longest_s = 0.0
        self._sending: _Times | None = None

    def start(self, simulation: Simulation, gateway: Entrance, name: str) -> None:
        # As it is called in settings: alone, or one of several.
        self._key = "client" if "." not in name else f"client.clients.{name.rpartition('.')[2]}"
        self._forecast = self._of_sites(gateway)
        table = "deferred" if name == "serving" else f"{name.replace('.', '_')}_deferred"
        self._table = simulation.results.table(table, COLUMNS)
        self._beat = Alarm(simulation.env, self._ring)
        super().start(simulation, gateway, name)

    @property
    def exhausted(self) -> bool:
        return self._over and not self._batches and self._gathering is None

    def ended(self, request: Request) -> None:
        """A released request has finished, or was rejected."""
        times = self._released.pop(request.id, None)
        if times is None:
            # Rejected before `submit` has returned.
            times, self._sending = self._sending, None
        assert times is not None
        submitted_s, released_s, deadline_s = times
        finish_s = request.finish_s if request.finish_s >= 0.0 else None
        late = finish_s is not None and finish_s > deadline_s
        self._late += late
        self._missed += late or finish_s is None
        self._table.append((request.id, submitted_s, released_s, deadline_s, finish_s))
        self._table.flush_when_full()

    def figures(self) -> dict[str, Value]:
        """Requests released, those of them for want of slack, those that finished after their
        deadline; those that missed it (late, rejected, or unfinished when the run ends behind it);
        those still held; how long they were held; plans made. Requests that are still served get
        their rows."""
        now = self._simulation.now
        for number, times in self._released.items():
            self._table.append((number, *times, None))
            self._missed += times[2] < now
        self._released.clear()
        batches = [*self._batches, *([self._gathering] if self._gathering else [])]
        for batch in batches:
            self._missed += sum(at + self.wait_s < now for at, _ in batch.held)
        return {
            "deferred": self._count,
            "deferred.forced": self._forced,
            "deferred.late": self._late,
            "deferred.missed": self._missed,
            "deferred.held": sum(len(batch.held) for batch in batches),
            "deferred.plans": self._plans,
            "deferred.held_s.mean": self._held_s / self._count if self._count else None,
            "deferred.held_s.max": self._longest_s if self._count else None,
        }

    def _of_sites(self, gateway: Entrance) -> ForecastView:
        sites = {site.name: site for site in gateway.sites}
        if self.site is not None and self.site not in sites:
            raise ConfigError(f"{self._key}.site: no replica at {self.site!r}; {', '.join(sites)}")
        found = list(sites.values()) if self.site is None else [sites[self.site]]
        for site in found:
            if site.clock is not None:
                site.clock.check(self.shifting, f"{self._key}.shifting", site.name)
        self._foreseen = " and ".join(f"sites.{site.name}" for site in found)
        if len(found) == 1:
            return found[0].forecast
        if self.of_sites == "least":
            return LeastForecast(found)
        return MeanForecast([site.forecast for site in found])

    def _ahead(self, demands: Iterator[Demand]) -> Iterator[Demand]:
        """They will be submitted in another order."""
        return demands

    def _take(self, demand: Demand) -> None:
        now = self._simulation.env.now
        batch = self._gathering
        if batch is None:
            batch = self._gathering = Batch(now + self.wait_s - self.serve_s)
            self._simulation.at(now + self.gather_s, self._gathered, _AFTER_ARRIVALS)
        batch.held.append((now, demand))

    def _gathered(self, _: simpy.Event) -> None:
        assert self._gathering is not None
        self._batches.append(self._gathering)
        self._gathering = None
        self._ring(_)

    def _ring(self, _: simpy.Event) -> None:
        """Release what is due, and set the alarm for what comes next."""
        now = self._simulation.env.now
        while self._batches:
            gap_s, urgent = self._gap(now)
            batch = self._batches[0] if urgent else self._wanting(now)
            if batch is None:
                self._beat.ring(self._next_s(now))
                return
            if now < self._due_s:
                self._beat.ring(self._due_s)
                return
            if urgent or sum(self._gateway.outstanding_requests) < self.most_unfinished:
                self._release(batch, urgent)
            self._due_s = now + gap_s

    def _gap(self, now_s: float) -> tuple[float, bool]:
        """Time to the next beat, and whether no slack is left."""
        gap_s, count, urgent = 1.0 / self.rate_rps, 0, False
        for batch in self._batches:
            count += len(batch.held)
            left_s = batch.deadline_s - now_s
            urgent = urgent or count / self.rate_rps >= left_s - _ROUNDING_S
            gap_s = min(gap_s, max(0.0, left_s) / count)
        return gap_s, urgent

    def _wanting(self, now_s: float) -> Batch | None:
        """The first batch that has a run now; those before it, and it, are planned where they
        need be."""
        count = 0
        for batch in self._batches:
            count += len(batch.held)
            runs = batch.runs
            while runs and now_s >= runs[0].end_s:
                runs.popleft()
            waits = runs and now_s < runs[0].start_s
            if not runs or (waits and now_s >= batch.planned_s + self.replan_s):
                self._plan(batch, count / self.rate_rps, now_s)
            if runs[0].start_s <= now_s:
                return batch
        return None

    def _plan(self, batch: Batch, work_s: float, now_s: float) -> None:
        job = Held(work_s, batch.deadline_s)
        try:
            runs = self.shifting.plan(job, self._forecast, now_s)
        except TraceError as error:
            raise TraceError(
                f"{self._key}.wait_s: a batch is planned from {now_s:g} s of the run to its "
                f"deadline, {job.deadline_s:g} s, by the forecast of {self._foreseen}; {error}; "
                "give a longer signal, or a shorter wait"
            ) from None
        _check(runs, job, now_s)
        self._plans += 1
        batch.planned_s = now_s
        batch.runs.clear()
        batch.runs.extend(runs)

    def _next_s(self, now_s: float) -> float:
        """When a batch that waits begins to run, is planned again, or has no slack left."""
        next_s, count = inf, 0
        for batch in self._batches:
            count += len(batch.held)
            latest_s = batch.deadline_s - count / self.rate_rps
            next_s = min(next_s, batch.runs[0].start_s, batch.planned_s + self.replan_s, latest_s)
        return max(now_s, next_s)

    def _release(self, batch: Batch, urgent: bool) -> None:
        now = self._simulation.env.now
        submitted_s, demand = batch.held.popleft()
        self._count += 1
        self._forced += urgent
        self._held_s += now - submitted_s
        self._longest_s = max(self._longest_s, now - submitted_s)
        if not batch.held:
            self._batches.remove(batch)
        self._sending = submitted_s, now, submitted_s + self.wait_s
        request = self._gateway.submit(demand)
        if self._sending is not None:
            self._released[request.id] = self._sending
            self._sending = None


def _check(runs: Sequence[Run], job: Held, now_s: float) -> None:
    """Raises LawBroken for a plan that does not do the work between now and the deadline."""
    planned_s = sum(run.end_s - run.start_s for run in runs)
    ordered = all(one.end_s <= other.start_s for one, other in pairwise(runs))
    if (
        not runs
        or not ordered
        or runs[0].start_s < now_s
        or runs[-1].end_s > job.deadline_s + _ROUNDING_S
        or planned_s < job.remaining_s - _ROUNDING_S
    ):
        raise LawBroken(
            f"shifting: a plan of {planned_s:g} s in {len(runs)} runs made at {now_s:g} s, for "
            f"{job.remaining_s:g} s of work by {job.deadline_s:g} s: {list(runs)}"
        )
