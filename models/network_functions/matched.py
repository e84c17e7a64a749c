"""Which states a NIC's match tables take from its cores: exact, by branch and bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Matched(NamedTuple):
    """A state that match tables could hold: its entries there, and for each packet the time of all
    cores that it saves, and what it takes of the tables' engine and of the insertion channel."""

    state: int
    entries: float
    saved_s: float
    lookup_s: float
    insert_s: float


def best_matched(states: Sequence[Matched], core_s: float, entries: float) -> set[int]:
    """Those of the states for which the busiest of cores, engine and channel is least busy.

    core_s: time of all cores for each packet that no choice saves. entries: room in the tables.
    """
    order = sorted(states, key=lambda each: (-each.saved_s, each.state))
    saved_after = [0.0] * (len(order) + 1)
    for depth in range(len(order) - 1, -1, -1):
        saved_after[depth] = saved_after[depth + 1] + order[depth].saved_s
    best: set[int] = set()
    least = core_s + saved_after[0]
    chosen: list[int] = []

    def descend(depth: int, cores: float, engine: float, channel: float, room: float) -> None:
        """`cores`: what they take if all states from this depth on stay with them."""
        nonlocal best, least
        if max(cores - saved_after[depth], engine, channel) >= least:
            return
        if depth == len(order):
            best, least = set(chosen), max(cores, engine, channel)
            return
        each = order[depth]
        if each.entries <= room:
            chosen.append(each.state)
            descend(
                depth + 1,
                cores - each.saved_s,
                engine + each.lookup_s,
                channel + each.insert_s,
                room - each.entries,
            )
            chosen.pop()
        descend(depth + 1, cores, engine, channel, room)

    descend(0, least, 0.0, 0.0, entries)
    return best
