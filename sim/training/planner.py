"""Plans of jobs: what a policy says, checked."""

from __future__ import annotations

from policies.shifting.contract import Run, Shifting
from sim.core.errors import CapacityError, ConfigError, LawBroken, TraceError
from sim.training.forecast import Forecast
from sim.training.job import ROUNDING_S, Job, Outlook


class Planner:
    """Asks a shifting policy, which sees the job and the forecast."""

    def __init__(self, shifting: Shifting, forecast: Forecast) -> None:
        if not hasattr(shifting, "plan"):
            raise ConfigError(
                "shifting: this policy moves a site's load, not single jobs; choose one such as "
                "at_once, within_day, lets_wait_awhile, carbon_scaler"
            )
        self.shifting = shifting
        self.forecast = forecast

    def plan(self, job: Job, from_s: float) -> list[Run] | None:
        """Runs from a time on; None where the deadline cannot be met. Raises LawBroken for a plan
        that is none."""
        job.plans += 1
        outlook = job.outlook()
        try:
            runs = list(self.shifting.plan(outlook, self.forecast.view, from_s))
        except CapacityError:
            return None
        except TraceError as error:
            raise TraceError(
                f"job {job.id} is planned from {from_s:g} s of the run to its deadline, "
                f"{outlook.deadline_s:g} s, by the forecast of its site; {error}; give a longer "
                "signal, or earlier deadlines"
            ) from None
        _check(job, outlook, runs, from_s)
        return runs


def keeps_a_way_out(job: Job, runs: list[Run], pause_s: float) -> bool:
    """Whether, after a plan's first run, the deadline can still be met without a further pause, on
    most GPUs (to which a change takes as long as a pause)."""
    first, top = runs[0], len(job.demand.levels) - 1
    if len(runs) == 1 or first.level == top:
        return True
    rate, most = job.paces[first.level], job.paces[top]
    left_s = job.work_left_s - rate * (first.end_s - first.start_s)
    return left_s <= most * (job.demand.deadline_s - first.end_s - pause_s) + ROUNDING_S


def _check(job: Job, outlook: Outlook, runs: list[Run], now_s: float) -> None:
    """Raises LawBroken unless a plan is in order and does the work by the deadline."""
    at, done_s = now_s, 0.0
    levels = len(outlook.work_per_s)
    for run in runs:
        if not (at - ROUNDING_S <= run.start_s < run.end_s and 0 <= run.level < levels):
            raise LawBroken(
                f"job {job.id}: the plan's {run} begins before {at!r} s, has no length, or is of a "
                f"level that is none of {levels}"
            )
        at = run.end_s
        done_s += outlook.work_per_s[run.level] * (run.end_s - run.start_s)
    slack = ROUNDING_S * (1 + len(runs)) + 1e-9 * outlook.remaining_s
    if done_s < outlook.remaining_s - slack or at > outlook.deadline_s + slack:
        raise LawBroken(
            f"job {job.id}: the plan does {done_s!r} s of {outlook.remaining_s!r} s of work until "
            f"{at!r} s; the deadline is {outlook.deadline_s!r} s"
        )
