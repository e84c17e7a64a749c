"""Work in progress on one device or on several that act as one."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

import simpy

from models.capped_cost import CappedCost
from models.step_cost import StepCost
from sim.core.environment import BOUNDARY, Alarm

if TYPE_CHECKING:
    from sim.hardware.device import DeviceGroup


class Run:
    """Steps of one composition in progress.

    Boundary `k` (the end of step `k - 1`) lies at one anchored closed form, whether the run is
    told of every boundary or of the last alone: so a jump over steps is exact to the bit. `hold`
    says how far to go, `cut` stops at the next boundary, a change of the devices' speed moves the
    anchor. `on_boundary(steps)` is called with the steps done since the last call; the caller
    then ends the run or lets it hold on. `on_failure(steps)` is called, likewise, when a device
    fails; the run is over then. A run that has ended may begin anew with other work.

    `asked`: what the steps cost on devices without a power cap; `cost`: as they are at present;
    `drawn`: active seconds until now over those that it gives, of steps under other caps.
    """

    __slots__ = (
        "_alarm",
        "_anchor_s",
        "_anchor_work",
        "_env",
        "_group",
        "_on_boundary",
        "_on_failure",
        "_past",
        "_slow",
        "_stepwise",
        "_target",
        "asked",
        "cost",
        "done",
        "drawn",
        "live",
        "start_s",
    )
    asked: StepCost
    cost: StepCost

    def __init__(
        self,
        group: DeviceGroup,
        on_boundary: Callable[[int], None],
        on_failure: Callable[[int], None] | None = None,
    ) -> None:
        self._group = group
        self._env = group.env
        self._on_boundary = on_boundary
        self._on_failure = on_failure
        self._stepwise = group.stepwise
        self._alarm = Alarm(group.env, self._fire, BOUNDARY + group.priority)
        # Spans of work done before: its cost, from, to, seconds per second of work.
        self._past: list[tuple[StepCost, float, float, float]] | None = None
        self.drawn = 0.0
        self._anchor_work = 0.0
        self._target = 0
        self.live = False
        self.done = 0
        self.start_s = 0.0

    def begin(self, cost: StepCost, steps: int) -> None:
        """Start at this moment, and go on for `steps` steps; a run under way, at a boundary, goes
        over to other work."""
        group = self._group
        if self.live:
            done = self.done
            old = self.cost
            drawn = old.active_first if done == 1 else old.active_total(done)
            group.active_s += self.drawn + drawn
        else:
            self.live = True
            group.runs.append(self)
        if self._stepwise:
            steps = 1
        self.start_s = self._anchor_s = now = self._env.now
        self._anchor_work = 0.0
        self._slow = slow = group.slow
        self._past = None
        self.drawn = 0.0
        self.done = 0
        self.asked = cost
        if group.limit is not None:
            cost = CappedCost(cost, group.limit, 1.0 / slow)
        self.cost = cost
        self._target = steps
        # The same formula as in `boundary`, at the anchor.
        self._alarm.ring(now + cost.total(steps) * slow)

    def boundary(self, k: int) -> float:
        """Time of boundary `k`, if the speed stays as it is."""
        return self._anchor_s + (self.cost.total(k) - self._anchor_work) * self._slow

    def hold(self, steps: int) -> None:
        """Go on for `steps` steps from the last boundary told."""
        self._schedule(self.done + 1 if self._stepwise else self.done + steps)

    def cut(self) -> None:
        """Stop at the next boundary; one that falls on this very moment is the next."""
        target = self._target
        first = self.done + 1
        if target == first:
            return
        now = self._env.now
        k = max(first, self._near(now) + 1)
        time_s = self.boundary(k)
        while time_s < now:
            k += 1
            time_s = self.boundary(k)
        while k > first and (before_s := self.boundary(k - 1)) >= now:
            k -= 1
            time_s = before_s
        if k < target:
            self._target = k
            self._alarm.ring(time_s)

    def steps_done(self, now_s: float) -> int:
        """Steps complete at `now_s`."""
        if self._target == self.done + 1 and now_s < self.boundary(self._target):
            return self.done
        first = self.done
        k = max(first, self._near(now_s))
        while k > first and self.boundary(k) > now_s:
            k -= 1
        while k < self._target and self.boundary(k + 1) <= now_s:
            k += 1
        return min(self._target, k)

    def active_at(self, now_s: float) -> float:
        """Full-power-equivalent seconds until `now_s`, a step under way counted in part."""
        k, part = self.progress(now_s)
        return self.drawn + self.cost.active_total(k) + part * self.cost.active_step(k)

    def used_at(self, now_s: float | None = None) -> float:
        """The same of all that it comes to, until `now_s` or in the steps told."""
        if now_s is None:
            return self.drawn + self.cost.active_total(self.done)
        return self.active_at(now_s)

    def used_in(self, k: int) -> float:
        """What the first `k` steps come to, which are done."""
        cost = self.cost
        if self._past is None:
            return cost.active_total(k)
        used = 0.0
        now = cost, self._anchor_work, inf, self._slow
        for cost, low, high, _ in [*self._past, now]:
            most = cost.total(k)
            used += _active(cost, min(high, most)) - _active(cost, min(low, most))
        return used

    def paid(self, k: int, part: float, active_s: float) -> tuple[float, float]:
        """How many of the steps asked for `k` steps done and a `part` of the next amount to, which
        have come to so much, and the sum of their numbers: a step in which a power cap saves some
        of the active seconds that it asks for counts as the part that they are of those. Looks at
        every step where there is or was a cap.
        """
        steps, numbers = k + part, k * (k - 1) // 2 + k * part
        if self.cost is self.asked and not self.drawn:
            return steps, numbers
        until_s = [self.used_in(j) for j in range(k + 1)]
        until_s.append(active_s)
        for j in range(k + 1):
            asked_s = self.asked.active_step(j)
            if asked_s > 0.0:
                saved = (1.0 if j < k else part) - (until_s[j + 1] - until_s[j]) / asked_s
                steps -= saved
                numbers -= j * saved
        return steps, numbers

    def progress(self, now_s: float) -> tuple[int, float]:
        """Steps complete at `now_s`, and what part is done of the next one."""
        k = self.steps_done(now_s)
        lasts = self.cost.step(k) * self._slow
        part = (now_s - self.boundary(k)) / lasts if lasts > 0.0 else 0.0
        return k, min(1.0, max(0.0, part))

    def intensity_at(self, now_s: float) -> float:
        """Share of the dynamic power range drawn at `now_s`."""
        k = self.steps_done(now_s)
        lasts = self.cost.step(k) * self._slow
        return self.cost.active_step(k) / lasts if lasts > 0.0 else 0.0

    def end(self) -> None:
        """The run is over after the steps told so far."""
        self._alarm.cancel()
        self.live = False
        group = self._group
        group.runs.remove(self)
        group.active_s += self.drawn + self.cost.active_total(self.done)

    def halt(self) -> int:
        """The run is over at this moment, a step under way lost but not its energy. Returns the
        steps done since the last boundary told."""
        self._alarm.cancel()
        now = self._env.now
        active = self.active_at(now)
        steps = self.steps_done(now) - self.done
        self.done += steps
        self.live = False
        self._group.runs.remove(self)
        self._group.active_s += active
        return steps

    def fail(self) -> None:
        """A device failed."""
        steps = self.halt()
        if self._on_failure is not None:
            self._on_failure(steps)

    def step_number_s(self, now_s: float | None = None) -> float:
        """Integral over time of the number of the step under way: until now, or over the steps
        done, where the last of them has just ended."""
        past = self._past
        if now_s is not None:
            end = self._anchor_work + (now_s - self._anchor_s) / self._slow
        elif past is None:
            return self._slow * self.cost.moment(self.done)
        else:
            end = self.cost.total(self.done)
        area = 0.0
        for cost, low, high, slow in [
            *(past or []),
            (self.cost, self._anchor_work, end, self._slow),
        ]:
            most = high if now_s is not None else cost.total(self.done)
            for sign, work in ((1.0, min(high, most)), (-1.0, min(low, most))):
                k = cost.steps_within(work)
                area += sign * slow * (cost.moment(k) + k * (work - cost.total(k)))
        return area

    def rescale(self, speed: float) -> None:
        """The devices' speed or power cap changed at this moment."""
        now = self._env.now
        cost = self.cost
        low = self._anchor_work
        k = self.steps_done(now)
        if self.boundary(k) == now:
            work = cost.total(k)
        else:
            work = low + (now - self._anchor_s) / self._slow
        self._past = [*(self._past or []), (cost, low, work, self._slow)]
        limit = self._group.limit
        if limit is not None or cost is not self.asked:
            active = self.active_at(now)
            lasts = cost.step(k)
            part = (work - cost.total(k)) / lasts if lasts > 0.0 else 0.0
            cost = self.asked if limit is None else CappedCost(self.asked, limit, speed)
            self.cost = cost
            work = cost.total(k) + part * cost.step(k)
            self.drawn = active - (cost.active_total(k) + part * cost.active_step(k))
        self._anchor_work = work
        self._anchor_s = now
        self._slow = 1.0 / speed
        if self._alarm.waiting:
            self._schedule(self._target)

    def _near(self, now_s: float) -> int:
        """About the number of steps done at `now_s`."""
        return self.cost.near((now_s - self._anchor_s) / self._slow + self._anchor_work)

    def _schedule(self, target: int) -> None:
        self._target = target
        time_s = self._anchor_s + (self.cost.total(target) - self._anchor_work) * self._slow
        now = self._env.now
        # A boundary recomputed after a change of speed may round to just before now.
        self._alarm.ring(time_s if time_s > now else now)

    def _fire(self, _: simpy.Event) -> None:
        target = self._target
        steps = target - self.done
        self.done = target
        self._on_boundary(steps)


def _active(cost: StepCost, work: float) -> float:
    """Weighted seconds of so much work, a step in part."""
    k = cost.steps_within(work)
    lasts = cost.step(k)
    part = (work - cost.total(k)) / lasts if lasts > 0.0 else 0.0
    return cost.active_total(k) + part * cost.active_step(k)
