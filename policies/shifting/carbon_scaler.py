"""CarbonScaler (Hanafy et al., SIGMETRICS 2024): more nodes where a gram brings the most work."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import pairwise

from models.errors import CapacityError, ConfigError
from policies.shifting.contract import ForecastView, JobView, Run
from policies.shifting.slots import ROUNDING_S, joined, slots


class CarbonScaler:
    """Gives an elastic job nodes step by step, each time where the next node does the most work for
    its carbon, until the work is planned; optimal where that falls with the number of nodes.

    A slot's first step is the least number of nodes and counts the job's whole power at it: what it
    adds, as idle draw of nodes that stay on is not avoided by giving them back. Of the last step as
    much is taken as the work needs. Of equals the earliest slot, then fewer nodes.
    """

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        work, power = list(job.work_per_s), list(job.node_w)
        _check(work, power)
        left = job.remaining_s
        pieces = slots(forecast, now_s, max(now_s, job.deadline_s))
        heap = [(-_value(work, power, 0, v), start, 0, i) for i, (start, _, v) in enumerate(pieces)]
        heapify(heap)
        levels: dict[int, int] = {}
        while left > 0.0 and heap:
            _, start, level, i = heappop(heap)
            _, end, intensity = pieces[i]
            levels[i] = level
            gained = (work[level] - (work[level - 1] if level else 0.0)) * (end - start)
            if gained >= left:
                return self._runs(pieces, levels, i, left / gained)
            left -= gained
            if level + 1 < len(work):
                value = _value(work, power, level + 1, intensity)
                heappush(heap, (-value, start, level + 1, i))
        if left > ROUNDING_S:
            raise CapacityError(f"a job lacks {left:g} s of work with all nodes to its deadline")
        return self._runs(pieces, levels, -1, 1.0)

    def _runs(
        self,
        pieces: list[tuple[float, float, float]],
        levels: dict[int, int],
        last: int,
        share: float,
    ) -> list[Run]:
        runs = []
        for i, level in sorted(levels.items()):
            start, end, _ = pieces[i]
            middle = start + share * (end - start) if i == last else end
            runs.append(Run(start, middle, level))
            if middle < end and level:
                runs.append(Run(middle, end, level - 1))
        return joined(runs)


def _value(work: list[float], power: list[float], level: int, intensity: float) -> float:
    """Work for a gram of the step to a level; without limit where the step costs nothing."""
    more = work[level] - (work[level - 1] if level else 0.0)
    cost = (power[level] - (power[level - 1] if level else 0.0)) * intensity
    return more / cost if cost > 0.0 else float("inf")


def _check(work: list[float], power: list[float]) -> None:
    rises = all(a <= b for a, b in pairwise(work))
    if not work or len(work) != len(power) or work[0] != 1.0 or not rises:
        raise ConfigError(
            f"work_per_s = {work} must begin with 1 and never fall, with as many node_w; they are "
            f"{power}"
        )
