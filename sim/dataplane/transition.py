"""From one plan to another whose states are on other sides, in stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import NamedTuple

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import CPU, NIC, SPLIT, Plan
from models.network_functions.program import Program, State
from models.network_functions.traffic import TrafficProfile

#: Rounds of copying before the last, at most.
_ROUNDS = 8


class Stage(NamedTuple):
    """A plan that is in force until `target` flows (inf: all) have their entries at the NIC.

    copied: entries of shared states that are copied before. begins: flows whose entries are at the
    NIC as the stage begins: "none", "all", or "same" as before.
    """

    plan: Plan
    copied: float
    begins: str
    target: float


class PricedStage(NamedTuple):
    """A stage with what its plan costs."""

    cost: PlanCost
    copied: float
    begins: str
    target: float


def entries_per_flow(program: Program, plan: Plan) -> float:
    """Entries of split states that move with a flow."""
    return sum(
        state.entries_per_flow or 0.0
        for state, side in zip(program.states, plan.sides, strict=True)
        if side == SPLIT
    )


def entry_bytes(model: CostModel, state: State) -> float:
    """Bytes over PCIe for an entry of a state that is moved by itself."""
    return state.entry_bytes + model.stack.crossing_bytes


def moved_bytes(model: CostModel, plan: Plan) -> float:
    """Bytes over PCIe for the entries of split states that move with a flow."""
    return sum(
        (state.entries_per_flow or 0.0) * entry_bytes(model, state)
        for state, side in zip(model.program.states, plan.sides, strict=True)
        if side == SPLIT
    )


def stages(
    program: Program,
    profile: TrafficProfile,
    before: Plan,
    after: Plan,
    possible: Callable[[Plan], bool],
) -> list[Stage]:
    """The way from one plan to the other.

    States of flows that change sides are split meanwhile, so that flow after flow goes over, each
    with all its entries. Where states go different ways, or no plan does for the time between,
    all entries are copied while the old plan is in force. What leaves the NIC as a whole is read
    by the host, and its table is dropped.
    """
    ways: set[tuple[str, str]] = set()
    copied = everything = 0.0
    split = list(after.sides)
    kept = False
    for i, state in enumerate(program.states):
        old, new = before.sides[i], after.sides[i]
        if _moves_by_flow(state):
            kept = kept or old == new == SPLIT
            if old != new:
                ways.add((old, new))
                split[i] = SPLIT
        if old != new and new != CPU and old in (CPU, SPLIT):
            entries = state.entries_of(profile)
            everything += entries
            if not _moves_by_flow(state):
                copied += entries
    flows = float(profile.flows)
    end = Stage(after, 0.0, "none", 0.0)
    if len(ways) == 1 and not kept:
        old, new = ways.pop()
        here = "none" if old == CPU else "all" if old == NIC else "same"
        if new == SPLIT:
            return [Stage(after, copied, here, after.offloaded)]
        way = replace(after, sides="".join(split), offloaded=flows)
        target = inf if new == NIC else 0.0
        if possible(way):
            return [Stage(way, copied, here, target), end]
    if not ways:
        return [Stage(after, copied, "same", after.offloaded)]
    return [Stage(after, everything, "same" if after.split else "none", after.offloaded)]


def copy_rounds(
    entries: float,
    inserts_per_s: float,
    round_trip_s: float,
    few: float,
    changed: Callable[[float], float],
) -> tuple[float, float]:
    """Entries copied in all, and seconds until no more than a few are left and these are copied,
    too. changed(seconds): entries that are changed in that time."""
    copied = lasts_s = 0.0
    left = entries
    for _ in range(_ROUNDS):
        if left <= few:
            break
        seconds = left / inserts_per_s + round_trip_s
        copied += left
        lasts_s += seconds
        left = min(left, changed(seconds))
    return copied + left, lasts_s + left / inserts_per_s + round_trip_s


def _moves_by_flow(state: State) -> bool:
    return state.per_flow and state.consistency == "rmw"
