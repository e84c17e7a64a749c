"""Packets as rates from one moment to the next: what is served, what waits, what is dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.trip import Trips
from sim.dataplane import rate_costs
from sim.dataplane.asked_moves import AskedMoves
from sim.dataplane.counts import PLACES
from sim.dataplane.fluids import ChannelFluid, HostFluid, NicLoad, PcieFluid
from sim.dataplane.limits import QueueLimits
from sim.dataplane.monitor import Monitor
from sim.dataplane.phases import PhasedTraffic
from sim.dataplane.places import Places


class RateFlow:
    """Rates that are constant between two moments, and their sums from the start.

    What comes is served at the rate of the busiest resource, by the cost model and with the flows
    that are at the NIC now; what waits is a fluid with the places of the queues, and the rest is
    dropped. Flows end and begin at random, as packets would have them do.

    by_rank, free, monitor: as in `RateMode`. stepped(): called after each step. installing():
    whether all flows are on their way to the NIC, or from there. target: flows that are to be
    there.
    """

    def __init__(
        self,
        now_s: float,
        traffic: PhasedTraffic,
        model: CostModel,
        cost: PlanCost,
        limits: QueueLimits,
        monitor: Monitor,
        *,
        by_rank: bool,
        free: bool,
        rng: np.random.Generator,
        stepped: Callable[[], None],
        installing: Callable[[], bool],
    ) -> None:
        self.model = model
        self.nic_speed = 1.0
        self.waiting = 0.0
        self._limits = limits
        self._monitor = monitor
        self._by_rank = by_rank
        self._free = free
        self._rng = rng
        self._stepped = stepped
        self._installing = installing
        self._phases = deque(traffic.phases)
        self.phase = self._phases.popleft()
        self.places = Places(self.phase.profile, rng)
        self.asked = AskedMoves(self.places)
        self._at_s = now_s
        self.host = HostFluid(limits.ring)
        self.sums = dict.fromkeys(("arrived", "bytes", "new", "established", "hits"), 0.0)
        self.sums |= dict.fromkeys(("left", "left bytes", "crossed", "moved"), 0.0)
        self.dropped = dict.fromkeys(PLACES, 0.0)
        self.busy: dict[str, float] = {}
        self.channel = ChannelFluid(limits.inserts, model.nic.inserts_per_s)
        self.pcie = PcieFluid(limits.pcie)
        self.load = NicLoad(now_s)
        self.use(cost)
        self.places.deal(self.target)

    def use(self, cost: PlanCost) -> None:
        self.cost = cost
        self.trips = Trips(self.model, cost)
        self.target = int(min(cost.plan.offloaded, self.places.flows))
        self.entries, self.move_s, self.transfer_s = rate_costs.moving(self.model, cost.plan)
        self.cycles_s = 1.0 / self.model.cpu.clock_hz

    def advance(self, now_s: float) -> None:
        """Bring everything up to date."""
        while self._at_s < now_s:
            until_s = now_s
            if self._phases and self._phases[0].start_s < now_s:
                until_s = max(self._at_s, self._phases[0].start_s)
            if until_s > self._at_s:
                self._step(until_s - self._at_s)
                self._at_s = until_s
            if self._phases and self._phases[0].start_s <= self._at_s:
                self.phase = self._phases.popleft()
                self.model = self.model.under(self.phase.profile)
                self.places.follow(self.phase.profile, self.phase.reshuffled)
                if self._free:
                    self.places.deal(self.target)

    def _step(self, lasts_s: float) -> None:
        """Rates as they are now, for so long."""
        profile, plan = self.phase.profile, self.cost.plan
        weights = rate_costs.type_weights(profile, self.places.hit if plan.split else 0.0)
        edge = weights["N"]
        arrived = profile.rate_pps * lasts_s
        sums = self.sums
        parts = {"arrived": 1.0, "bytes": profile.packet_bytes, "new": edge, "hits": weights["EH"]}
        for key, share in {**parts, "established": 1.0 - 2.0 * edge}.items():
            sums[key] += arrived * share
        if not self.nic_speed:
            self._lose(arrived, edge, lasts_s)
            return
        served = self._at_nic(arrived, weights, lasts_s)
        moved = self._tables(arrived * edge, served, weights, lasts_s)
        served -= moved[1]
        left = self._at_host(served, weights, moved[0], lasts_s)
        self._stepped()
        sums["left"] += left
        sums["left bytes"] += left * profile.packet_bytes
        each = {kind: weights[kind] for kind, path in self.cost.paths.items() if path.crosses}
        seen = self._monitor.sample_all(self.places, each, served, self._rng)
        self.host.moving_s += seen * self._monitor.settings.sample_cycles * self.cycles_s

    def _lose(self, arrived: float, edge: float, lasts_s: float) -> None:
        """The NIC is down. Flows that begin meanwhile are not known there afterwards."""
        self.dropped["down"] += arrived
        self.places.set(self.places.renew(int(self._rng.poisson(arrived * edge))), False)
        self.load.go_on(0.0, lasts_s)
        self.channel.serve(0.0, 0.0, 0.0, lasts_s)
        self.host.serve(0.0, 0.0, 0.0, lasts_s)

    def _at_nic(self, arrived: float, weights: Mapping[str, float], lasts_s: float) -> float:
        """Packets that the port and the NIC serve."""
        seconds = rate_costs.nic_seconds(
            self.model, self.cost, weights, self.places.members, self.nic_speed
        )
        binding = max(seconds, key=lambda key: seconds[key])
        most = lasts_s / seconds[binding]
        offered = arrived + self.waiting
        served = min(offered, most)
        waiting = offered - served
        self.waiting = min(waiting, float(self._limits.nic))
        self.dropped[rate_costs.drop_place(binding)] += waiting - self.waiting
        self.load.go_on(served * seconds.get("cores", 0.0), lasts_s)
        for key, each in rate_costs.by_station(seconds).items():
            self.busy[key] = self.busy.get(key, 0.0) + served * each
        return served

    def _tables(
        self, born: float, served: float, weights: Mapping[str, float], lasts_s: float
    ) -> tuple[float, float]:
        """The insertion channel: entries of first packets, of flows that ended and began, of moves.
        Returns entries that the host moves, and packets dropped for want of an insertion."""
        mean, most = rate_costs.inserted(self.trips, weights)
        by_packets = served * mean
        entries = self.entries
        moved = 0.0
        ended = self.places.renew(int(self._rng.poisson(born)))
        known = self._by_rank or self.target == self.places.flows
        keep = self.places.among(ended, self.target if known else 0)
        kept = ended[keep]
        if self.cost.plan.split:
            # Out, and the next flow in at once where it is known to belong there.
            moved = entries * (len(ended) + len(kept))
            self.places.set(ended[~keep], False)
        refused, room = self.channel.serve(by_packets + moved, len(kept), entries, lasts_s)
        if refused:
            self.places.set(kept[: int(refused)], False)
            moved -= refused * entries
        lost = self.channel.cut(by_packets) / max(most, 1.0)
        self.dropped["inserts"] += lost
        if entries and self.cost.plan.split:
            flows = int(room / entries)
            done = self.asked.carry_out(flows)
            if self._by_rank or self._installing():
                came = self.places.missing(self.target, flows - done)
                self.places.set(came, True)
                done += len(came)
            self.sums["moved"] += done
            moved += entries * done
            self.channel.insert(entries * done)
        return moved, lost

    def _at_host(
        self, served: float, weights: Mapping[str, float], moved: float, lasts_s: float
    ) -> float:
        """PCIe and the host's cores; returns packets that leave."""
        host, paths, sides = self.model.host, self.cost.paths, self.cost.plan.sides
        nic, size = self.model.nic, self.phase.profile.packet_bytes
        share = sum(weights[kind] for kind, path in paths.items() if path.crosses)
        cycles = sum(weights[kind] * host.path_cycles(path, sides) for kind, path in paths.items())
        each_s = cycles / (share * self.model.cpu.clock_hz) if share else 0.0
        byte_s = (size + self.model.stack.crossing_bytes) / nic.pcie_bandwidth_bytes_per_s
        transfer = byte_s, 1.0 / nic.pcie_packets_per_s
        self.pcie.moving_s += moved * self.transfer_s
        over, dropped = self.pcie.serve(served * share, *transfer, lasts_s)
        moved_s = moved * self.move_s
        each_bytes = host.memory_bytes(paths, weights) / share if share else 0.0
        lost = min(over, self.host.serve(over * each_s, each_s, moved_s, lasts_s, each_bytes))
        # A ring that is full takes nothing over, so that PCIe is not what binds.
        self.pcie.never(lost, *transfer)
        self.dropped["ring" if lost else "pcie"] += dropped
        self.dropped["ring"] += lost
        self.sums["crossed"] += over - lost
        return served * (1.0 - share) + over - lost
