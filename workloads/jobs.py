"""Generators of batch jobs: the two scenarios of Let's Wait Awhile (Wiesner et al., 2021).

Hours are of the run's clock, which begins at midnight; so must the site's (`clock_hour`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from models.carbon.units import S_PER_DAY, S_PER_HOUR
from models.elastic import Scaling
from models.errors import ConfigError
from workloads.checks import at_least, between, positive, whole
from workloads.job_demand import JobDemand

#: Days of the week, from Monday (0), on which a semi-weekly job may be due.
_MEETINGS = (0, 3)
RULES = ("next workday", "Monday or Thursday")


class Nightly:
    """Scenario I: a job each night, nominally at `hour`, that may start so many hours before or
    after (`reach_hours`).

    first_night: day of the run (from 0) of the first. work_s: on one GPU, the only number that it
    may have.
    """

    clock_hour = 0.0

    def __init__(
        self,
        scaling: Scaling,
        nights: int,
        hour: float = 1.0,
        reach_hours: float = 8.0,
        first_night: int = 1,
        work_s: float = 1800.0,
        source: Mapping[str, str] | None = None,
    ) -> None:
        self.levels = scaling.levels(1, 1)
        self.nights = whole("nights", nights)
        self.hour = between("hour", hour, 0.0, 24.0)
        self.reach_s = S_PER_HOUR * at_least("reach_hours", reach_hours, 0.0)
        self.work_s = positive("work_s", work_s)
        self.first_s = S_PER_DAY * whole("first_night", first_night, 0) + S_PER_HOUR * self.hour
        self.source = source
        if self.first_s < self.reach_s:
            raise ConfigError(
                f"first_night is {first_night!r}: {reach_hours!r} h before {hour!r} o'clock of "
                "that day the run has not begun"
            )

    def jobs(self, rng: np.random.Generator) -> Iterator[JobDemand]:
        for night in range(self.nights):
            nominal = self.first_s + night * S_PER_DAY
            last = nominal + self.reach_s + self.work_s
            yield JobDemand(nominal - self.reach_s, self.work_s, last, self.levels, "nightly")


class Workdays:
    """Scenario II: `count` jobs submitted over the workdays of `days` days, at any half hour from
    9 to 17 o'clock, of `least_hours` to `most_hours` in half hours, uniformly.

    What a job may slip: until `end` after it would have ended if begun at once, "next workday" (9
    o'clock) or "Monday or Thursday" (9 o'clock of the next). first_weekday: of the run's first day,
    0 is a Monday. Lengths are of work on `least_gpus`; it may have up to `most_gpus`.
    """

    clock_hour = 0.0

    def __init__(
        self,
        scaling: Scaling,
        count: int,
        days: int,
        end: str = "next workday",
        least_hours: float = 4.0,
        most_hours: float = 90.0,
        least_gpus: int = 1,
        most_gpus: int = 1,
        first_weekday: int = 0,
        source: Mapping[str, str] | None = None,
    ) -> None:
        self.levels = scaling.levels(whole("least_gpus", least_gpus), whole("most_gpus", most_gpus))
        self.count = whole("count", count)
        self.days = whole("days", days)
        self.end = end
        self.slots = [
            whole(f"{key} in half hours", 2.0 * positive(key, hours))
            for key, hours in (("least_hours", least_hours), ("most_hours", most_hours))
        ]
        if self.slots[0] > self.slots[1]:
            raise ConfigError(f"least_hours is {least_hours!r}, above most_hours, {most_hours!r}")
        if end not in RULES:
            raise ConfigError(f"end is {end!r}; it is one of {', '.join(RULES)}")
        if first_weekday not in range(7):
            raise ConfigError(f"first_weekday is {first_weekday!r}; 0 (Monday) to 6 (Sunday)")
        self.first_weekday = first_weekday
        self.source = source
        self.workdays = [day for day in range(days) if self._weekday(day) < 5]
        if not self.workdays:
            raise ConfigError(f"days is {days!r}: no workday is among them")

    def jobs(self, rng: np.random.Generator) -> Iterator[JobDemand]:
        left = self.count
        for at, day in enumerate(self.workdays):
            # Day by day as many as a draw of all at once would have put there.
            here = int(rng.binomial(left, 1.0 / (len(self.workdays) - at)))
            left -= here
            starts = np.sort(rng.integers(18, 35, size=here))
            lengths = rng.integers(self.slots[0], self.slots[1] + 1, size=here)
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
                begin_s = day * S_PER_DAY + start * 0.5 * S_PER_HOUR
                work_s = length * 0.5 * S_PER_HOUR
                yield JobDemand(
                    begin_s, work_s, self._latest_s(begin_s + work_s), self.levels, "workday"
                )

    def _weekday(self, day: int) -> int:
        return (day + self.first_weekday) % 7

    def _latest_s(self, end_s: float) -> float:
        day, since_s = divmod(end_s, S_PER_DAY)
        return latest_end(end_s, self._weekday(int(day)), since_s / S_PER_HOUR, self.end)


def latest_end(end_s: float, weekday: int, hour: float, rule: str) -> float:
    """How late a job may end that would end at `end_s`, at that day of the week and hour.

    Under "next workday" no later where that is within working hours, and after Friday evening only
    until Saturday, as in the published simulator.
    """
    nine = end_s - (hour - 9.0) * S_PER_HOUR
    if rule == "next workday":
        if weekday >= 5:
            return nine + (7 - weekday) * S_PER_DAY
        if hour < 9.0:
            return nine
        return end_s if hour <= 17.0 else nine + S_PER_DAY
    later = [nine + d * S_PER_DAY for d in range(8) if (weekday + d) % 7 in _MEETINGS]
    return next(time for time in later if time >= end_s)
