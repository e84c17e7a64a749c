"""A baseline without a forecast: run at night."""

from __future__ import annotations

from models.carbon.units import S_PER_DAY, S_PER_HOUR
from models.errors import ConfigError
from policies.shifting.contract import ForecastView, JobView, Run
from policies.shifting.slots import window


class FixedWindow:
    """Starts in the next daily window (its start, or now inside it), if the deadline leaves time,
    and else so late that it is met. clock_hour: the hour of the day at which the run begins, that
    of the site."""

    def __init__(self, start_hour: float, end_hour: float, clock_hour: float = 0.0) -> None:
        hours = {"start_hour": start_hour, "end_hour": end_hour, "clock_hour": clock_hour}
        for key, hour in hours.items():
            if not 0.0 <= hour <= 24.0:
                raise ConfigError(f"{key} = {hour!r} must be in [0, 24]")
        self.start_hour = start_hour
        self.end_hour = end_hour
        self.clock_hour = clock_hour

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        latest = window(job, now_s) - job.remaining_s
        since = (now_s / S_PER_HOUR + self.clock_hour - self.start_hour) % 24.0
        length = (self.end_hour - self.start_hour) % 24.0
        wait = 0.0 if since < length else S_PER_DAY - since * S_PER_HOUR
        start = max(now_s, min(now_s + wait, latest))
        return [Run(start, start + job.remaining_s)]
