"""Activities that progress at max-min fair rates over shared resources, exactly.

The one mechanism behind links and host processors: rates are constant between changes, are
recomputed only when something changes and only for what the change can reach, and every end lies
at the exact time that the present rates give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from math import inf

import simpy

from models.fair_share import progressive_filling
from sim.core.environment import PLAN
from sim.core.simulation import Simulation


class Resource:
    """Something with a capacity per second: one direction of a link, cores, memory bandwidth.

    `rate`: what is taken of it now, per second. `on_rate` is called when that has changed.
    """

    __slots__ = (
        "_busy_s",
        "_ended",
        "_since_s",
        "activities",
        "capacity",
        "name",
        "on_rate",
        "rate",
    )

    def __init__(self, name: str, capacity: float) -> None:
        self.name = name
        self.capacity = capacity
        self.rate = 0.0
        self.activities: dict[Activity, float] = {}
        self.on_rate: Callable[[], None] | None = None
        self._ended = 0.0
        self._busy_s = 0.0
        self._since_s = 0.0

    def amount(self, now_s: float) -> float:
        """What was taken of it until now: exactly the work of the activities that ended, and the
        part done of those under way."""
        under_way = sum(f * a.progress(now_s) for a, f in self.activities.items())
        return self._ended + under_way

    def busy_s(self, now_s: float) -> float:
        """Seconds in which anything was taken of it, until now."""
        return self._busy_s + (now_s - self._since_s if self.rate > 0.0 else 0.0)

    def _set_rate(self, rate: float, now_s: float) -> None:
        if rate == self.rate:
            return
        if self.rate == 0.0:
            self._since_s = now_s
        elif rate == 0.0:
            self._busy_s += now_s - self._since_s
        self.rate = rate
        if self.on_rate is not None:
            self.on_rate()


class Activity:
    """Work that takes `factor` of each resource in `uses` per unit of itself.

    `work`: its size (inf: it goes on until stopped). `cap`: its highest rate. `weight`: its share
    relative to others. `on_end` is called when the work is done, `on_rate` when its rate changed.
    """

    __slots__ = (
        "_done",
        "_epoch",
        "_order",
        "_since_s",
        "cap",
        "on_end",
        "on_rate",
        "owner",
        "rate",
        "uses",
        "weight",
        "work",
    )

    def __init__(
        self,
        work: float,
        uses: Iterable[tuple[Resource, float]],
        *,
        cap: float = inf,
        weight: float = 1.0,
        on_end: Callable[[], None] | None = None,
        on_rate: Callable[[], None] | None = None,
        owner: object = None,
    ) -> None:
        self.work = work
        self.uses = tuple(uses)
        self.cap = cap
        self.weight = weight
        self.on_end = on_end
        self.on_rate = on_rate
        self.owner = owner
        self.rate = 0.0
        self._done = 0.0
        self._since_s = 0.0
        self._epoch = 0
        self._order = -1

    def progress(self, now_s: float) -> float:
        """Work done until now."""
        return min(self.work, self._done + self.rate * (now_s - self._since_s))


class Sharing:
    """Gives the activities their rates and ends them on time.

    Changes of one instant are settled together, after all else of that instant (before observers
    sample). Reading never settles, so that an observer steers nothing: amounts are exact at any
    moment, rates are those of the last settling; a system that needs the rates of a change at
    once calls `settle`. An activity alone on its resources needs no solver and no settling.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._env = simulation.env
        self._begun = 0
        self._running = 0
        self._dirty: dict[Resource, None] = {}
        self._ends: list[tuple[float, int, int, Activity]] = []
        self._timer: simpy.Event | None = None
        self._timer_s = inf
        self._settling: simpy.Event | None = None

    def begin(self, activity: Activity) -> None:
        """The activity starts now. Its work is > 0."""
        now = self._env.now
        activity._since_s = now
        activity._order = self._begun
        self._begun += 1
        self._running += 1
        rate = activity.cap
        alone = True
        for resource, factor in activity.uses:
            others = resource.activities
            if others:
                alone = False
            elif resource.capacity < rate * factor:
                rate = resource.capacity / factor
            others[activity] = factor
        if alone:
            if rate > 0.0:
                self._set_rate(activity, rate, now)
            for resource, factor in activity.uses:
                resource._set_rate(rate * factor, now)
            self._set_timer()
        else:
            self._touch(activity)

    def stop(self, activity: Activity) -> float:
        """End it before its work is done, without `on_end`; returns the work done. What ends at
        this very instant has ended."""
        self._end_due()
        if activity._order >= 0:
            self._end(activity, activity.progress(self._env.now))
        self._set_timer()
        return activity._done

    def set_capacity(self, resource: Resource, capacity: float) -> None:
        """The resource's capacity changes now."""
        resource.capacity = capacity
        if resource.activities:
            self._dirty[resource] = None
            self._settle_soon()

    def set_bounds(
        self, activity: Activity, *, cap: float | None = None, weight: float | None = None
    ) -> None:
        """The activity's cap or weight changes now."""
        if cap is not None:
            activity.cap = cap
        if weight is not None:
            activity.weight = weight
        if activity._order >= 0:
            self._touch(activity)

    def settle(self) -> None:
        """Bring all rates up to date."""
        self._end_due()
        now = self._env.now
        dirty, self._dirty = self._dirty, {}
        if self._settling is not None:
            Simulation.cancel(self._settling)
            self._settling = None
        seen: set[Resource] = set()
        for resource in dirty:
            if resource.activities and resource not in seen:
                resources, activities = _component(resource)
                seen.update(resources)
                self._solve(resources, activities, now)
        self._set_timer()

    def _solve(self, resources: list[Resource], activities: list[Activity], now: float) -> None:
        rates = _equal_uses(activities)
        if rates is None:
            rates = progressive_filling(
                [a.uses for a in activities],
                {r: r.capacity for r in resources},
                [a.cap for a in activities],
                [a.weight for a in activities],
            )
        for activity, rate in zip(activities, rates, strict=True):
            if rate != activity.rate:
                self._set_rate(activity, rate, now)
        for resource in resources:
            taken = sum([f * a.rate for a, f in resource.activities.items()])
            resource._set_rate(min(taken, resource.capacity), now)

    def _set_rate(self, activity: Activity, rate: float, now: float) -> None:
        """Give it another rate than it has; one that keeps its rate keeps its end, to the bit."""
        activity._done += activity.rate * (now - activity._since_s)
        activity._since_s = now
        activity.rate = rate
        activity._epoch += 1
        if rate > 0.0 and activity.work < inf:
            finish = now + max(0.0, activity.work - activity._done) / rate
            heappush(self._ends, (finish, activity._order, activity._epoch, activity))
        if activity.on_rate is not None:
            activity.on_rate()

    def _touch(self, activity: Activity) -> None:
        for resource, _ in activity.uses:
            self._dirty[resource] = None
        self._settle_soon()

    def _settle_soon(self) -> None:
        if self._settling is None:
            self._settling = self._simulation.at(self._env.now, self._settle_now, PLAN)

    def _settle_now(self, _: simpy.Event) -> None:
        self._settling = None
        self.settle()

    def _end(self, activity: Activity, done: float) -> None:
        now = self._env.now
        activity._done = done
        activity._since_s = now
        activity.rate = 0.0
        activity._epoch += 1
        activity._order = -1
        self._running -= 1
        for resource, factor in activity.uses:
            del resource.activities[activity]
            resource._ended += factor * done
            if resource.activities:
                self._dirty[resource] = None
                self._settle_soon()
            else:
                resource._set_rate(0.0, now)

    def _end_due(self) -> None:
        now = self._env.now
        ends = self._ends
        while ends and ends[0][0] <= now:
            _, _, epoch, activity = heappop(ends)
            if epoch == activity._epoch:
                self._end(activity, activity.work)
                if activity.on_end is not None:
                    activity.on_end()

    def _due(self, _: simpy.Event) -> None:
        self._timer = None
        self._end_due()
        self._set_timer()

    def _set_timer(self) -> None:
        ends = self._ends
        while ends and ends[0][2] != ends[0][3]._epoch:
            heappop(ends)
        if len(ends) > 2 * self._running + 64:
            ends[:] = [entry for entry in ends if entry[2] == entry[3]._epoch]
            heapify(ends)
        time_s = ends[0][0] if ends else inf
        if self._timer is not None:
            if time_s == self._timer_s:
                return
            Simulation.cancel(self._timer)
            self._timer = None
        if time_s < inf:
            self._timer_s = time_s
            self._timer = self._simulation.at(time_s, self._due)


def _equal_uses(activities: list[Activity]) -> list[float] | None:
    """Max-min rates where all use the same resources and no cap binds; None elsewhere."""
    uses = activities[0].uses
    weights = []
    for activity in activities:
        if activity.uses is not uses:
            return None
        weights.append(activity.weight)
    level = min([r.capacity / sum([f * w for w in weights]) for r, f in uses])
    rates = [w * level for w in weights]
    if any(rate > a.cap for rate, a in zip(rates, activities, strict=True)):
        return None
    return rates


def _component(start: Resource) -> tuple[list[Resource], list[Activity]]:
    """Resources and activities that are connected to `start`, in a fixed order."""
    resources = [start]
    activities: dict[Activity, None] = {}
    known = {start}
    for resource in resources:
        for activity in resource.activities:
            if activity not in activities:
                activities[activity] = None
                for other, _ in activity.uses:
                    if other not in known:
                        known.add(other)
                        resources.append(other)
    return resources, list(activities)
