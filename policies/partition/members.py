"""Which flows to offload, once it is decided how many."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop


def swaps(
    members: Mapping[int, float],
    candidates: Mapping[int, float],
    *,
    saved_s: float,
    cost_s: float,
    horizon_s: float,
    margin: float,
) -> list[tuple[int, int]]:
    """Pairs of an offloaded flow and one to take its place, the most useful first.

    members, candidates: packets a second by flow. saved_s: host time that an offloaded packet
    saves; cost_s: host time of a swap. A swap is made where what it saves within the horizon
    exceeds `margin` times its cost.
    """
    if saved_s <= 0.0:
        return []
    least = margin * cost_s / (saved_s * horizon_s)
    going = [(rate, flow) for flow, rate in members.items()]
    coming = [(-rate, flow) for flow, rate in candidates.items()]
    heapify(going)
    heapify(coming)
    pairs = []
    while going and coming:
        (slow, out), (fast, into) = heappop(going), heappop(coming)
        if -fast - slow <= least:
            break
        pairs.append((out, into))
    return pairs
