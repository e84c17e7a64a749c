"""How a system says who used its devices, so that energy and carbon can be shared out.

A system that can tell opens a `UseMeter` for devices that act as one and tells of it by the fact
`MeterOpened`. Who listens closes the meter's steps, one after another, at times of its own (the
edges of a carbon-intensity signal, say); a system opens no meter where nobody listens to that
fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sim.hardware.device import DeviceGroup


class Part(NamedTuple):
    """What one consumer used in one step of a meter: `step` counts from 0.

    active_s: full-power-equivalent seconds of the group (as `DeviceGroup.active_at`) spent for it.
    held_s: seconds x share of the group's memory that it held (a reservation).
    """

    step: int
    active_s: float
    held_s: float


class Consumer(NamedTuple):
    """One consumer (a request, a job) that ended in a step, or that the end of the run cut off.

    `kind` names its class (chat, code, ...). `parts`: by step, each step at most once, rising;
    those of steps in which it used nothing may be left out. `lost`: a failure undid what these
    parts did; it may begin anew, and ends once more then.
    """

    id: int
    kind: str
    parts: Sequence[Part]
    finished: bool = True
    lost: bool = False


@dataclass(slots=True)
class Ended:
    """The same of many consumers as columns: an entry for each, and of parts an entry for each in
    `owner` (place of its consumer), `step`, `active_s` and `held_s`, in any order."""

    ids: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    finished: list[bool] = field(default_factory=list)
    lost: list[bool] = field(default_factory=list)
    owner: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    step: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    active_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    held_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, consumers: Iterable[Consumer]) -> Ended:
        """Columns of these."""
        ended = cls()
        flat = []
        for owner, consumer in enumerate(consumers):
            ended.ids.append(consumer.id)
            ended.kinds.append(consumer.kind)
            ended.finished.append(consumer.finished)
            ended.lost.append(consumer.lost)
            flat += [(owner, *part) for part in consumer.parts]
        owner_, step, ended.active_s, ended.held_s = np.array(flat, float).reshape(-1, 4).T
        ended.owner, ended.step = owner_.astype(np.int64), step.astype(np.int64)
        return ended

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Consumer]:
        parts: list[list[Part]] = [[] for _ in self.ids]
        columns = self.owner, self.step, self.active_s, self.held_s
        for owner, *part in zip(*(column.tolist() for column in columns), strict=True):
            parts[owner].append(Part(*part))
        own = [sorted(each) for each in parts]
        for each in zip(self.ids, self.kinds, own, self.finished, self.lost, strict=True):
            yield Consumer(*each)


@dataclass(slots=True)
class StepUse:
    """What happened on the devices of a meter in one step.

    active_s: by account, all active seconds of the group in the step: sums to the difference of
    `DeviceGroup.active_at`. held_s: seconds x share of memory, by account; what is left of the
    step's length stood by for nobody. ended: consumers that ended in the step, as columns where
    there are many.
    """

    active_s: Mapping[str, float]
    held_s: Mapping[str, float]
    ended: Sequence[Consumer] | Ended = field(default_factory=list)


class UseMeter(Protocol):
    """Who used devices that act as one."""

    def close_step(self, now_s: float, last: bool = False) -> StepUse:
        """End the step under way at this moment, after all else of the instant, and begin the
        next. `last`: the run is over; consumers still there are told as unfinished."""
        ...


class MeterOpened(NamedTuple):
    """A tenant's meter of these devices begins to count now: of all its work on them, in this group
    or in others of its own."""

    time_s: float
    tenant: str
    group: DeviceGroup
    meter: UseMeter
