"""Carbon Explorer's shifting (Acun et al., ASPLOS 2023), of one job instead of a site's load."""

from __future__ import annotations

from math import floor

from models.carbon.units import S_PER_HOUR
from policies.shifting.carbon_explorer import check_flexible, to_cleanest
from policies.shifting.contract import ForecastView, JobView, Run
from policies.shifting.slots import joined, slots, window

_DAY_S = 24.0 * S_PER_HOUR


class WithinDay:
    """Takes what a job would do if it ran at once, and moves the share `flexible` of each slot of
    that to the cleanest slots of the same day (of the run's clock), as long as they are cleaner and
    have time left before the deadline. A slot that is used in part is used from its start.
    """

    def __init__(self, flexible: float) -> None:
        check_flexible(flexible)
        self.flexible = flexible

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        until_s, left_s = window(job, now_s), job.remaining_s
        runs: list[Run] = []
        while left_s > 0.0 and now_s < until_s:
            tomorrow_s = min(until_s, _DAY_S * (floor(now_s / _DAY_S) + 1))
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
