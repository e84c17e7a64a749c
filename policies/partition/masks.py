"""Which blocks to take off the NIC, once it is decided where states are: exact.

Taking a block off never makes the host's part smaller. So outcomes (the paths of all packet types)
are visited in order of their cost at the host, each once; many sets of blocks have the same paths.
"""

from __future__ import annotations

from heapq import heappop, heappush

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.path import NoPath, Path
from models.network_functions.plan import Plan
from policies.partition.goals import NO_SCORE, Goal, Score


def best_blocks(
    model: CostModel,
    goal: Goal,
    sides: str,
    offloaded: float,
    *,
    below: Score,
    or_equal: bool = False,
    least_nic_s: float = 0.0,
    whole: bool = False,
) -> tuple[PlanCost | None, Score, int]:
    """The best plan with these sides that scores under `below`, or the same with `or_equal` (None
    if there is none), its score, and how many plans were priced. least_nic_s: bound on what any of
    them takes of the NIC."""
    every = (True,) * len(model.program.blocks)
    found = model.paths(sides, every, whole)
    if isinstance(found, NoPath):
        return None, NO_SCORE, 0
    seen = {_outcome(found)}
    waiting = [(model.host_cycles(found, sides, offloaded), every)]
    priced = 0
    best: PlanCost | None = None
    while waiting:
        cycles, mask = heappop(waiting)
        bound = goal.score(model, cycles / model.cpu.clock_hz, least_nic_s)
        if bound == NO_SCORE or bound > below or (bound == below and not or_equal):
            break
        priced += 1
        cost = model.cost(Plan(sides, offloaded, mask, whole))
        if isinstance(cost, PlanCost):
            score = goal.score(model, cost.host_s, cost.nic_s)
            if score < below or (or_equal and score == below != NO_SCORE):
                best, below, or_equal = cost, score, False
        paths = model.paths(sides, mask, whole)
        assert not isinstance(paths, NoPath)
        for b in sorted({b for path in paths.values() for b in path.nic}, reverse=True):
            less = (*mask[:b], False, *mask[b + 1 :])
            found = model.paths(sides, less, whole)
            if isinstance(found, NoPath) or _outcome(found) in seen:
                continue
            seen.add(_outcome(found))
            heappush(waiting, (model.host_cycles(found, sides, offloaded), less))
    return best, below if best is not None else NO_SCORE, priced


def _outcome(found: dict[str, Path]) -> tuple[Path, ...]:
    return tuple(found.values())
