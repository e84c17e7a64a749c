"""What one batch job asks for, and what yields such jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from models.elastic import Level


class JobDemand(NamedTuple):
    """Work that may wait.

    `arrival_s`: when it may begin, in seconds from the start of the run; `deadline_s`: when it must
    be done, likewise. `work_s`: seconds that it takes on its least number of GPUs, the first of
    `levels`. `kind`: class or tenant.
    """

    arrival_s: float
    work_s: float
    deadline_s: float
    levels: tuple[Level, ...]
    kind: str = ""


class JobWorkload(Protocol):
    """A lazy source of jobs in order of arrival; two iterations given generators in the same state
    yield equal jobs."""

    def jobs(self, rng: np.random.Generator) -> Iterator[JobDemand]:
        """The jobs; all chance comes from `rng`."""
        ...
