"""Which memory level holds each state: exact, by branch and bound.

A generalised assignment problem of at most a dozen states and a handful of levels; a solver of
integer programs gives the same answer, but takes a thousand times as long to start.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf


def place(
    costs: Sequence[Sequence[float | None]],
    sizes: Sequence[Sequence[float]],
    capacities: Sequence[float],
) -> tuple[int, ...] | None:
    """The cheapest level for each item, or None if they do not fit.

    costs[i][m]: of item i at level m, None where it may not be there; sizes[i][m]: what it takes
    there; capacities[m]: what the level has.
    """
    count = len(costs)
    options = [
        sorted((cost, m) for m, cost in enumerate(row) if cost is not None and cost < inf)
        for row in costs
    ]
    if not all(options):
        return None
    # Those that lose most by their second choice first, then the largest.
    order = sorted(range(count), key=lambda i: (-_regret(options[i]), -max(sizes[i]), i))
    rest = [0.0] * (count + 1)
    for depth in range(count - 1, -1, -1):
        rest[depth] = rest[depth + 1] + options[order[depth]][0][0]
    free = list(capacities)
    chosen = [-1] * count
    best: tuple[int, ...] | None = None
    least = inf

    def descend(depth: int, spent: float) -> None:
        nonlocal best, least
        if spent + rest[depth] >= least:
            return
        if depth == count:
            best, least = tuple(chosen), spent
            return
        item = order[depth]
        for cost, level in options[item]:
            size = sizes[item][level]
            if size <= free[level]:
                free[level] -= size
                chosen[item] = level
                descend(depth + 1, spent + cost)
                free[level] += size

    descend(0, 0.0)
    return best


def _regret(options: list[tuple[float, int]]) -> float:
    return options[1][0] - options[0][0] if len(options) > 1 else inf
