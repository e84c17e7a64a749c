"""From one plan to another whose states are on other sides, in stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import CPU, NIC, SPLIT, Plan
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile
from sim.dataplane.copies import Copy, copies, entry_bytes, moves_by_flow


class Stage(NamedTuple):
    """A plan that is in force until `target` flows (inf: all) have their entries at the NIC.

    copied: entries that are copied before. begins: flows whose entries are at the
    NIC as the stage begins: "none", "all", or "same" as before.
    """

    plan: Plan
    copied: Sequence[Copy]
    begins: str
    target: float


class PricedStage(NamedTuple):
    """A stage with what its plan costs."""

    cost: PlanCost
    copied: Sequence[Copy]
    begins: str
    target: float


def entries_per_flow(program: Program, plan: Plan) -> float:
    """Entries of split states that move with a flow."""
    return sum(
        state.entries_per_flow or 0.0
        for state, side in zip(program.states, plan.sides, strict=True)
        if side == SPLIT
    )


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
    split = list(after.sides)
    kept = False
    for i, state in enumerate(program.states):
        old, new = before.sides[i], after.sides[i]
        if moves_by_flow(state):
            kept = kept or old == new == SPLIT
            if old != new:
                ways.add((old, new))
                split[i] = SPLIT
    flows = float(profile.flows)
    share = min(1.0, before.offloaded / flows)

    def stage(plan: Plan, begins: str, target: float, whole: bool = False) -> Stage:
        at_nic = {"none": 0.0, "all": 1.0, "same": share}[begins]
        copied = tuple(copies(program, profile, before, after, at_nic, whole))
        return Stage(plan, copied, begins, target)

    if len(ways) == 1 and not kept:
        ((old, new),) = ways
        here = "none" if old == CPU else "all" if old == NIC else "same"
        if new == SPLIT:
            return [stage(after, here, after.offloaded)]
        way = replace(after, sides="".join(split), offloaded=flows)
        target = inf if new == NIC else 0.0
        if possible(way):
            return [stage(way, here, target), Stage(after, (), "none", 0.0)]
    if not ways:
        return [stage(after, "same", after.offloaded)]
    return [stage(after, "same" if after.split else "none", after.offloaded, whole=True)]
