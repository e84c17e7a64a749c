"""The contract of shifting policies: when, and on how many nodes, work that may wait runs.

A policy sees one job and a forecast and returns a plan; the system asks again when the forecast or
the job's progress has turned out otherwise. It weighs what can still be avoided: carbon of
operation. What devices cost to make is spent, whenever they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from models.carbon.signal import Floats


class ForecastView(Protocol):
    """What a policy sees of the carbon intensity to come; a StepSignal is a perfect one."""

    def pieces(self, from_s: float, to_s: float) -> tuple[Floats, Floats]:
        """Edges of the steps from one time to another and the intensity in each, in g/kWh."""
        ...


class JobView(Protocol):
    """What a policy sees of a job."""

    @property
    def remaining_s(self) -> float:
        """Time that it still needs, at its least number of nodes, above 0."""
        ...

    @property
    def deadline_s(self) -> float:
        """When it must be done."""
        ...

    @property
    def work_per_s(self) -> Sequence[float]:
        """Progress by number of nodes, from the least number on: seconds of work at the least
        number that a second brings, so the first is 1."""
        ...

    @property
    def node_w(self) -> Sequence[float]:
        """Power of the whole job by number of nodes, as above: what it adds to what they draw
        idle, as long as they draw that whoever has them."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """From `start_s` to `end_s` at the `level`-th number of nodes above the least."""

    start_s: float
    end_s: float
    level: int = 0


class Shifting(Protocol):
    """Plans a job. Raises CapacityError where it cannot be done by its deadline."""

    def plan(self, job: JobView, forecast: ForecastView, now_s: float) -> list[Run]:
        """Runs in order, none overlapping, that do the remaining work from now on by the deadline;
        the last may do a little more than what remains."""
        ...


class LoadShifting(Protocol):
    """Moves parts of a site's load inside a day."""

    def shift(self, load_w: Floats, farm_w: Floats, intensity_g_per_kwh: Floats) -> Floats:
        """The load by hour after shifting; all three over the same whole days."""
        ...
