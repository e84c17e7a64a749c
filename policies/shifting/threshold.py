"""Suspend and resume by a threshold, as WaitAWhile in Ecovisor does."""

from __future__ import annotations

from models.carbon.units import S_PER_HOUR
from models.errors import ConfigError
from policies.shifting.contract import ForecastView, JobView, Run
from policies.shifting.slots import Slot, joined, slots, window


class Threshold:
    """Runs while the intensity is at most a percentile of the hours ahead, and without a break
    once the slack is used up.

    percentile: in (0, 100], of the forecast's steps by time over `ahead_hours` (or as far as the
    deadline, where the forecast of the plan ends).
    """

    def __init__(self, percentile: float, ahead_hours: float) -> None:
        if not 0.0 < percentile <= 100.0:
            raise ConfigError(f"percentile = {percentile!r} must be in (0, 100]")
        if not ahead_hours > 0.0:
            raise ConfigError(f"ahead_hours = {ahead_hours!r} must be > 0")
        self.percentile = percentile
        self.ahead_s = ahead_hours * S_PER_HOUR

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        until, left = window(job, now_s), job.remaining_s
        pieces = slots(forecast, now_s, until)
        runs: list[Run] = []
        for i, (start, end, value) in enumerate(pieces):
            if left <= 0.0:
                break
            begin = start
            if value > self._limit(pieces[i:], start + self.ahead_s):
                # Waits as long as the slack lasts, then has to run.
                begin = max(start, until - left)
                if begin >= end:
                    continue
            stop = min(end, begin + left)
            runs.append(Run(begin, stop))
            left -= stop - begin
        return joined(runs)

    def _limit(self, ahead: list[Slot], until_s: float) -> float:
        """The percentile by time of what comes before `until_s`."""
        seen = sorted((v, min(e, until_s) - s) for s, e, v in ahead if s < until_s)
        enough = self.percentile / 100.0 * sum(length for _, length in seen)
        passed = 0.0
        for value, length in seen:
            passed += length
            if passed >= enough * (1.0 - 1e-12):
                return value
        return seen[-1][0]
