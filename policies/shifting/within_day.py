"""Carbon Explorer's shifting (Acun et al., ASPLOS 2023), of one job instead of a site's load."""

from __future__ import annotations

from math import floor

from models.carbon.units import S_PER_HOUR
from models.errors import ConfigError
from policies.shifting.carbon_explorer import check_flexible, to_cleanest
from policies.shifting.contract import ForecastView, JobView, Run
from policies.shifting.slots import joined, slots, window

_DAY_S = 24.0 * S_PER_HOUR


class WithinDay:
    """Takes what a job would do if it ran at once, and moves the share `flexible` of each slot of
    that to the cleanest slots of the same day, as long as they are cleaner and have time left
    before the deadline. A slot that is used in part is used from its start. clock_hour: the hour of
    the day at which the run begins, that of the site.
    """

    def __init__(self, flexible: float, clock_hour: float = 0.0) -> None:
        check_flexible(flexible)
        if not 0.0 <= clock_hour < 24.0:
            raise ConfigError(f"clock_hour = {clock_hour!r} must be in [0, 24)")
        self.flexible = flexible
        self.clock_hour = clock_hour

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        until_s, left_s = window(job, now_s), job.remaining_s
        runs: list[Run] = []
        since_s = self.clock_hour * S_PER_HOUR
        while left_s > 0.0 and now_s < until_s:
            tomorrow_s = min(until_s, _DAY_S * (floor((now_s + since_s) / _DAY_S) + 1) - since_s)
            day = slots(forecast, now_s, tomorrow_s)
            used_s = []
            for start, end, _ in day:
                used_s.append(min(left_s, end - start))
                left_s -= used_s[-1]
            may_go = [self.flexible * seconds for seconds in used_s]
            room = [end - start - own for (start, end, _), own in zip(day, used_s, strict=True)]
            to_cleanest(used_s, [value for _, _, value in day], may_go, room)
            for (start, end, _), own in zip(day, used_s, strict=True):
                runs.append(Run(start, min(end, start + own)))
            now_s = tomorrow_s
        return joined(runs)
