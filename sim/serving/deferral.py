"""A client that holds requests back until a shifting policy lets them go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import inf
from typing import Literal

import simpy

from policies.routing.contract import SiteView
from policies.shifting.contract import Shifting
from sim.carbon.outlook import JointForecast
from sim.core.environment import BOUNDARY, NORMAL, Alarm
from sim.core.errors import ConfigError
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.serving.clients import Arrivals, Entrance, OpenLoop
from sim.serving.held_batches import Batch, HeldBatches
from sim.serving.request import Request
from workloads.demand import Demand, Workload

COLUMNS = {
    "id": "int64",
    "submitted_s": "float64",
    "released_s": "float64",
    "deadline_s": "float64",
    "finish_s": "float64",
}
#: Of an instant: after all that arrives, before steps end, so that what is released is seen there.
_AFTER_ARRIVALS = 0.5 * (NORMAL + BOUNDARY)

_Times = tuple[float, float, float]
"""When a request was handed in, when released, its deadline."""


class Deferring(OpenLoop):
    """Requests that may wait: handed in at their times, done `wait_s` later.

    Those handed in within `gather_s` are one batch, with the deadline of its first. `shifting`
    plans each batch; its job is all that is held and due by then, released at `rate_rps`. In a
    batch's runs its requests go, one each beat of that rate, of several batches those due first; a
    beat is left out while the replicas have `most_unfinished` requests or more, whosever they are,
    so that others keep their latency. Where a plan ends with requests held, and each `replan_s`
    while a batch waits, it is planned anew. Once no slack is left, requests go on at the rate that
    meets all deadlines, however many there are. All are released `serve_s` before their deadlines,
    the time kept for serving them (and for their way there and back).

    Plans go by the intensity x PUE that is foreseen at `site`, or, with None, at all sites where a
    replica is up: of each moment their mean, or the least for a routing that sends requests there
    (`of_sites`). When a replica fails or comes back all is planned anew, by the sites that are left
    (by all, while none is). `rate_rps` and `most_unfinished` are for all replicas, or, by the least
    of all sites, for as many as the smallest site has, as work goes to one of them; while fewer are
    up, their share holds, and while none is, beats are left out.

    A request arrives at the gateway when it is released, and its latencies count from then on; the
    table `deferred` says, by the id of the table of requests, when each was handed in, released and
    due, and when it finished (null: it was rejected, or not done when the run ended). Raises
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
        self._released: dict[int, _Times] = {}
        self._due_s = -inf
        self._count = self._forced = self._late = self._missed = 0
        self._held_s = self._longest_s = 0.0
        self._sending: _Times | None = None

    def start(self, simulation: Simulation, gateway: Entrance, name: str) -> None:
        # As it is called in settings: alone, or one of several.
        self._key = "client" if "." not in name else f"client.clients.{name.rpartition('.')[2]}"
        table = "deferred" if name == "serving" else f"{name.replace('.', '_')}_deferred"
        self._table = simulation.results.table(table, COLUMNS)
        self._held = HeldBatches(self.shifting, self.replan_s, self._key)
        self._beat = Alarm(simulation.env, self._ring)
        self._sites = self._sites_of(gateway)
        each = Counter(site.name for site in self._sites)
        self._enough = min(each.values()) if self.of_sites == "least" else len(self._sites)
        super().start(simulation, gateway, name)
        self._expect()
        gateway.on_up.append(self._up_changed)

    @property
    def exhausted(self) -> bool:
        return self._over and not self._held.batches and self._gathering is None

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
        """`deferred`: requests released; of them, `forced`: for want of slack, `late`: finished
        after their deadline. `missed`: those, and what was rejected, or was not done when the run
        ended behind its deadline. `held`: still held as it ended. `held_s`: how long those
        released were. `plans`: made in all. Requests that are still served get their rows."""
        now = self._simulation.now
        for number, times in self._released.items():
            self._table.append((number, *times, None))
            self._missed += times[2] < now
        self._released.clear()
        batches = [*self._held.batches, *([self._gathering] if self._gathering else [])]
        for batch in batches:
            self._missed += sum(at + self.wait_s < now for at, _ in batch.held)
        return {
            "deferred": self._count,
            "deferred.forced": self._forced,
            "deferred.late": self._late,
            "deferred.missed": self._missed,
            "deferred.held": sum(len(batch.held) for batch in batches),
            "deferred.plans": self._held.plans,
            "deferred.held_s.mean": self._held_s / self._count if self._count else None,
            "deferred.held_s.max": self._longest_s if self._count else None,
        }

    def _sites_of(self, gateway: Entrance) -> list[SiteView]:
        """Of each replica the site by which to plan while it is up. Raises ConfigError for a site
        where none stands, and a policy that goes by another clock."""
        sites = {site.name: site for site in gateway.sites}
        if self.site is not None and self.site not in sites:
            raise ConfigError(f"{self._key}.site: no replica at {self.site!r}; {', '.join(sites)}")
        found = [sites[self.site or site.name] for site in gateway.sites]
        for site in found:
            if site.clock is not None:
                site.clock.check(self.shifting, f"{self._key}.shifting", site.name)
        return found

    def _expect(self) -> None:
        """Plan by what is up now."""
        up = self._gateway.up
        sites = {site.name: site for site in [self._sites[i] for i in up] or self._sites}
        forecast = JointForecast([site.effective for site in sites.values()], self.of_sites)
        foreseen = " and ".join(f"sites.{name}" for name in sites)
        self._share = min(1.0, len(up) / self._enough)
        self._held.expect(forecast, foreseen, self.rate_rps * (self._share or 1.0))

    def _up_changed(self) -> None:
        self._expect()
        self._simulation.at(self._simulation.now, self._ring, _AFTER_ARRIVALS)

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
        self._held.batches.append(self._gathering)
        self._gathering = None
        self._ring(_)

    def _ring(self, _: simpy.Event) -> None:
        """Release what is due, and set the alarm for what comes next."""
        now = self._simulation.env.now
        held = self._held
        while held.batches:
            gap_s, urgent = held.gap(now)
            batch = held.batches[0] if urgent else held.wanting(now)
            if batch is None:
                self._beat.ring(held.next_s(now))
                return
            if now < self._due_s:
                self._beat.ring(self._due_s)
                return
            unfinished = sum(self._gateway.outstanding_requests)
            if urgent or unfinished < self.most_unfinished * self._share:
                self._release(batch, urgent)
            self._due_s = now + gap_s

    def _release(self, batch: Batch, urgent: bool) -> None:
        now = self._simulation.env.now
        submitted_s, demand = batch.held.popleft()
        self._count += 1
        self._forced += urgent
        self._held_s += now - submitted_s
        self._longest_s = max(self._longest_s, now - submitted_s)
        if not batch.held:
            self._held.batches.remove(batch)
        self._sending = submitted_s, now, submitted_s + self.wait_s
        request = self._gateway.submit(demand)
        if self._sending is not None:
            self._released[request.id] = self._sending
            self._sending = None
