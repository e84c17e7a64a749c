"""What a paper claims, as data."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from experiments.reproduce.accepted import Accepted
from experiments.reproduce.workers import Workers
from sim.core.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

D = TypeVar("D")
M = TypeVar("M")

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class NotRun(Exception):
    """Raised by a study that cannot be run here; says why."""


def data_file(name: str) -> Path:
    """A file of the folder that ORRERY_DATA names. Raises NotRun where it is not there."""
    folder = os.environ.get("ORRERY_DATA")
    if not folder:
        raise NotRun("ORRERY_DATA is not set")
    path = Path(folder) / name
    if not path.is_file():
        raise NotRun(f"ORRERY_DATA holds no {name}")
    return path


@dataclass(frozen=True, eq=False)
class Study(Generic[D]):
    """Simulations that several claims and plots share: run once, the data handed to each.

    `run(workers)` maps its runs over the workers, and does more where `workers.full`; it may raise
    NotRun. Its data must depend on nothing but that.
    """

    name: str
    run: Callable[[Workers], D]


@dataclass(frozen=True)
class Claim(Generic[D, M]):
    """One claim of a paper.

    `where`: figure, table or section. `what`: what was measured, in a sentence. `published`: the
    value in the paper, as text. `accepted`: a Band, Order, Trend or Table, or Finding() for what is
    reported without a target. `measure`: gives the simulated value from the study's data. `unit`:
    of the value. `note`: for the reader in any case. `reason`: why it misses, if it does; a miss
    without a reason is an error.
    """

    id: str
    where: str
    what: str
    published: str
    accepted: Accepted[M]
    study: Study[D]
    measure: Callable[[D], M]
    unit: str = ""
    note: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Plot(Generic[D]):
    """A picture of a study's data: `draw(figure, data)` draws it, in the report's colours
    (`experiments.report.theme`). `width` and `height` are in pixels."""

    name: str
    title: str
    caption: str
    study: Study[D]
    draw: Callable[[Figure, D], None]
    width: int = 720
    height: int = 380


@dataclass(frozen=True)
class Paper:
    """A paper and its claims. `about`: what was simulated, and what differs from the paper."""

    name: str
    title: str
    citation: str
    claims: Sequence[Claim[Any, Any]]
    plots: Sequence[Plot[Any]] = ()
    about: str = ""

    def __post_init__(self) -> None:
        ids = [claim.id for claim in self.claims]
        pictures = [plot.name for plot in self.plots]
        for name in (self.name, *ids, *pictures):
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{self.name}: {name!r} is not made of a-z, 0-9, '-', '_', '.'")
        for names in (ids, pictures):
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ConfigError(f"{self.name}: {twice[0]} is given twice")
        if not ids:
            raise ConfigError(f"{self.name}: has no claims")
