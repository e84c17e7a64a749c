"""What each way to cut saves along flow length, flows, popularity and packet size, by the model."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

from experiments.reproduce.claim import Study
from experiments.reproduce.papers.cora.plans import (
    CORA,
    CPU_ONLY,
    NAIVE,
    NICS,
    PROGRAMS,
    WAYS,
    best_plans,
    saving,
    traffic,
)
from experiments.reproduce.papers.cora.points import Case
from experiments.reproduce.workers import Workers
from policies.partition.goals import FewestCores

#: Along one axis, the others as in the reference: a million flows of 80 packets, Zipf 1.0, packets
#: of 256 bytes, 80 % of the line.
AXES: dict[str, tuple[float, ...]] = {
    "length": (160.0, 80.0, 60.0, 40.0, 30.0, 25.0, 20.0, 15.0, 10.0, 7.0),
    "exponent": (0.6, 0.8, 1.0, 1.2, 1.4),
    "flows": (1e5, 3e5, 1e6, 4e6, 1e7),
    "size": (128.0, 256.0, 512.0, 1024.0, 1500.0),
}
#: All combinations of these, by NIC and program.
GRID: dict[str, tuple[float, ...]] = {
    "length": (80.0, 20.0, 10.0),
    "exponent": (0.8, 1.0, 1.2),
    "flows": (1e5, 1e6, 4e6),
    "size": (128.0, 256.0),
}
#: Places that one task does.
_TOGETHER = 50
#: Where saving less than this, in percent, ratios say nothing.
_LEAST = 5.0

#: Percent of cores saved by way; none where the way has no plan that holds the rate.
Ways = dict[str, float | None]


class Place(NamedTuple):
    """A program on a NIC under a traffic, by what is not as in the reference."""

    nic: str
    program: str
    traffic: tuple[tuple[str, float], ...]

    @property
    def case(self) -> Case:
        """The same with its parts."""
        return Case(self.program, self.nic, traffic(self.nic, **dict(self.traffic)))


class Cut(NamedTuple):
    """Savings and busy cores of a place by way."""

    saved: Ways
    cores: Ways


Swept = dict[Place, Cut]


def cut(place: Place) -> Cut:
    """Best plans of a place."""
    case = place.case
    found = best_plans(case, FewestCores())
    rate = case.profile.rate_pps
    return Cut(
        {way: saving(case, found[way]) if way in found else None for way in WAYS},
        {way: found[way].busy_cores(rate) if way in found else None for way in WAYS},
    )


def places(full: bool) -> list[Place]:
    """All of both."""
    along = [
        Place(nic, program, ((axis, value),))
        for nic, program in product(NICS, PROGRAMS)
        for axis, values in AXES.items()
        for value in values
    ]
    grid = {**GRID, "flows": (*GRID["flows"], 1e7), "size": AXES["size"]} if full else GRID
    mixed = [
        Place(nic, program, tuple(zip(grid, values, strict=True)))
        for nic, program in product(NICS, PROGRAMS)
        for values in product(*grid.values())
    ]
    return along + mixed


def _cuts(some: list[Place]) -> list[Cut]:
    return [cut(place) for place in some]


def sweep(workers: Workers) -> Swept:
    """All places."""
    todo = places(workers.full)
    tasks = [todo[i : i + _TOGETHER] for i in range(0, len(todo), _TOGETHER)]
    found = [each for some in workers.map(_cuts, tasks) for each in some]
    return dict(zip(todo, found, strict=True))


def along(found: Swept, nic: str, program: str, axis: str, way: str) -> dict[float, float | None]:
    """Savings of a way along an axis."""
    return {value: found[Place(nic, program, ((axis, value),))].saved[way] for value in AXES[axis]}


def best_naive(values: Mapping[str, float | None]) -> float:
    """The largest saving without Cora, or none."""
    return max(0.0, *(values[way] or 0.0 for way in NAIVE))


def ratios(found: Swept) -> dict[Place, float]:
    """Cora's saving over that of the best naive way, where all of it can be compared."""
    values = {}
    for place, cut in found.items():
        saved, naive = cut.saved[CORA], best_naive(cut.saved)
        compared = len(place.traffic) > 1 and cut.saved[CPU_ONLY] is not None
        if compared and saved is not None and naive >= _LEAST:
            values[place] = saved / naive
    return values


SWEEPS = Study("sweeps", sweep)
