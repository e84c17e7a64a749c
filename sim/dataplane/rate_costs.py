"""Shares of packets and demands on resources, as rates need them."""

from __future__ import annotations

from collections.abc import Mapping

from models.network_functions.cost_model import CostModel, NoPath, PlanCost
from models.network_functions.plan import Plan
from models.network_functions.traffic import PACKET_TYPES, TrafficProfile
from models.network_functions.trip import Trips
from sim.dataplane.places import Places
from sim.dataplane.transition import entries_per_flow, moved_bytes

#: Where packets are dropped for want of a resource of the NIC; elsewhere in the queue of its cores.
_PLACE_OF = {"mac": "wire", "line": "wire", "match tables": "match tables"}
#: Resources of the NIC that its speed changes, by the beginnings of their names.
_SLOWED = ("cores", "threads", "memory ", "accelerator ")


def type_weights(profile: TrafficProfile, hit: float) -> dict[str, float]:
    """Share of each packet type; `hit`: of established packets, those of flows at the NIC."""
    edge = 1.0 / profile.packets_per_flow
    established = 1.0 - 2.0 * edge
    return {"EH": established * hit, "EM": established * (1.0 - hit), "N": edge, "T": edge}


def drop_place(resource: str) -> str:
    """Where packets are dropped that a resource of the NIC cannot serve."""
    return _PLACE_OF.get(resource, "accelerator" if resource.startswith("accelerator") else "nic")


def by_station(seconds: Mapping[str, float]) -> dict[str, float]:
    """Times for each packet by station; the port serves bytes and packets at once."""
    found = dict(seconds)
    found["wire"] = max(found.pop("mac"), found.pop("line"))
    return found


def nic_seconds(
    model: CostModel, cost: PlanCost, weights: Mapping[str, float], offloaded: int, speed: float
) -> dict[str, float]:
    """Time of each resource of the NIC for a packet, insertion channel and PCIe aside, with so many
    flows there; cores, memory and accelerators at `speed`. States are where the plan has put them.
    """
    number, levels = float(max(1, offloaded)) if cost.plan.split else 0.0, cost.nic.levels
    demand = model.at_nic.cost(cost.paths, weights, cost.plan.sides, number, 0.0, levels)
    assert not isinstance(demand, NoPath)
    return {
        key: seconds / speed if key.startswith(_SLOWED) else seconds
        for key, seconds in demand.seconds.items()
        if key not in ("inserts", "pcie bytes", "pcie packets")
    }


def inserted(trips: Trips, weights: Mapping[str, float]) -> tuple[float, float]:
    """Entries that packets put into tables of the NIC: mean of all, and most of any."""
    each = [trips.find(i, 0).inserts for i in range(len(PACKET_TYPES))]
    mean = sum(weights[kind] * count for kind, count in zip(PACKET_TYPES, each, strict=True))
    return mean, max(each)


def moving(model: CostModel, plan: Plan) -> tuple[float, float, float]:
    """Entries that move with a flow; time of a core for an entry, and of PCIe each way, since half
    of them go up and half down."""
    entries = entries_per_flow(model.program, plan)
    size = moved_bytes(model, plan) / entries if entries else 0.0
    core_s = model.stack.move_cycles / model.cpu.clock_hz
    return entries, core_s, 0.5 * size / model.nic.pcie_bandwidth_bytes_per_s


def flows_with(
    profile: TrafficProfile, places: Places, classes: frozenset[str], seconds: float
) -> float:
    """Flows that have a packet of these classes in that time, on average."""
    packets = profile.rate_pps * seconds
    edges = len(classes & {"N", "T"}) * packets / profile.packets_per_flow
    return edges + (places.touched(packets) if "E" in classes else 0.0)
