"""The baseline that knows nothing of carbon."""

from __future__ import annotations

from policies.shifting.contract import ForecastView, JobView, Run
from policies.shifting.slots import window


class AtOnce:
    """Runs a job as soon as it comes, to its end."""

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        window(job, now_s)
        return [Run(now_s, now_s + job.remaining_s)]
