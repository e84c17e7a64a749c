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
from models.network_functions.trip import Trips
from sim.core.errors import LawBroken
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.dataplane import rate_costs
from sim.dataplane.asked_moves import AskedMoves
from sim.dataplane.carrier import Totals
from sim.dataplane.copies import copy_work, merged
from sim.dataplane.counts import PLACES, Latencies
from sim.dataplane.fluids import ChannelFluid, HostFluid, NicLoad, PcieFluid
from sim.dataplane.limits import QueueLimits
from sim.dataplane.monitor import Monitor
from sim.dataplane.phases import PhasedTraffic
from sim.dataplane.places import Places
from sim.dataplane.transition import PricedStage


class RateMode:
    """A `Carrier` that knows rates, not packets.

    Between two moments at which anything is asked, rates are constant: what comes is served at the
    rate of the busiest resource, by the cost model and with the flows that are at the NIC now; what
    waits is a fluid with the places of the queues, and the rest is dropped. Flows end and begin at
    random, as packets would have them do. by_rank, monitor: as in `PacketPath`. free: with by_rank,
    changes of plan and of popularity move entries at once and for nothing.
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
        self._model = model
        self._limits = limits
        self._monitor = monitor
        self._by_rank = by_rank
        self._free = free
        self._rng = rng
        self._phases = deque(traffic.phases)
        self._phase = self._phases.popleft()
        self.places = Places(self._phase.profile, rng)
        self._asked = AskedMoves(self.places)
        self._at_s = simulation.now
        self._host = HostFluid(limits.ring)
        self._stages: deque[PricedStage] = deque()
        self._switching = False
        self._forgotten = self._waiting = 0.0
        self._sums = dict.fromkeys(("arrived", "bytes", "new", "established", "hits"), 0.0)
        self._sums |= dict.fromkeys(("left", "left bytes", "crossed", "moved"), 0.0)
        self._dropped = dict.fromkeys(PLACES, 0.0)
        self._busy: dict[str, float] = {}
        self._channel = ChannelFluid(limits.inserts, model.nic.inserts_per_s)
        self._pcie = PcieFluid(limits.pcie)
        self._nic_speed = 1.0
        self.load = NicLoad(simulation.now)
        self._use(cost)
        self.places.deal(self._target)

    def true_profile(self) -> TrafficProfile:
        """The traffic as it is."""
        self._advance(self._simulation.now)
        return self._phase.profile

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
        self._advance(now_s)
        sums, each_bytes = self._sums, self._phase.profile.packet_bytes
        return Totals(
            sums["arrived"],
            sums["bytes"],
            sums["new"],
            sums["new"],
            sums["left"],
            sums["left bytes"],
            sums["crossed"] * each_bytes,
            sums["crossed"] * (each_bytes + self._model.stack.crossing_bytes)
            + self._pcie.moved_s * self._model.nic.pcie_bandwidth_bytes_per_s,
            dict(self._dropped),
            self._host.work_s,
            sums["established"],
            sums["hits"],
        )

    def busy_s(self, now_s: float) -> Mapping[str, float]:
        """Seconds of work until now by resource of the NIC."""
        self._advance(now_s)
        return {"inserts": self._channel.busy_s, "pcie up": self._pcie.busy_s, **self._busy}

    def counts(self) -> Mapping[str, Value]:
        """Other figures at the end of a run."""
        waiting = self._waiting + self._pcie.waiting
        return {"packets_under_way": waiting, "flows_moved": self._sums["moved"]}

    def check(self) -> None:
        """Raise LawBroken unless packets in = out + dropped + waiting, to rounding."""
        arrived = self._sums["arrived"]
        out = self._sums["left"] + sum(self._dropped.values()) + self._waiting + self._pcie.waiting
        if abs(arrived - out) > 1e-6 * arrived:
            raise LawBroken(f"packets in = out + dropped + waiting: {arrived} and {out}")

    def snapshot(self) -> dict[str, object]:
        """What waits where."""
        keys = ("nic", "pcie", "host", "inserts", "moves")
        waits = (self._waiting, self._pcie.waiting, self._host.waiting_s, self._channel.waiting)
        return dict(zip(keys, (*waits, len(self._asked)), strict=True))

    def merge(self, now_s: float) -> None:
        """A core merges the copies of counters that both sides keep."""
        entries, size = merged(self._model, self._cost.plan)
        self._host.moving_s += entries * self._monitor.settings.merge_cycles * self._cycles_s
        self._pcie.moving_s += size / self._model.nic.pcie_bandwidth_bytes_per_s

    def provide(self, count: int, speed: float) -> None:
        """Serve with so many host cores of that speed from now on."""
        self._advance(self._simulation.now)
        self._host.count, self._host.speed = count, speed

    def provide_nic(self, speed: float) -> None:
        """The NIC works at that speed from now on; at 0 what waits there is lost."""
        self._advance(self._simulation.now)
        self._nic_speed = speed
        if not speed:
            self._dropped["down"] += self._waiting + self._pcie.waiting
            self._waiting = self._pcie.waiting = 0.0

    def provide_pcie(self, up: float, down: float) -> None:
        """Cross PCIe at so large a part of its bandwidth from now on."""
        self._advance(self._simulation.now)
        self._pcie.speed = max(1e-9, min(up, down))

    @property
    def offloaded(self) -> int:
        """Flows whose entries are at the NIC."""
        return self.places.members

    def hold(self, flows: Integers) -> NDArray[np.bool_]:
        """Whether its are, or it has ended, so that nothing is to be done for it."""
        return ~self.places.current(flows) | self.places.member[flows % self.places.flows]

    def top_hits(self, number: int) -> list[float]:
        """Packets at the NIC of the most popular flows there."""
        plan, crosses = self._cost.plan, self._cost.paths["EM"].crosses
        everyone = plan.counts_flows(self._model.program) and not crosses
        packets = self._sums["established"] - self._forgotten
        return self.places.top_counts(packets, number, everyone)

    def slowest(self, number: int) -> dict[int, float]:
        """The flows at the NIC with fewest packets."""
        return self.places.slowest(self._sums["established"] - self._forgotten, number)

    def forget_hits(self, now_s: float) -> None:
        """Count hits anew."""
        self._advance(now_s)
        self._forgotten = self._sums["established"]

    @property
    def changing(self) -> bool:
        """Whether a change of sides is under way."""
        return bool(self._stages)

    def change(
        self, now_s: float, stages: Sequence[PricedStage], done: Callable[[float], None]
    ) -> None:
        """Go through the stages to another plan."""
        self._advance(now_s)
        if self._free:
            self.retune(now_s, stages[-1].cost)
            done(now_s)
            return
        self._done, self._stages, self._switching = done, deque(stages), True
        self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        """The next stage: copy, switch."""
        stage = self._stages[0]
        touched = partial(rate_costs.flows_with, self._phase.profile, self.places)
        work = copy_work(self._model, stage.copied, self._limits, touched)
        self._channel.waiting += work.to_nic
        self._host.moving_s += (work.to_nic + work.from_nic) * self._move_s
        self._pcie.moving_s += work.up_bytes / self._model.nic.pcie_bandwidth_bytes_per_s
        self._simulation.at(now_s + work.lasts_s, self._switched)

    def _switched(self, _: simpy.Event) -> None:
        """The stage's plan is in force: bring the flows where it wants them."""
        now = self._simulation.now
        self._advance(now)
        stage = self._stages[0]
        if stage.copied and self._channel.late_s:
            self._simulation.at(now + self._channel.late_s, self._switched)
            return
        self._switching = False
        self._use(stage.cost)
        if stage.begins == "all":
            self.places.set(self.places.place_of_rank, True)
        elif stage.begins == "none":
            self.places.clear()
        self._target = int(min(stage.target, self.places.flows))
        if len(self._stages) == 1:
            self._stages.clear()
            self._done(now)
        self._fit(now)

    def _check_stage(self) -> None:
        """Go on to the next stage, if all flows are where the present one wants them."""
        if len(self._stages) > 1 and self.places.members == self._target and not self._switching:
            self._stages.popleft()
            self._switching = True
            self._simulation.at(self._simulation.now, lambda _: self._begin(self._simulation.now))

    def retune(self, now_s: float, cost: PlanCost) -> None:
        """Another number of flows at the NIC."""
        self._advance(now_s)
        self._use(cost)
        self._fit(now_s)

    def move(self, now_s: float, flows: Mapping[int, bool]) -> None:
        """Move entries of flows, one after the other."""
        self._advance(now_s)
        self._asked.ask_each(flows)

    def _fit(self, now_s: float) -> None:
        """Take the surplus off the NIC; where that is free, all flows are where they belong."""
        if self._free:
            self.places.deal(self._target)
        elif self._by_rank or len(self._stages) > 1:
            gone = self.places.beyond(self._target)
            self._asked.ask(self.places.flows_at(gone), np.zeros(len(gone), bool))
        else:
            surplus = max(0, self.places.members - self._target)
            self.move(now_s, dict.fromkeys(self.slowest(surplus), False))

    def _use(self, cost: PlanCost) -> None:
        self._cost = cost
        self._trips = Trips(self._model, cost)
        self._target = int(min(cost.plan.offloaded, self.places.flows))
        self._entries, self._move_s, self._transfer_s = rate_costs.moving(self._model, cost.plan)
        self._cycles_s = 1.0 / self._model.cpu.clock_hz

    # Rates

    def _advance(self, now_s: float) -> None:
        """Bring everything up to date."""
        while self._at_s < now_s:
            until_s = now_s
            if self._phases and self._phases[0].start_s < now_s:
                until_s = max(self._at_s, self._phases[0].start_s)
            if until_s > self._at_s:
                self._step(until_s - self._at_s)
                self._at_s = until_s
            if self._phases and self._phases[0].start_s <= self._at_s:
                self._phase = self._phases.popleft()
                self._model = self._model.under(self._phase.profile)
                self.places.follow(self._phase.profile, self._phase.reshuffled)
                if self._free:
                    self.places.deal(self._target)

    def _step(self, lasts_s: float) -> None:
        """Rates as they are now, for so long."""
        profile, plan = self._phase.profile, self._cost.plan
        weights = rate_costs.type_weights(profile, self.places.hit if plan.split else 0.0)
        edge = weights["N"]
        arrived = profile.rate_pps * lasts_s
        sums = self._sums
        parts = {"arrived": 1.0, "bytes": profile.packet_bytes, "new": edge, "hits": weights["EH"]}
        for key, share in {**parts, "established": 1.0 - 2.0 * edge}.items():
            sums[key] += arrived * share
        if not self._nic_speed:
            self._lose(arrived, edge, lasts_s)
            return
        served = self._at_nic(arrived, weights, lasts_s)
        moved = self._tables(arrived * edge, served, weights, lasts_s)
        served -= moved[1]
        left = self._at_host(served, weights, moved[0], lasts_s)
        self._check_stage()
        sums["left"] += left
        sums["left bytes"] += left * profile.packet_bytes
        each = {kind: weights[kind] for kind, path in self._cost.paths.items() if path.crosses}
        seen = self._monitor.sample_all(self.places, each, served, self._rng)
        self._host.moving_s += seen * self._monitor.settings.sample_cycles * self._cycles_s

    def _lose(self, arrived: float, edge: float, lasts_s: float) -> None:
        """The NIC is down. Flows that begin meanwhile are not known there afterwards."""
        self._dropped["down"] += arrived
        self.places.set(self.places.renew(int(self._rng.poisson(arrived * edge))), False)
        self.load.go_on(0.0, lasts_s)
        self._channel.serve(0.0, 0.0, 0.0, lasts_s)
        self._host.serve(0.0, 0.0, 0.0, lasts_s)

    def _at_nic(self, arrived: float, weights: Mapping[str, float], lasts_s: float) -> float:
        """Packets that the port and the NIC serve."""
        seconds = rate_costs.nic_seconds(
            self._model, self._cost, weights, self.places.members, self._nic_speed
        )
        binding = max(seconds, key=lambda key: seconds[key])
        most = lasts_s / seconds[binding]
        offered = arrived + self._waiting
        served = min(offered, most)
        waiting = offered - served
        self._waiting = min(waiting, float(self._limits.nic))
        self._dropped[rate_costs.drop_place(binding)] += waiting - self._waiting
        self.load.go_on(served * seconds.get("cores", 0.0), lasts_s)
        for key, each in rate_costs.by_station(seconds).items():
            self._busy[key] = self._busy.get(key, 0.0) + served * each
        return served

    def _tables(
        self, born: float, served: float, weights: Mapping[str, float], lasts_s: float
    ) -> tuple[float, float]:
        """The insertion channel: entries of first packets, of flows that ended and began, of moves.
        Returns entries that the host moves, and packets dropped for want of an insertion."""
        mean, most = rate_costs.inserted(self._trips, weights)
        by_packets = served * mean
        entries = self._entries
        moved = 0.0
        ended = self.places.renew(int(self._rng.poisson(born)))
        known = self._by_rank or self._target == self.places.flows
        keep = self.places.among(ended, self._target if known else 0)
        kept = ended[keep]
        if self._cost.plan.split:
            # Out, and the next flow in at once where it is known to belong there.
            moved = entries * (len(ended) + len(kept))
            self.places.set(ended[~keep], False)
        refused, room = self._channel.serve(by_packets + moved, len(kept), entries, lasts_s)
        if refused:
            self.places.set(kept[: int(refused)], False)
            moved -= refused * entries
        lost = self._channel.cut(by_packets) / max(most, 1.0)
        self._dropped["inserts"] += lost
        if entries and self._cost.plan.split:
            flows = int(room / entries)
            done = self._asked.carry_out(flows)
            if self._by_rank or len(self._stages) > 1:
                came = self.places.missing(self._target, flows - done)
                self.places.set(came, True)
                done += len(came)
            self._sums["moved"] += done
            moved += entries * done
            self._channel.insert(entries * done)
        return moved, lost

    def _at_host(
        self, served: float, weights: Mapping[str, float], moved: float, lasts_s: float
    ) -> float:
        """PCIe and the host's cores; returns packets that leave."""
        host, paths, sides = self._model.host, self._cost.paths, self._cost.plan.sides
        nic, size = self._model.nic, self._phase.profile.packet_bytes
        share = sum(weights[kind] for kind, path in paths.items() if path.crosses)
        cycles = sum(weights[kind] * host.path_cycles(path, sides) for kind, path in paths.items())
        each_s = cycles / (share * self._model.cpu.clock_hz) if share else 0.0
        byte_s = (size + self._model.stack.crossing_bytes) / nic.pcie_bandwidth_bytes_per_s
        transfer = byte_s, 1.0 / nic.pcie_packets_per_s
        self._pcie.moving_s += moved * self._transfer_s
        over, dropped = self._pcie.serve(served * share, *transfer, lasts_s)
        lost = min(over, self._host.serve(over * each_s, each_s, moved * self._move_s, lasts_s))
        # A ring that is full takes nothing over, so that PCIe is not what binds.
        self._pcie.never(lost, *transfer)
        self._dropped["ring" if lost else "pcie"] += dropped
        self._dropped["ring"] += lost
        self._sums["crossed"] += over - lost
        return served * (1.0 - share) + over - lost
