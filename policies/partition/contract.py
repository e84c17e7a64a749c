"""The contract of partition policies: the offloading plan of a network function, and its flows.

A policy sees the program, the hardware and an *estimated* profile of the traffic; never the traffic
itself. The system applies a changed plan by moving entries, which takes its time; it charges the
search as `nodes` times the stack's `search_node_cycles` on a host core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.hardware.cpu_spec import CpuSpec
from models.hardware.smartnic_spec import SmartNicSpec
from models.network_functions.finding import Finding
from models.network_functions.packet_stack import PacketStack
from models.network_functions.plan import Plan
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile


class PartitionView(Protocol):
    """What a policy sees of a data path."""

    @property
    def program(self) -> Program:
        """The network function."""
        ...

    @property
    def profile(self) -> TrafficProfile:
        """The traffic as estimated from counters and sketches."""
        ...

    @property
    def nic(self) -> SmartNicSpec:
        """The NIC."""
        ...

    @property
    def cpu(self) -> CpuSpec:
        """The host's processor."""
        ...

    @property
    def stack(self) -> PacketStack:
        """Costs of the host's software."""
        ...

    @property
    def cores(self) -> float:
        """Host cores that packets may use."""
        ...

    @property
    def plan(self) -> Plan | None:
        """The plan in force; None before the first."""
        ...

    @property
    def overloaded(self) -> bool:
        """Whether packets were dropped since the last decision."""
        ...

    @property
    def hit_share(self) -> float | None:
        """Of packets neither first nor last of their flow, those of flows whose entries of split
        states were at the NIC, since the last decision or the end of the change that it made; None
        where it is not known."""
        ...

    @property
    def finding(self) -> Finding | None:
        """How flows for the NIC are found; None where popular ones are known."""
        ...

    def change_s(self, plan: Plan) -> float:
        """Estimated seconds from the plan in force to this one, beside the packets; inf where the
        moves would not end, or a resource does not hold the rate meanwhile."""
        ...

    def member_rates(self) -> Mapping[int, float]:
        """Estimated packets a second of the offloaded flows, by flow."""
        ...

    def candidate_rates(self) -> Mapping[int, float]:
        """Estimated packets a second of the heaviest flows that are not offloaded, by flow."""
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What changes. plan: the new plan, None to keep the one in force. swaps: pairs of an offloaded
    flow that goes to the host and a flow that takes its place. nodes: of the search that led here.
    """

    plan: Plan | None = None
    swaps: Sequence[tuple[int, int]] = ()
    nodes: int = 0


class Partition(Protocol):
    """Decides the plan. Asked once before the first packet, then at each decision interval.

    A policy whose first plan stays whatever it is asked says so by `keeps_plan = True`. Raises
    CapacityError where its family has no plan for the program."""

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        """What changes now."""
        ...
