"""Carbon Explorer (Acun et al., ASPLOS 2023): part of each hour's load moves inside its day."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

import numpy as np

from models.carbon.signal import Floats
from models.errors import ConfigError


class ToSurplus:
    """Moves load from the hours of the largest deficit to those of the largest surplus of a farm.

    flexible: share of an hour's load that may move. most_w: capacity that no hour may exceed.
    hours_per_day: steps of a day, in which what moves stays.
    """

    def __init__(self, flexible: float, most_w: float, hours_per_day: int = 24) -> None:
        _check(flexible, most_w, hours_per_day)
        self.flexible = flexible
        self.most_w = most_w
        self.hours_per_day = hours_per_day

    def shift(self, load_w: Floats, farm_w: Floats, intensity_g_per_kwh: Floats) -> Floats:
        """Raises ConfigError for arrays that are no whole days of one length."""
        moved = _days(load_w, self.hours_per_day).copy()
        farm = _days(farm_w, self.hours_per_day)
        _check_fits(moved, self.most_w)
        for load, sun in zip(moved, farm, strict=True):
            gap = sun - load
            givers = [int(i) for i in np.argsort(gap, kind="stable") if gap[i] < 0.0]
            takers = [int(i) for i in np.argsort(-gap, kind="stable") if gap[i] > 0.0]
            may_go = {i: min(self.flexible * load[i], -gap[i]) for i in givers}
            room = {i: min(gap[i], self.most_w - load[i]) for i in takers}
            _move(load, givers, may_go, takers, room)
        return moved.reshape(-1)


class ToCleanGrid:
    """Moves load from the hours of the highest intensity to those of the lowest, as long as the
    one is above the other. Arguments as for ToSurplus; the farm does not count."""

    def __init__(self, flexible: float, most_w: float, hours_per_day: int = 24) -> None:
        _check(flexible, most_w, hours_per_day)
        self.flexible = flexible
        self.most_w = most_w
        self.hours_per_day = hours_per_day

    def shift(self, load_w: Floats, farm_w: Floats, intensity_g_per_kwh: Floats) -> Floats:
        """Raises ConfigError for arrays that are no whole days of one length."""
        moved = _days(load_w, self.hours_per_day).copy()
        grid = _days(intensity_g_per_kwh, self.hours_per_day)
        _check_fits(moved, self.most_w)
        for load, day in zip(moved, grid, strict=True):
            to_cleanest(load, day, self.flexible * load, self.most_w - load)
        return moved.reshape(-1)


def to_cleanest(
    load: MutableSequence[float] | Floats,
    intensity: Sequence[float] | Floats,
    may_go: MutableSequence[float] | Floats,
    room: MutableSequence[float] | Floats,
) -> None:
    """Move load from the hours of the highest intensity to those of the lowest, as long as the one
    is above the other, by what may go and what has room (both are used up)."""
    order = [int(i) for i in np.argsort(intensity, kind="stable")]
    low, high = 0, len(order) - 1
    while low < high and intensity[order[low]] < intensity[order[high]]:
        clean, dirty = order[low], order[high]
        amount = min(room[clean], may_go[dirty])
        load[clean] += amount
        load[dirty] -= amount
        room[clean] -= amount
        may_go[dirty] -= amount
        if may_go[dirty] <= 0.0:
            high -= 1
        else:
            low += 1


def _move(
    load: Floats,
    givers: list[int],
    may_go: dict[int, float],
    takers: list[int],
    room: dict[int, float],
) -> None:
    """From givers to takers, in their orders, as far as both go."""
    at = 0
    for giver in givers:
        while may_go[giver] > 0.0 and at < len(takers):
            taker = takers[at]
            amount = min(may_go[giver], room[taker])
            load[giver] -= amount
            load[taker] += amount
            may_go[giver] -= amount
            room[taker] -= amount
            if room[taker] <= 0.0:
                at += 1


def check_flexible(flexible: float) -> None:
    """Raises ConfigError for a share that is none."""
    if not 0.0 <= flexible <= 1.0:
        raise ConfigError(f"flexible = {flexible!r} must be in [0, 1]")


def _check(flexible: float, most_w: float, hours_per_day: int) -> None:
    check_flexible(flexible)
    if not most_w > 0.0:
        raise ConfigError(f"most_w = {most_w!r} must be > 0")
    if hours_per_day < 2:
        raise ConfigError(f"hours_per_day = {hours_per_day!r} must be >= 2")


def _days(values: Floats, hours: int) -> Floats:
    if values.size == 0 or values.size % hours:
        raise ConfigError(f"{values.size} hours are no whole days of {hours}")
    return np.asarray(values, dtype=np.float64).reshape(-1, hours)


def _check_fits(load: Floats, most_w: float) -> None:
    if float(load.max()) > most_w:
        raise ConfigError(f"most_w = {most_w!r} is below the load's highest, {float(load.max())!r}")
