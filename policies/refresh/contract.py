"""The contract of refresh policies: which devices are replaced at the beginning of a quarter.

What an old device cost to make is spent, and no part of a view. A new one's making, and the power
of both for the same work, can still be avoided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceView:
    """A pool that takes such devices second-hand, instead of new ones.

    reused_w, new_w: mean power of this device there, and of a new one, for the same work.
    embodied_g, life_s: making a new one, and over what it is written off. served_s: how long it
    works of its second life's plan, on average; fit: whether the device's wear lets it.
    """

    name: str
    reused_w: float
    new_w: float
    embodied_g: float
    life_s: float
    pue: float
    intensity_g_per_kwh: float
    served_s: float
    fit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """What a policy sees of devices of one make in a pool (a device class in a region), each by
    itself.

    age_s: in service in this pool. old_w, new_w: mean power of it and of a new one, for the same
    work. embodied_g, life_s: making a new one, and over what it is written off. gain_per_s: rate at
    which the power of new makes falls. intensity_g_per_kwh: mean of the year that has passed.
    places: other pools that take it.
    """

    name: str
    age_s: float
    old_w: float
    new_w: float
    embodied_g: float
    life_s: float
    gain_per_s: float
    pue: float
    intensity_g_per_kwh: float
    places: Sequence[PlaceView] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is replaced; `to`: the place where it goes on. Without one it is retired, and so
    is what that place has no need for; what is not written off is then expensed."""

    replace: bool
    to: str | None = None


KEEP = Decision(False)


class Refresh(Protocol):
    """Decides, each quarter and for each make in each pool."""

    def decide(self, device: DeviceView, now_s: float) -> Decision: ...
