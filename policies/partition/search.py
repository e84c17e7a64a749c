"""Cora's search for a plan: branch and bound over the sides of states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import BOTH, CPU, SPLIT
from models.network_functions.program import State
from policies.partition.bounds import Relaxation
from policies.partition.goals import NO_SCORE, Goal, Score
from policies.partition.masks import best_blocks

#: Numbers of offloaded flows that a search tries first, before it refines the best.
OFFLOADED_GRID = (1e3, 3e3, 1e4, 3e4, 1e5, 2e5, 3e5, 5e5, 1e6)
#: Halvings of the interval around the best number of offloaded flows.
_HALVINGS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """A search's outcome. cost: of the best plan, None if no plan serves. score: by the goal.
    nodes: bounds and plans that were computed; leaves: plans."""

    cost: PlanCost | None
    score: Score
    nodes: int
    leaves: int


def all_options(state: State) -> str:
    """Every side that a state may be on."""
    return state.options


def split_options(state: State) -> str:
    """Sides where every state of flows is split, and shared states are at the host or copied."""
    if state.per_flow:
        return SPLIT
    return (BOTH if state.replicable else "") + CPU


def offloaded_numbers(flows: float) -> tuple[float, ...]:
    """The grid up to the number of active flows."""
    return tuple(number for number in OFFLOADED_GRID if number < flows) + (
        (flows,) if flows <= OFFLOADED_GRID[-1] else (OFFLOADED_GRID[-1],)
    )


class BranchAndBound:
    """The best plan of one model for a goal, among the sides that `options` allows a state.

    States are decided in order of what their accesses cost the host; a branch is left as soon as
    its bound is no better than the best plan yet, or its states overload the NIC. With `refine`,
    the number of offloaded flows is refined between its neighbours of the grid at the end: of the
    best plan, and of the best with all states of flows split, which may pass it.
    """

    def __init__(
        self,
        model: CostModel,
        goal: Goal,
        options: Callable[[State], str] = all_options,
        *,
        whole: bool = False,
        refine: bool = True,
    ) -> None:
        self.model = model
        self.goal = goal
        self.options = [options(state) for state in model.program.states]
        self.whole = whole
        self.refine = refine
        self._relaxation = Relaxation(model, whole)
        self._order = sorted(range(len(self.options)), key=lambda i: (-self._cost_of_state(i), i))
        self._best: PlanCost | None = None
        self._score = NO_SCORE
        #: Bytes at the NIC, sides and offloaded flows of the best: what decides among equal scores.
        self._tie = (inf, "", 0.0)
        self._nodes = 0
        self._leaves = 0

    def run(self) -> Found:
        """Search."""
        self._best, self._score, self._tie = None, NO_SCORE, (inf, "", 0.0)
        self._nodes = self._leaves = 0
        sides: list[str | None] = [None] * len(self.options)
        self._descend(0, sides, 0.0)
        if any(SPLIT in options for options in self.options):
            for offloaded in offloaded_numbers(self.model.profile.flows):
                self._descend(0, sides, offloaded)
        if self.refine:
            if self._best is not None and self._best.plan.split:
                self._refine(self._best)
            self._try_all_split()
        return Found(self._best, self._score, self._nodes, self._leaves)

    def _try_all_split(self) -> None:
        states = self.model.program.states
        sides = {
            state.name: "".join(side for side in split_options(state) if side in options)
            for state, options in zip(states, self.options, strict=True)
        }
        if not all(sides.values()) or list(sides.values()) == self.options:
            return
        found = BranchAndBound(
            self.model, self.goal, lambda state: sides[state.name], whole=self.whole
        ).run()
        self._nodes += found.nodes
        self._leaves += found.leaves
        if found.score < self._score:
            self._best, self._score = found.cost, found.score

    def _descend(self, depth: int, sides: list[str | None], offloaded: float) -> None:
        self._nodes += 1
        bound = self._relaxation.bound(sides, offloaded)
        if bound is None:
            return
        score = self.goal.score(self.model, bound.host_s, bound.nic_s)
        if score > self._score or score == NO_SCORE:
            return
        if score == self._score and bound.bytes > self._tie[0]:
            return
        if depth == len(sides):
            self._leaf("".join(side or "" for side in sides), offloaded, bound.nic_s)
            return
        state = self._order[depth]
        for side in self.options[state]:
            if side == SPLIT and not offloaded:
                continue
            sides[state] = side
            if not offloaded or SPLIT in sides or self._may_split(depth + 1):
                self._descend(depth + 1, sides, offloaded)
        sides[state] = None

    def _may_split(self, depth: int) -> bool:
        """Whether a state that is undecided at a depth could be split."""
        return any(SPLIT in self.options[i] for i in self._order[depth:])

    def _leaf(self, sides: str, offloaded: float, least_nic_s: float = 0.0) -> None:
        tie = (self.model.at_nic.states.stored_bytes(sides, offloaded), sides, offloaded)
        cost, score, priced = best_blocks(
            self.model,
            self.goal,
            sides,
            offloaded,
            below=self._score,
            or_equal=tie < self._tie,
            least_nic_s=least_nic_s,
            whole=self.whole,
        )
        self._nodes += priced
        self._leaves += priced
        if cost is not None:
            self._best, self._score, self._tie = cost, score, tie

    def _refine(self, best: PlanCost) -> None:
        """Halve the interval between the neighbours of the best number, towards the better half."""
        grid: Sequence[float] = (0.0, *offloaded_numbers(self.model.profile.flows))
        at = grid.index(best.plan.offloaded)
        low, high = grid[at - 1], grid[min(at + 1, len(grid) - 1)]
        centre = best.plan.offloaded
        for _ in range(_HALVINGS):
            better = False
            for number in (round((low + centre) / 2.0), round((centre + high) / 2.0)):
                if number in (0.0, low, centre, high):
                    continue
                before = self._score
                self._leaf(best.plan.sides, float(number))
                if self._score < before:
                    low, high = (low, centre) if number < centre else (centre, high)
                    centre = float(number)
                    better = True
                    break
            if not better:
                low, high = (low + centre) / 2.0, (centre + high) / 2.0

    def _cost_of_state(self, state: int) -> float:
        """Host cycles for each packet that accesses of a state take."""
        model = self.model
        name = model.program.states[state].name
        weights = model.weights(0.0)
        total = 0.0
        for packet, share in (("N", weights["N"]), ("E", weights["EM"]), ("T", weights["T"])):
            for b in model.program.executed(packet):
                uses = model.program.blocks[b].uses.get(name)
                if uses is not None:
                    total += share * uses.count * model.host.latency[name]
        return total
