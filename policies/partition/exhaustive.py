"""Every plan there is: the oracle of the search.

All sides of all states, all numbers of offloaded flows of the grid, all sets of blocks. Sets that
give the same paths are one plan; plans are fully priced in order of their cost at the host, so
that the first that serves ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import inf

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.path import NoPath, Path
from models.network_functions.plan import SPLIT, Plan
from models.network_functions.program import State
from policies.partition.goals import NO_SCORE, Goal, Score
from policies.partition.search import Found, all_options, offloaded_numbers


def exhaustive(
    model: CostModel, goal: Goal, options: Callable[[State], str] = all_options
) -> Found:
    """The best plan of all. nodes counts plans in the sense of a set of blocks each."""
    blocks = len(model.program.blocks)
    grid = offloaded_numbers(model.profile.flows)
    plans: list[tuple[Score, Plan]] = []
    nodes = 0
    for choice in product(*(options(state) for state in model.program.states)):
        sides = "".join(choice)
        numbers = grid if SPLIT in sides else (0.0,)
        nodes += len(numbers) * 2**blocks
        outcomes: dict[tuple[Path, ...], tuple[tuple[bool, ...], dict[str, Path]]] = {}
        for mask in product((True, False), repeat=blocks):
            found = model.paths(sides, mask)
            if not isinstance(found, NoPath):
                outcomes.setdefault(tuple(found.values()), (mask, found))
        for mask, found in outcomes.values():
            for offloaded in numbers:
                cycles = model.host_cycles(found, sides, offloaded)
                score = goal.score(model, cycles / model.cpu.clock_hz, 0.0)
                if score < NO_SCORE:
                    plans.append((score, Plan(sides, offloaded, mask)))
    plans.sort(key=lambda pair: pair[0])
    best: PlanCost | None = None
    least = NO_SCORE
    tie = (inf, "", 0.0)
    leaves = 0
    for score, plan in plans:
        if score > least:
            break
        leaves += 1
        cost = model.cost(plan)
        if isinstance(cost, NoPath):
            continue
        full = goal.score(model, cost.host_s, cost.nic_s)
        here = (cost.nic.stored_bytes, plan.sides, plan.offloaded)
        if full < NO_SCORE and (full, here) < (least, tie):
            best, least, tie = cost, full, here
    return Found(best, least, nodes, leaves)
