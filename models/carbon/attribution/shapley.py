"""Fair-CO2: embodied carbon to those who cause the peak, by the Shapley value of the airport game.

A coalition of time slots costs as much capacity as its largest demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from models.carbon.signal import Floats
from models.errors import ConfigError


def peak_shares(peaks: Sequence[float] | Floats) -> Floats:
    """Shapley value of each slot in the game whose coalitions are worth their highest peak.

    In closed form: sort the peaks; the step from one to the next is paid in equal parts by all
    that reach it. O(n log n). The values sum to the highest peak.
    """
    demand = np.asarray(peaks, dtype=np.float64)
    if demand.ndim != 1 or demand.size == 0 or not (demand >= 0.0).all():
        raise ConfigError("peaks: give one or more, each >= 0")
    order = np.argsort(demand, kind="stable")
    rising = demand[order]
    steps = np.diff(rising, prepend=0.0) / np.arange(demand.size, 0, -1)
    found = np.empty_like(demand)
    found[order] = np.cumsum(steps)
    return found


def slot_carbon(
    grams: float, peaks: Sequence[float] | Floats, use: Sequence[float] | Floats
) -> Floats:
    """`grams` by slot: Shapley value of its peak times its resource-time (Fair-CO2).

    Inside a slot it is shared by use. Raises ConfigError where no slot has both.
    """
    weights = peak_shares(peaks) * np.asarray(use, dtype=np.float64)
    total = float(weights.sum())
    if not (weights >= 0.0).all() or total <= 0.0:
        raise ConfigError("use: give >= 0 in each slot, and above 0 in one that has a peak")
    return grams * (weights / total)


def nested_slot_carbon(grams: float, demand: Floats, branches: Sequence[int]) -> Floats:
    """`grams` by finest slot, level by level: 30 days into 10-day parts, those into days, hours.

    demand: of the finest slots, all of one length. branches: into how many equal parts each level
    is split, from the top; their product is the number of slots. At every level a part's peak is
    the largest demand in it and its use the sum.
    """
    slots = np.asarray(demand, dtype=np.float64)
    if not branches or min(branches) < 1 or prod(branches) != slots.size:
        raise ConfigError(
            f"branches {list(branches)} make {prod(branches)} slots, there are {slots.size}"
        )
    at = np.arange(slots.size)
    levels = [at // prod(branches[level:]) for level in range(1, len(branches))]
    return grouped_slot_carbon(grams, slots, slots, levels)


def grouped_slot_carbon(
    grams: float, peaks: Floats, use: Floats, levels: Sequence[NDArray[np.int64]]
) -> Floats:
    """The same for slots of any length, each with a peak and its use: `levels` names for every
    slot the part that it lies in, from the top level down; the slots are the last level."""
    if not (peaks > 0.0).any():
        raise ConfigError("demand: is 0 in all slots")
    carbon = np.array([grams])
    above = np.zeros(peaks.size, dtype=np.int64)
    for names in [*levels, np.arange(peaks.size)]:
        # Parts of one name above and of one here, in order; where each slot lies among them.
        _, first, inside = np.unique(
            np.stack([above, names]), axis=1, return_index=True, return_inverse=True
        )
        inside = inside.reshape(-1)
        highest = np.zeros(first.size)
        np.maximum.at(highest, inside, peaks)
        used = np.bincount(inside, use, first.size)
        finer = np.zeros(first.size)
        for part, share in enumerate(carbon):
            own = above[first] == part
            if share > 0.0:
                finer[own] = slot_carbon(share, highest[own], used[own])
        carbon, above = finer, inside
    return carbon
