"""Slots of a plan: pieces of a forecast that a job may use, chosen by price."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from models.errors import CapacityError
from policies.shifting.contract import ForecastView, JobView, Run

#: Rounding of times: work that misses by less is done.
ROUNDING_S = 1e-6

Slot = tuple[float, float, float]
"""Start, end, intensity."""


def window(job: JobView, now_s: float) -> float:
    """The deadline. Raises CapacityError where the job cannot be done by it at its least number
    of nodes."""
    if now_s + job.remaining_s > job.deadline_s + ROUNDING_S:
        raise CapacityError(
            f"a job needs {job.remaining_s:g} s, there are {job.deadline_s - now_s:g} s from "
            f"{now_s:g} s to its deadline"
        )
    return max(job.deadline_s, now_s + job.remaining_s)


def slots(forecast: ForecastView, from_s: float, to_s: float) -> list[Slot]:
    """Steps of the forecast from one time to another."""
    edges, values = forecast.pieces(from_s, to_s)
    return [
        (start, end, value)
        for (start, end), value in zip(pairwise(edges.tolist()), values.tolist(), strict=True)
    ]


def fill(order: Iterable[Slot], work_s: float) -> list[Run]:
    """The first slots of `order` until `work_s` of them are taken, the last from its start; as
    runs in order of time, neighbours joined."""
    taken: list[tuple[float, float]] = []
    for start, end, _ in order:
        if work_s <= 0.0:
            break
        taken.append((start, min(end, start + work_s)))
        work_s -= end - start
    return joined(Run(start, end) for start, end in sorted(taken))


def joined(runs: Iterable[Run]) -> list[Run]:
    """Runs in order, neighbours of one level made one, and none without length (which rounding
    leaves over)."""
    found: list[Run] = []
    for run in runs:
        if run.end_s <= run.start_s:
            continue
        last = found[-1] if found else None
        if last is not None and last.end_s == run.start_s and last.level == run.level:
            found[-1] = Run(last.start_s, run.end_s, run.level)
        else:
            found.append(run)
    return found
