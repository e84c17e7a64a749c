"""Let's Wait Awhile (Wiesner et al., Middleware 2021): the cleanest time before the deadline."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from policies.shifting.contract import ForecastView, JobView, Run
from policies.shifting.slots import Slot, fill, slots, window

#: Of integrals, as a share of the largest: above what sums of some thousand steps round off.
_ROUNDING = 1e-12


class NonInterruptible:
    """Starts a job where the mean intensity over its length is least, the earliest such time (of
    means that differ by rounding alone).

    The mean is a piecewise straight function of the start, so that its least is where the start or
    the end meets an edge of the forecast; for whole slots this is the paper's moving average.
    """

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        until, length = window(job, now_s), job.remaining_s
        pieces = slots(forecast, now_s, until)
        latest = max(now_s, until - length)
        edges = [start for start, _, _ in pieces]
        starts = {now_s, latest, *edges, *(end - length for _, end, _ in pieces)}
        sums = [0.0, *accumulate((end - start) * value for start, end, value in pieces)]
        found = {
            start: _up_to(pieces, sums, edges, start + length) - _up_to(pieces, sums, edges, start)
            for start in sorted(starts)
            if now_s <= start <= latest
        }
        most = min(found.values()) + _ROUNDING * max(map(abs, sums))
        best = next(start for start, total in found.items() if total <= most)
        return [Run(best, best + length)]


class Interruptible:
    """Runs a job in the slots of least intensity before the deadline, of equals the earliest."""

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        pieces = slots(forecast, now_s, window(job, now_s))
        return fill(sorted(pieces, key=lambda slot: (slot[2], slot[0])), job.remaining_s)


def _up_to(pieces: list[Slot], sums: list[float], edges: list[float], time_s: float) -> float:
    """Integral of the forecast from its start to a time."""
    at = bisect_right(edges, time_s) - 1
    start, _, value = pieces[at]
    return sums[at] + (time_s - start) * value
