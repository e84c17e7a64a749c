"""What carries the packets, one by one or as rates: what the runtime and the figures see of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.network_functions.cost_model import PlanCost
from models.network_functions.sketch import Integers
from sim.core.result import Value
from sim.dataplane.counts import Latencies
from sim.dataplane.transition import PricedStage


class Totals(NamedTuple):
    """Counts from the start of a run. new, ended: flows. crossed_bytes: of packets that crossed
    PCIe; crossing_bytes: with what the bus adds, and of entries that moved. work_s: of host cores,
    at full speed; memory_bytes: to and from the host's memory, for packets. established: packets
    neither first nor last of their flow; hits: of these, of flows whose entries of split states are
    at the NIC."""

    arrived: float
    arrived_bytes: float
    new: float
    ended: float
    left: float
    left_bytes: float
    crossed_bytes: float
    crossing_bytes: float
    dropped: Mapping[str, float]
    work_s: float
    memory_bytes: float
    established: float
    hits: float

    @property
    def all_dropped(self) -> float:
        """Packets dropped anywhere."""
        return sum(self.dropped.values())


class Carrier(Protocol):
    """Carries packets under a plan, and carries out changes of it."""

    def start(self, now_s: float) -> None:
        """Let the packets come."""
        ...

    @property
    def idle(self) -> bool:
        """Whether no packet is left to come or under way."""
        ...

    def totals(self, now_s: float) -> Totals:
        """Counts from the start until now."""
        ...

    def busy_s(self, now_s: float) -> Mapping[str, float]:
        """Seconds of work until now by resource of the NIC; of several servers, the mean."""
        ...

    @property
    def latencies(self) -> list[Latencies]:
        """By packet type; empty where packets are not followed."""
        ...

    def forget_latencies(self) -> None:
        """Measure them anew."""
        ...

    def counts(self) -> Mapping[str, Value]:
        """Other figures at the end of a run."""
        ...

    def check(self) -> None:
        """Raise LawBroken where packets were lost or made."""
        ...

    def snapshot(self) -> dict[str, object]:
        """Who waits where."""
        ...

    def merge(self, now_s: float) -> None:
        """Merge the copies of counters that both sides keep."""
        ...

    def provide(self, count: int, speed: float, memory_bytes_per_s: float) -> None:
        """Serve with so many host cores of that speed, and so much of the memory's bandwidth, from
        now on."""
        ...

    def provide_nic(self, speed: float) -> None:
        """The NIC works at so many times its specified speed from now on; at 0 it has failed:
        what is under way there is lost, what comes is dropped. Its tables stay."""
        ...

    def provide_pcie(self, up: float, down: float) -> None:
        """Cross PCIe at so large a part of its bandwidth from now on."""
        ...

    # Flows at the NIC

    @property
    def offloaded(self) -> int:
        """Flows whose entries of split states are at the NIC."""
        ...

    def hold(self, flows: Integers) -> NDArray[np.bool_]:
        """Of each of these flows, whether its are."""
        ...

    def top_hits(self, number: int) -> list[float]:
        """Packets at the NIC of the most popular flows there since `forget_hits`."""
        ...

    def slowest(self, number: int) -> dict[int, float]:
        """The flows at the NIC with fewest packets since then, and how many."""
        ...

    def forget_hits(self, now_s: float) -> None:
        """Count hits anew."""
        ...

    # Decisions

    @property
    def changing(self) -> bool:
        """Whether a change of sides is under way."""
        ...

    def change(
        self, now_s: float, stages: Sequence[PricedStage], done: Callable[[float], None]
    ) -> None:
        """Go through the stages to another plan; `done(time_s)` is called when it is in force."""
        ...

    def retune(self, now_s: float, cost: PlanCost) -> None:
        """Follow a plan with the same sides, with another number of flows at the NIC."""
        ...

    def move(self, now_s: float, flows: Mapping[int, bool]) -> None:
        """Move entries of flows: to the NIC where True."""
        ...
