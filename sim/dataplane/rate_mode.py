"""Packets as rates, by the same costs: for minutes of traffic, in steps of an epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import simpy
from numpy.typing import NDArray

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.sketch import Integers
from models.network_functions.traffic import TrafficProfile
from sim.core.errors import LawBroken
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.dataplane import rate_costs
from sim.dataplane.carrier import Totals
from sim.dataplane.copies import copy_work, merged
from sim.dataplane.counts import Latencies
from sim.dataplane.limits import QueueLimits
from sim.dataplane.monitor import Monitor
from sim.dataplane.phases import PhasedTraffic
from sim.dataplane.rate_flow import RateFlow
from sim.dataplane.transition import PricedStage


class RateMode:
    """Carries out decisions on a `RateFlow` (a `Carrier` that knows rates, not packets).

    by_rank, monitor: as in `PacketPath`. free: with by_rank, changes of plan and of popularity move
    entries at once and for nothing.
    """

    def __init__(
        self,
        simulation: Simulation,
        traffic: PhasedTraffic,
        model: CostModel,
        cost: PlanCost,
        limits: QueueLimits,
        monitor: Monitor,
        *,
        by_rank: bool,
        free: bool = False,
        rng: np.random.Generator,
    ) -> None:
        self._simulation = simulation
        self._limits = limits
        self._monitor = monitor
        self._by_rank = by_rank
        self._free = free
        self._stages: deque[PricedStage] = deque()
        self._switching = False
        self._forgotten = 0.0
        self.flow = RateFlow(
            simulation.now,
            traffic,
            model,
            cost,
            limits,
            monitor,
            by_rank=by_rank,
            free=free,
            rng=rng,
            stepped=self._check_stage,
            installing=lambda: len(self._stages) > 1,
        )
        self.places = self.flow.places
        self.load = self.flow.load

    def true_profile(self) -> TrafficProfile:
        """The traffic as it is."""
        self.flow.advance(self._simulation.now)
        return self.flow.phase.profile

    def start(self, now_s: float) -> None:
        """Nothing to do: packets are counted when they are asked for."""

    @property
    def idle(self) -> bool:
        """Rates never end."""
        return False

    @property
    def latencies(self) -> list[Latencies]:
        """None: packets are not followed."""
        return []

    def forget_latencies(self) -> None:
        """Nothing to forget."""

    def totals(self, now_s: float) -> Totals:
        """Counts from the start until now."""
        flow = self.flow
        flow.advance(now_s)
        sums, each_bytes = flow.sums, flow.phase.profile.packet_bytes
        return Totals(
            sums["arrived"],
            sums["bytes"],
            sums["new"],
            sums["new"],
            sums["left"],
            sums["left bytes"],
            sums["crossed"] * each_bytes,
            sums["crossed"] * (each_bytes + flow.model.stack.crossing_bytes)
            + flow.pcie.moved_s * flow.model.nic.pcie_bandwidth_bytes_per_s,
            dict(flow.dropped),
            flow.host.work_s,
            flow.host.memory_bytes,
            sums["established"],
            sums["hits"],
        )

    def busy_s(self, now_s: float) -> Mapping[str, float]:
        """Seconds of work until now by resource of the NIC."""
        flow = self.flow
        flow.advance(now_s)
        return {"inserts": flow.channel.busy_s, "pcie up": flow.pcie.busy_s, **flow.busy}

    def counts(self) -> Mapping[str, Value]:
        """Other figures at the end of a run."""
        waiting = self.flow.waiting + self.flow.pcie.waiting
        return {"packets_under_way": waiting, "flows_moved": self.flow.sums["moved"]}

    def check(self) -> None:
        """Raise LawBroken unless packets in = out + dropped + waiting, to rounding."""
        flow = self.flow
        arrived = flow.sums["arrived"]
        out = flow.sums["left"] + sum(flow.dropped.values()) + flow.waiting + flow.pcie.waiting
        if abs(arrived - out) > 1e-6 * arrived:
            raise LawBroken(f"packets in = out + dropped + waiting: {arrived} and {out}")

    def snapshot(self) -> dict[str, object]:
        """What waits where."""
        keys = ("nic", "pcie", "host", "inserts", "moves")
        flow = self.flow
        waits = (flow.waiting, flow.pcie.waiting, flow.host.waiting_s, flow.channel.waiting)
        return dict(zip(keys, (*waits, len(flow.asked)), strict=True))

    def merge(self, now_s: float) -> None:
        """A core merges the copies of counters that both sides keep."""
        flow = self.flow
        entries, size = merged(flow.model, flow.cost.plan)
        flow.host.moving_s += entries * self._monitor.settings.merge_cycles * flow.cycles_s
        flow.pcie.moving_s += size / flow.model.nic.pcie_bandwidth_bytes_per_s

    def provide(self, count: int, speed: float, memory_bytes_per_s: float) -> None:
        """Serve with so many host cores of that speed, and so much of the memory's bandwidth, from
        now on."""
        self.flow.advance(self._simulation.now)
        host = self.flow.host
        host.count, host.speed, host.memory_bytes_per_s = count, speed, memory_bytes_per_s

    def provide_nic(self, speed: float) -> None:
        """The NIC works at that speed from now on; at 0 what waits there is lost."""
        flow = self.flow
        flow.advance(self._simulation.now)
        flow.nic_speed = speed
        if not speed:
            flow.dropped["down"] += flow.waiting + flow.pcie.waiting
            flow.waiting = flow.pcie.waiting = 0.0

    def provide_pcie(self, up: float, down: float) -> None:
        """Cross PCIe at so large a part of its bandwidth from now on."""
        self.flow.advance(self._simulation.now)
        self.flow.pcie.speed = max(1e-9, min(up, down))

    @property
    def offloaded(self) -> int:
        """Flows whose entries are at the NIC."""
        return self.places.members

    def hold(self, flows: Integers) -> NDArray[np.bool_]:
        """Whether its are, or it has ended, so that nothing is to be done for it."""
        return ~self.places.current(flows) | self.places.member[flows % self.places.flows]

    def top_hits(self, number: int) -> list[float]:
        """Packets at the NIC of the most popular flows there."""
        cost = self.flow.cost
        crosses = cost.paths["EM"].crosses
        everyone = cost.plan.counts_flows(self.flow.model.program) and not crosses
        packets = self.flow.sums["established"] - self._forgotten
        return self.places.top_counts(packets, number, everyone)

    def slowest(self, number: int) -> dict[int, float]:
        """The flows at the NIC with fewest packets."""
        return self.places.slowest(self.flow.sums["established"] - self._forgotten, number)

    def forget_hits(self, now_s: float) -> None:
        """Count hits anew."""
        self.flow.advance(now_s)
        self._forgotten = self.flow.sums["established"]

    @property
    def changing(self) -> bool:
        """Whether a change of sides is under way."""
        return bool(self._stages)

    def change(
        self, now_s: float, stages: Sequence[PricedStage], done: Callable[[float], None]
    ) -> None:
        """Go through the stages to another plan."""
        self.flow.advance(now_s)
        if self._free:
            self.retune(now_s, stages[-1].cost)
            done(now_s)
            return
        self._done, self._stages, self._switching = done, deque(stages), True
        self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        """The next stage: copy, switch."""
        stage, flow = self._stages[0], self.flow
        touched = partial(rate_costs.flows_with, flow.phase.profile, self.places)
        work = copy_work(flow.model, stage.copied, self._limits, touched)
        flow.channel.waiting += work.to_nic
        flow.host.moving_s += (work.to_nic + work.from_nic) * flow.move_s
        flow.pcie.moving_s += work.up_bytes / flow.model.nic.pcie_bandwidth_bytes_per_s
        self._simulation.at(now_s + work.lasts_s, self._switched)

    def _switched(self, _: simpy.Event) -> None:
        """The stage's plan is in force: bring the flows where it wants them."""
        now, flow = self._simulation.now, self.flow
        flow.advance(now)
        stage = self._stages[0]
        if stage.copied and flow.channel.late_s:
            self._simulation.at(now + flow.channel.late_s, self._switched)
            return
        self._switching = False
        flow.use(stage.cost)
        if stage.begins == "all":
            self.places.set(self.places.place_of_rank, True)
        elif stage.begins == "none":
            self.places.clear()
        flow.target = int(min(stage.target, self.places.flows))
        if len(self._stages) == 1:
            self._stages.clear()
            self._done(now)
        self._fit(now)

    def _check_stage(self) -> None:
        """Go on to the next stage, if all flows are where the present one wants them."""
        there = self.places.members == self.flow.target
        if there and len(self._stages) > 1 and not self._switching:
            self._stages.popleft()
            self._switching = True
            self._simulation.at(self._simulation.now, lambda _: self._begin(self._simulation.now))

    def retune(self, now_s: float, cost: PlanCost) -> None:
        """Another number of flows at the NIC."""
        self.flow.advance(now_s)
        self.flow.use(cost)
        self._fit(now_s)

    def move(self, now_s: float, flows: Mapping[int, bool]) -> None:
        """Move entries of flows, one after the other."""
        self.flow.advance(now_s)
        self.flow.asked.ask_each(flows)

    def _fit(self, now_s: float) -> None:
        """Take the surplus off the NIC; where that is free, all flows are where they belong."""
        if self._free:
            self.places.deal(self.flow.target)
        elif self._by_rank or len(self._stages) > 1:
            gone = self.places.beyond(self.flow.target)
            self.flow.asked.ask(self.places.flows_at(gone), np.zeros(len(gone), bool))
        else:
            surplus = max(0, self.places.members - self.flow.target)
            self.move(now_s, dict.fromkeys(self.slowest(surplus), False))
