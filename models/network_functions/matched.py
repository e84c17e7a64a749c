"""Which states a NIC's match tables take from its cores: exact, by branch and bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import NamedTuple


class Matched(NamedTuple):
    """A state that match tables could hold.

    entries: there; bytes: in memory, if it stays with the cores. For each packet: cycles for which
    cores wait for it then; what it takes of the tables' engine and of the insertion channel.
    kinds: types of packets that look it up.
    """

    state: int
    entries: float
    bytes: float
    wait_cycles: float
    lookup_s: float
    insert_s: float
    kinds: frozenset[str] = frozenset()


class Rest(NamedTuple):
    """What no choice changes: issue and wait cycles of cores, seconds of the insertion channel."""

    issue_cycles: float = 0.0
    wait_cycles: float = 0.0
    insert_s: float = 0.0


class Room(NamedTuple):
    """Entries that the tables hold, tables that a packet may traverse, bytes of memory."""

    entries: float = inf
    chain: float = inf
    bytes: float = inf


def best_matched(
    states: Sequence[Matched],
    code: Mapping[frozenset[int], float],
    rest: Rest,
    room: Room,
    cores_s: Callable[[float, float], float],
) -> set[int] | None:
    """Those of the states for which the busiest of cores, engine and channel is least busy, and of
    equal choices that which takes least of all three; None where none has room.

    code: issue cycles for each packet that the tables save where they hold all of these states.
    cores_s: time of cores by issue and wait cycles; it falls with neither.
    """
    parts = [(cycles, needed) for needed, cycles in code.items() if needed]
    of_state = {
        each.state: [b for b, (_, needed) in enumerate(parts) if each.state in needed]
        for each in states
    }
    order = sorted(
        states,
        key=lambda each: (
            -each.wait_cycles - sum(parts[b][0] for b in of_state[each.state]),
            each.state,
        ),
    )
    #: Of each part of the code, states that stay with the cores.
    staying = [0] * len(parts)
    lengths = dict.fromkeys(sorted({kind for each in states for kind in each.kinds}), 0)
    chosen: list[int] = []
    best: set[int] | None = None
    least = (inf, inf)

    def descend(depth: int, engine: float, left: Rest, free: Room) -> None:
        """`left`: what is decided takes, if all states from this depth on go to the tables."""
        nonlocal best, least
        cores = cores_s(left.issue_cycles, left.wait_cycles)
        taken = (max(cores, engine, left.insert_s), cores + engine + left.insert_s)
        if taken >= least or free.entries < 0.0 or free.bytes < 0.0:
            return
        if depth == len(order):
            best, least = set(chosen), taken
            return
        each = order[depth]
        if all(lengths[kind] < free.chain for kind in each.kinds):
            for kind in each.kinds:
                lengths[kind] += 1
            chosen.append(each.state)
            descend(
                depth + 1,
                engine + each.lookup_s,
                left._replace(insert_s=left.insert_s + each.insert_s),
                free._replace(entries=free.entries - each.entries),
            )
            chosen.pop()
            for kind in each.kinds:
                lengths[kind] -= 1
        issue = left.issue_cycles
        for b in of_state[each.state]:
            issue += 0.0 if staying[b] else parts[b][0]
            staying[b] += 1
        descend(
            depth + 1,
            engine,
            left._replace(issue_cycles=issue, wait_cycles=left.wait_cycles + each.wait_cycles),
            free._replace(bytes=free.bytes - each.bytes),
        )
        for b in of_state[each.state]:
            staying[b] -= 1

    descend(0, 0.0, rest, room)
    return best
