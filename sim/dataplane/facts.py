"""Facts of the data path; `system`: its name."""

from __future__ import annotations

from typing import NamedTuple

from models.network_functions.plan import Plan


class PacketLeft(NamedTuple):
    """A packet (or burst) left by the port, its latency after it came (for a burst, that over its
    packets). `number` counts those that began their way, kind is its type."""

    time_s: float
    flow: int
    number: int
    kind: str
    latency_s: float


class PacketDropped(NamedTuple):
    """A packet (or burst) was dropped at this place."""

    time_s: float
    flow: int
    number: int
    place: str


class FlowMoved(NamedTuple):
    """A flow's entries changed sides; packets that came meanwhile were held."""

    start_s: float
    end_s: float
    flow: int
    to_nic: bool
    held: int
    system: str


class PlanDecided(NamedTuple):
    """A plan was asked for, and decided after a search of so many nodes; it is carried out from
    `end_s` on. The first is compiled before the first packet, at no time. bound_by: what sets its
    highest rate by the cost model, in words."""

    start_s: float
    end_s: float
    plan: Plan
    nodes: int
    bound_by: str
    system: str


class PlanCarriedOut(NamedTuple):
    """A plan is in force from `end_s` on, after its decision and what had to be copied for it."""

    start_s: float
    end_s: float
    plan: Plan
    system: str


class EpochEnded(NamedTuple):
    """What an epoch saw: rates a second, host cores at work and provided, flows at the NIC."""

    start_s: float
    end_s: float
    offered_pps: float
    delivered_pps: float
    dropped_pps: float
    busy_cores: float
    cores: int
    offloaded: int
    system: str
