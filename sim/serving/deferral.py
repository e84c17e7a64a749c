"""A client that holds requests back until a shifting policy lets them go."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf

import simpy

from policies.shifting.contract import ForecastView, Run, Shifting
from sim.carbon.outlook import MeanForecast
from sim.core.environment import BOUNDARY, NORMAL, Alarm
from sim.core.errors import ConfigError, LawBroken
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


class Batch:
    """Requests that were handed in together, as a job for a shifting policy: releasing those still
    held takes `remaining_s`, and must end by `deadline_s`."""

    work_per_s: Sequence[float] = (1.0,)
    node_w: Sequence[float] = (1.0,)

    def __init__(self, deadline_s: float, rate_rps: float) -> None:
        self.held: deque[tuple[float, Demand]] = deque()
        self.deadline_s = deadline_s
        self.runs: deque[Run] = deque()
        self.planned_s = 0.0
        self.due_s = inf
        self.gap_s = 1.0 / rate_rps
        self.forced = False

    @property
    def remaining_s(self) -> float:
        return len(self.held) * self.gap_s

    @property
    def latest_s(self) -> float:
        """When the slack is used up."""
        return self.deadline_s - self.remaining_s


class Deferring(OpenLoop):
    """Requests that may wait: handed in at their times, done `wait_s` later.

    Those handed in within `gather_s` are one batch, with the deadline of its first. A batch is
    released at `rate_rps` in the runs that `shifting` plans by the forecast of `site` (None: the
    mean of the replicas' sites), a request each beat; a beat is left out while the replicas have
    `most_unfinished` requests or more, whosever they are, so that others keep their latency. A
    batch that is behind at the end of its plan, or that waits (again each `replan_s`), is planned
    anew; with its slack used up it goes on at the rate that meets the deadline, however many there
    are. All are released `serve_s` before their deadlines, the time kept for serving them.

    A request arrives at the gateway when it is released; the table `deferred` tells how long each
    was held. Raises ConfigError where a deadline is not after the gathering and serving, and where
    the run has no sites.
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
        self.shifting = shifting
        self.wait_s = wait_s
        self.rate_rps = rate_rps
        self.most_unfinished = most_unfinished
        self.gather_s = gather_s
        self.serve_s = serve_s
        self.replan_s = inf if replan_s is None else replan_s
        self.site = site
        self._gathering: Batch | None = None
        self._batches: list[Batch] = []
        self._released: dict[int, _Times] = {}
        self._count = self._forced = self._late = self._plans = 0
        self._held_s = self._longest_s = 0.0
        self._sending: _Times | None = None

    def start(self, simulation: Simulation, gateway: Entrance, name: str) -> None:
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
        self._late += finish_s is not None and finish_s > deadline_s
        self._table.append((request.id, submitted_s, released_s, deadline_s, finish_s))
        self._table.flush_when_full()

    def figures(self) -> dict[str, Value]:
        """Requests released, those of them without slack, those that ended after their deadline,
        those still held; how long they were held; plans made."""
        batches = [*self._batches, *([self._gathering] if self._gathering else [])]
        return {
            "deferred": self._count,
            "deferred.forced": self._forced,
            "deferred.late": self._late,
            "deferred.held": sum(len(batch.held) for batch in batches),
            "deferred.plans": self._plans,
            "deferred.held_s.mean": self._held_s / self._count if self._count else None,
            "deferred.held_s.max": self._longest_s if self._count else None,
        }

    def _of_sites(self, gateway: Entrance) -> ForecastView:
        sites = {site.name: site.forecast for site in gateway.sites}
        if self.site is None:
            found = list(sites.values())
            return found[0] if len(found) == 1 else MeanForecast(found)
        if self.site not in sites:
            raise ConfigError(f"client.site: no replica at {self.site!r}; {', '.join(sites)}")
        return sites[self.site]

    def _ahead(self, demands: Iterator[Demand]) -> Iterator[Demand]:
        """They will be submitted in another order."""
        return demands

    def _take(self, demand: Demand) -> None:
        now = self._simulation.env.now
        batch = self._gathering
        if batch is None:
            batch = self._gathering = Batch(now + self.wait_s - self.serve_s, self.rate_rps)
            self._simulation.at(now + self.gather_s, self._gathered, _AFTER_ARRIVALS)
        batch.held.append((now, demand))

    def _gathered(self, _: simpy.Event) -> None:
        assert self._gathering is not None
        self._batches.append(self._gathering)
        self._plan(self._gathering)
        self._gathering = None
        self._ring(_)

    def _plan(self, batch: Batch) -> None:
        now = self._simulation.env.now
        batch.planned_s = now
        batch.runs.clear()
        if now >= batch.latest_s:
            return
        self._plans += 1
        runs = self.shifting.plan(batch, self._forecast, now)
        _check(runs, batch, now)
        batch.runs.extend(runs)

    def _ring(self, _: simpy.Event) -> None:
        """Release what is due, the most urgent first, and set the alarm for what comes next."""
        next_s = min([self._step(batch) for batch in list(self._batches)], default=inf)
        self._batches = [batch for batch in self._batches if batch.held]
        if next_s < inf:
            self._beat.ring(next_s)

    def _step(self, batch: Batch) -> float:
        """Release what is due of a batch. Returns when to look again."""
        now = self._simulation.env.now
        while batch.held:
            if not batch.forced and now >= batch.latest_s:
                batch.forced, batch.due_s = True, now
                batch.gap_s = max(0.0, batch.deadline_s - now) / len(batch.held)
            if batch.forced:
                if now < batch.due_s:
                    return batch.due_s
                self._release(batch)
                batch.due_s += batch.gap_s
                continue
            if not batch.runs:
                self._plan(batch)
                continue
            run = batch.runs[0]
            if now < run.start_s:
                if now >= batch.planned_s + self.replan_s:
                    self._plan(batch)
                    continue
                return min(run.start_s, batch.planned_s + self.replan_s, batch.latest_s)
            if now >= run.end_s:
                batch.runs.popleft()
                batch.due_s = inf
                continue
            if batch.due_s == inf:
                batch.due_s = run.start_s
            if now < batch.due_s:
                return min(batch.due_s, run.end_s, batch.latest_s)
            if sum(self._gateway.outstanding_requests) < self.most_unfinished:
                self._release(batch)
            batch.due_s += batch.gap_s
        return inf

    def _release(self, batch: Batch) -> None:
        now = self._simulation.env.now
        submitted_s, demand = batch.held.popleft()
        self._count += 1
        self._forced += batch.forced
        self._held_s += now - submitted_s
        self._longest_s = max(self._longest_s, now - submitted_s)
        if not batch.held:
            self._batches.remove(batch)
        self._sending = submitted_s, now, submitted_s + self.wait_s
        request = self._gateway.submit(demand)
        if self._sending is not None:
            self._released[request.id] = self._sending
            self._sending = None


def _check(runs: Sequence[Run], batch: Batch, now_s: float) -> None:
    """Raises LawBroken for a plan that does not do the work between now and the deadline."""
    planned_s = sum(run.end_s - run.start_s for run in runs)
    ordered = all(one.end_s <= other.start_s for one, other in pairwise(runs))
    if (
        not runs
        or not ordered
        or runs[0].start_s < now_s
        or runs[-1].end_s > batch.deadline_s + _ROUNDING_S
        or planned_s < batch.remaining_s - _ROUNDING_S
    ):
        raise LawBroken(
            f"shifting: a plan of {planned_s:g} s in {len(runs)} runs made at {now_s:g} s, for "
            f"{batch.remaining_s:g} s of work by {batch.deadline_s:g} s: {list(runs)}"
        )
