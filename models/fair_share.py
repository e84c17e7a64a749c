"""Max-min fair rates of activities that share resources (progressive filling).

Rates rise together, each in proportion to its weight, until an activity meets its own cap or a
resource that it uses is full; those stop, the others go on. The result is the one allocation in
which no rate can grow without lowering another that is no larger relative to its weight
(Bertsekas & Gallager, Data Networks, 2nd ed., section 6.5.2). With several kinds of resources and
weights equal to the inverse of the dominant use it is dominant resource fairness (Ghodsi et al.,
NSDI 2011).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import inf, isfinite
from typing import TypeVar

R = TypeVar("R", bound=Hashable)


def max_min_rates(
    paths: Sequence[Sequence[R]],
    capacities: Mapping[R, float],
    caps: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
) -> list[float]:
    """Rate of each flow over its path of links, every link on it carrying the whole rate.

    `caps`: upper bound of each flow (inf for none). `weights`: > 0. Raises ValueError where a
    flow has no bound at all, a link is unknown or a number is impossible.
    """
    uses = [[(link, 1.0) for link in path] for path in paths]
    return max_min_shares(uses, capacities, caps, weights)


def max_min_shares(
    uses: Sequence[Sequence[tuple[R, float]]],
    capacities: Mapping[R, float],
    caps: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
) -> list[float]:
    """Rate of each activity; activity `i` at rate `x` takes `x * c` of `r` for (r, c) in `uses[i]`.

    The general form of `max_min_rates`: factors `c` > 0, each resource at most once an activity.
    """
    caps = caps if caps is not None else [inf] * len(uses)
    weights = weights if weights is not None else [1.0] * len(uses)
    _check(uses, capacities, caps, weights)
    return progressive_filling(uses, capacities, caps, weights)


def progressive_filling(
    uses: Sequence[Sequence[tuple[R, float]]],
    capacities: Mapping[R, float],
    caps: Sequence[float],
    weights: Sequence[float],
) -> list[float]:
    """`max_min_shares` for callers whose figures are known to be possible."""
    rates = [0.0] * len(uses)
    left = {}
    users: dict[R, dict[int, float]] = {}
    for i, used in enumerate(uses):
        for resource, factor in used:
            users.setdefault(resource, {})[i] = factor * weights[i]
    # Level at which a resource fills if its present users rise together.
    levels = {}
    for resource, loads in users.items():
        left[resource] = capacities[resource]
        levels[resource] = left[resource] / sum(loads.values())
    capped = sorted((caps[i] / weights[i], i) for i in range(len(uses)) if caps[i] < inf)
    next_cap = 0
    open_ = set(range(len(uses)))
    while open_:
        while next_cap < len(capped) and capped[next_cap][1] not in open_:
            next_cap += 1
        cap_level = capped[next_cap][0] if next_cap < len(capped) else inf
        bottleneck = min(levels, key=levels.__getitem__) if levels else None
        if bottleneck is None or cap_level <= levels[bottleneck]:
            i = capped[next_cap][1]
            fixed = {i: caps[i]}
        else:
            level = levels[bottleneck]
            fixed = {i: weights[i] * level for i in users[bottleneck]}
        touched: dict[R, None] = {}
        for i, rate in fixed.items():
            rates[i] = rate
            open_.discard(i)
            for resource, factor in uses[i]:
                del users[resource][i]
                left[resource] = max(0.0, left[resource] - factor * rate)
                touched[resource] = None
        for resource in touched:
            if users[resource]:
                levels[resource] = left[resource] / sum(users[resource].values())
            else:
                del levels[resource]
    return rates


def _check(
    uses: Sequence[Sequence[tuple[R, float]]],
    capacities: Mapping[R, float],
    caps: Sequence[float],
    weights: Sequence[float],
) -> None:
    if not len(uses) == len(caps) == len(weights):
        raise ValueError(f"{len(uses)} activities, {len(caps)} caps, {len(weights)} weights")
    for i, used in enumerate(uses):
        if not (weights[i] > 0.0 and isfinite(weights[i])):
            raise ValueError(f"weight of activity {i} is {weights[i]}, not > 0")
        if not caps[i] >= 0.0:
            raise ValueError(f"cap of activity {i} is {caps[i]}, not >= 0")
        if not used and caps[i] == inf:
            raise ValueError(f"activity {i} uses nothing and has no cap: its rate has no bound")
        seen = set()
        for resource, factor in used:
            if not (factor > 0.0 and isfinite(factor)):
                raise ValueError(f"activity {i} uses {resource!r} with factor {factor}, not > 0")
            if resource in seen:
                raise ValueError(f"activity {i} names {resource!r} twice")
            seen.add(resource)
            if not (resource in capacities and 0.0 <= capacities[resource] < inf):
                raise ValueError(
                    f"capacity of {resource!r} is {capacities.get(resource)}, not a number >= 0"
                )
