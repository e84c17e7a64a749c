"""How long a change of plan takes beside the packets, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, log

from models.network_functions.cost_model import CostModel, NoPath, PlanCost
from sim.dataplane.copies import copy_work
from sim.dataplane.limits import QueueLimits
from sim.dataplane.transition import Stage, entries_per_flow, moved_bytes


def change_s(
    model: CostModel,
    before: PlanCost,
    way: Sequence[Stage],
    held: float,
    limits: QueueLimits,
    *,
    found: bool,
) -> float:
    """Seconds from the plan in force through the stages, until all flows are where the last wants
    them; inf where the moves would not end beside flows that begin and end, or a resource that
    holds the rate now does not hold it meanwhile. held: flows whose entries are at the NIC. found:
    flows for the last plan come as they are found, which is not part of the change.

    Where the plan in force does not hold the rate, moves take their share of what there is."""
    flows = model.profile.flows
    holds = _holds(model, before)
    total, cost = 0.0, before
    for number, stage in enumerate(way):
        if stage.copied:
            total += _copied_s(model, cost, stage, limits, holds)
        held = {"all": flows, "none": 0.0, "same": held}[stage.begins]
        target = min(stage.target, flows) if stage.plan.split else held
        if found and number == len(way) - 1:
            target = min(target, held)
        slowest_s = 0.0
        for at_nic in (held, target):
            end = model.cost(
                replace(stage.plan, offloaded=at_nic) if stage.plan.split else stage.plan
            )
            if isinstance(end, NoPath) or (holds and not _holds(model, end)):
                return inf
            cost = end
            if holds:
                slowest_s = max(slowest_s, _shared_s(model, cost, abs(target - held)))
        total += max(slowest_s, _channel_s(model, cost, held, target))
        held = target
    return total


def _holds(model: CostModel, cost: PlanCost) -> bool:
    """Whether host and NIC hold the rate, the insertion channel aside."""
    rate, most = model.profile.rate_pps, model.stack.most_utilisation * (1.0 + 1e-12)
    busiest = max(s for key, s in cost.nic.seconds.items() if key != "inserts")
    return rate * busiest <= most and rate * cost.host_s <= most * model.cores


def _copied_s(
    model: CostModel, cost: PlanCost, stage: Stage, limits: QueueLimits, holds: bool
) -> float:
    """Seconds of copying under the plan in force; where the rate is held, with what it leaves of
    the insertion channel."""
    profile = model.profile

    def changed(classes: frozenset[str], lasts_s: float) -> float:
        """At most: packets of established flows are of different ones."""
        packets = profile.rate_pps * lasts_s
        edges = len(classes & {"N", "T"}) * packets / profile.packets_per_flow
        return edges + (min(packets, profile.flows) if "E" in classes else 0.0)

    work = copy_work(model, stage.copied, limits, changed)
    room = model.nic.inserts_per_s - profile.rate_pps * cost.inserts
    return max(work.lasts_s, _seconds(work.to_nic, room) if holds else 0.0)


def _channel_s(model: CostModel, cost: PlanCost, held: float, target: float) -> float:
    """Seconds of the insertion channel, beside entries of flows that begin and end: a flow that
    ends on its way from the NIC is out as well, and one on its way there comes and goes."""
    sides, rate = cost.plan.sides, model.profile.rate_pps
    entries = entries_per_flow(model.program, cost.plan)

    def room(at_nic: float) -> float:
        return model.nic.inserts_per_s - rate * model.inserts(cost.paths, sides, at_nic)

    if target <= held:
        return _seconds((held - target) * entries, room(target))
    least = room(target)
    if not least > 0.0:
        return inf
    # The room falls in proportion to the flows that are there.
    return (target - held) * entries * log(room(held) / least) / (room(held) - least)


def _shared_s(model: CostModel, cost: PlanCost, moved: float) -> float:
    """Seconds that cores and PCIe take for so many flows, with what packets leave of them."""
    rate, most = model.profile.rate_pps, model.stack.most_utilisation
    core_s = moved * entries_per_flow(model.program, cost.plan)
    core_s *= model.stack.move_cycles / model.cpu.clock_hz
    pcie_s = moved * moved_bytes(model, cost.plan) / model.nic.pcie_bandwidth_bytes_per_s
    return max(
        _seconds(core_s, most * model.cores - rate * cost.host_s),
        _seconds(pcie_s, most - rate * cost.nic.seconds["pcie bytes"]),
    )


def _seconds(work: float, room: float) -> float:
    if not work > 0.0:
        return 0.0
    return work / room if room > 0.0 else inf
