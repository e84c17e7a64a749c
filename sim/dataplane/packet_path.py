"""Packets one by one through the port, the NIC, PCIe and the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappush
from math import inf

from models.network_functions.plan import NIC, SPLIT
from models.network_functions.trip import Trips
from sim.core.simulation import Simulation
from sim.dataplane.arrivals import Arrivals
from sim.dataplane.calendar import Calendar
from sim.dataplane.count_error import CountError
from sim.dataplane.counts import Counts
from sim.dataplane.crossing import Crossing
from sim.dataplane.departures import Departures
from sim.dataplane.entries import Entries
from sim.dataplane.facts import FlowMoved
from sim.dataplane.host_cores import HostCores
from sim.dataplane.limits import QueueLimits
from sim.dataplane.monitor import Monitor
from sim.dataplane.moves import Moves
from sim.dataplane.nic_cores import NicCores
from sim.dataplane.stations import Area, Stations
from sim.dataplane.transit import HIT, KINDS, LAST, MISS, Transit
from sim.dataplane.transition import entries_per_flow, moved_bytes
from workloads.demand import Packet

#: Packets after which the queues have forgotten one.
_LONG_BEFORE = 1024


class PacketPath:
    """The data path, packet by packet, or in bursts of `burst` like packets.

    A burst is a packet of which everything takes `burst` times as long, among as many times fewer
    of them: the same system, slowed down. So its rates are those of packets, and its delays
    are divided by `burst` where they are counted.

    window: so many packets are under way at any time, whatever the times of the
    workload say (None: those hold); nothing is dropped at the NIC's queues then.
    first_flows: so many flows, numbered from 0, have begun before the first packet. ranked: by
    popularity, and those of the plan have their entries at the NIC.
    by_rank: flows within the plan's number by their true rank are moved to the NIC as they begin.
    own_caches: at the host, a packet's entries are in a cache as its flow's rank says; else as
    often as those of all packets are, which is what the cost model takes.
    name: of the system, for its facts.
    """

    def __init__(
        self,
        simulation: Simulation,
        packets: Iterator[Packet],
        trips: Trips,
        limits: QueueLimits,
        *,
        cores: int,
        steering: str,
        window: int | None = None,
        first_flows: int = 0,
        ranked: bool = True,
        by_rank: bool = True,
        own_caches: bool = False,
        monitor: Monitor | None = None,
        ended: Callable[[float], None] = lambda time_s: None,
        name: str = "",
    ) -> None:
        self.name = name
        self.calendar = Calendar(simulation)
        self.limits = limits
        self.burst = trips.burst
        self.window = window
        self.first_flows = first_flows
        self.by_rank = by_rank
        self.own_caches = own_caches
        #: Move every new flow to the NIC: all are on their way there.
        self.install_all = False
        self.monitor = monitor
        #: Packets of each flow that end at the NIC since the last decision, as its entry's counter
        #: there says; none where no state there has an entry for each flow.
        self.hits: dict[int, int] = {}
        #: Packets up to this one were lost as the NIC failed.
        self._lost = 0
        #: Of the last packets; 0, as of a flow without one: as the mean.
        self._ranks = [0] * _LONG_BEFORE
        self.entries = Entries()
        self.count_error = CountError()
        self.counts = Counts(self.burst)
        self.last: dict[int, Transit] = {}
        self.under_way = Area()
        self.told_moves = simulation.listeners(FlowMoved)
        self.departures = departures = Departures(simulation, self, ended)
        self._out, self._drop = departures.out, departures.drop
        self._number = 0
        spec = trips.model.nic
        unbounded = window is not None
        self.stations = stations = Stations(trips, limits.inserts, unbounded)
        self.match = stations.match
        self.channel = stations.channel
        self.arrivals = Arrivals(self, packets)
        self.cores = NicCores(
            self.calendar,
            spec.cores,
            spec.threads_per_core,
            stations.engines,
            inf if unbounded else limits.nic,
            inf if unbounded else limits.accelerator,
            self._left_cores,
            self._drop,
        )
        self.host = HostCores(self.calendar, cores, steering, limits.ring, self._served)
        self.crossing = Crossing(
            self.calendar,
            stations,
            self.host,
            self.counts,
            limits,
            unbounded,
            self._back,
            self._drop,
        )
        self.moves = Moves(self)
        self.pcie_latency_s = spec.pcie_latency_s
        self.move_cycles = trips.model.stack.move_cycles
        self.host_cycle_s = 1.0 / trips.model.cpu.clock_hz
        self.use(trips)
        if self.split and ranked:
            self.entries.at_nic.update(range(int(min(self.offloaded, first_flows))))

    def use(self, trips: Trips) -> None:
        """Packets that come from now on follow these trips."""
        self.trips = trips
        self._find = trips.find
        self._host_takes = trips.host.takes
        self.count_error.use(trips)
        plan = trips.cost.plan
        self.split = plan.split
        self.offloaded = plan.offloaded
        self.entries_per_flow = entries_per_flow(trips.model.program, plan)
        self.counted = plan.counts_flows(trips.model.program)
        self.move_bytes = moved_bytes(trips.model, plan)
        states, levels = trips.model.at_nic.states, trips.cost.nic.levels
        #: Flows for whose entries the NIC has room: of split states, and of all others.
        self.most_moved = states.most_flows(plan.sides, levels, SPLIT) if plan.split else 0.0
        self.most_known = states.most_flows(plan.sides, levels, NIC)

    def start(self, time_s: float) -> None:
        """Let the packets come."""
        for _ in range(self.window or 1):
            self.arrivals.pull(time_s)

    def known(self, flow: int) -> bool:
        """Whether a flow may still have packets."""
        return flow not in self.counts.over

    def live(self) -> set[int]:
        """Flows that have begun and not ended, those of before the first packet included."""
        return self.counts.born.union(range(self.first_flows)) - self.counts.over

    @property
    def idle(self) -> bool:
        """Whether no packet is left to come or under way."""
        return self.arrivals.exhausted and not self.under_way.count

    def set_speed(self, speed: float) -> None:
        """The NIC works at another speed from now on; at 0 it has failed: what is under way is
        lost where it comes next to the NIC, what comes is dropped. Its tables stay."""
        self.arrivals.nic_up = speed > 0.0
        if speed > 0.0:
            self.cores.slow = 1.0 / speed
        else:
            self._lost = self._number

    def steer(self, time_s: float, packet: Packet) -> None:
        """A packet begins its way, as its flow and the plan say."""
        kind_name, flow = packet.kind, packet.flow
        if kind_name == "E":
            at_nic = self.split and flow in self.entries.at_nic
            popular = packet.rank <= self.offloaded
            if (
                self.by_rank
                and self.split
                and popular is not at_nic
                and packet.rank
                and self.known(flow)
                and (not popular or self.moves.room(time_s))
            ):
                # Not where its rank wants it: it came to be popular, or found no room before.
                self.moves.begin(time_s, flow, popular, 1).held.append(packet)
                return
            kind = HIT if at_nic else MISS
        else:
            kind = KINDS[kind_name]
            if kind == LAST and flow in self.entries.at_nic:
                # The removal runs at the host, so the entries go there first.
                move = self.moves.begin(time_s, flow, False, self.burst)
                move.held.append(packet)
                return
        number = self._number = self._number + 1
        previous = self.last.get(flow)
        trip = self._find(kind, packet.rank)
        transit = Transit(
            number, flow, packet.rank, kind, packet.size_bytes, packet.time_s, trip, previous
        )
        self.last[flow] = transit
        if previous is not None and previous.born_s > packet.time_s:
            self.departures.reordered += self.burst
        if trip.crosses:
            # Chance enough: a packet of long before is any packet. The one just before is not:
            # where it went to the host, it has a place there that this one lacks.
            before = self._ranks[number % _LONG_BEFORE]
            rank = packet.rank if self.own_caches else packet.rank and before
            takes = self._host_takes(kind, rank, packet.size_bytes)
            transit.host_s, transit.host_bytes = takes
        if kind_name == "E":
            self._ranks[number % _LONG_BEFORE] = packet.rank
        transit.legs = trip.before
        if trip.match_before_s:
            self._match(time_s, transit, trip.match_before_s)
        elif trip.before:
            if not self.cores.enter(time_s, transit):
                self._drop(time_s, transit, "nic")
        else:
            self._left_cores(time_s, transit)

    def _match(self, time_s: float, transit: Transit, service_s: float) -> None:
        if self.match.free_s - time_s > self.limits.match * service_s and not self.window:
            self._drop(time_s, transit, "match tables")
            return
        end = self.match.serve(time_s, service_s)
        heappush(self.calendar.heap, (end, next(self.calendar.order), self._matched, transit))

    def _matched(self, time_s: float, transit: Transit) -> None:
        if not transit.legs:
            self._left_cores(time_s, transit)
        elif not self.cores.enter(time_s, transit):
            self._drop(time_s, transit, "nic")

    # Over PCIe and back

    def _left_cores(self, time_s: float, transit: Transit) -> None:
        """A visit of the NIC is over."""
        trip = transit.trip
        if transit.number <= self._lost:
            self._drop(time_s, transit, "down")
            return
        if trip.crosses and not transit.back:
            self.crossing.to_host(time_s, transit)
        else:
            self._finish(time_s, transit)

    def _finish(self, time_s: float, transit: Transit) -> None:
        """The NIC has done all its part."""
        trip = transit.trip
        if trip.nic_adds:
            self.entries.added[1] += trip.nic_adds
        kind, flow = transit.kind, transit.flow
        if self.count_error.reads:
            self.count_error.packet(flow, kind)
        if self.split and kind == HIT:
            self.entries.update(flow, True, self.burst)
        if kind == HIT or (kind == MISS and self.counted and not trip.crosses):
            self.hits[flow] = self.hits.get(flow, 0) + self.burst
        if trip.inserts and not trip.crosses:
            self._insert(time_s, transit, self._out)
        else:
            self._out(time_s, transit)

    def _served(self, time_s: float, transit: Transit) -> None:
        """The host has done its part."""
        if transit.trip.host_adds:
            self.entries.added[0] += transit.trip.host_adds
        if self.split and transit.kind != HIT:
            self.entries.update(transit.flow, False, self.burst)
        monitor = self.monitor
        if monitor is not None and transit.kind != HIT and monitor.sample(transit.flow, self.burst):
            cycles = monitor.settings.sample_cycles
            self.host.work(time_s, cycles * self.host_cycle_s, transit.flow)
        if transit.trip.inserts:
            self._insert(time_s, transit, self.crossing.to_nic)
        else:
            self.crossing.to_nic(time_s, transit)

    def _insert(
        self, time_s: float, transit: Transit, then: Callable[[float, Transit], None]
    ) -> None:
        counts = self.counts
        there = len(counts.born) - len(counts.over) - len(counts.refused)
        full = self.first_flows + there >= self.most_known
        end = -1.0 if full else self.channel.insert(time_s, transit.trip.inserts)
        if end < 0.0:
            counts.refused.add(transit.flow)
            self._drop(time_s, transit, "inserts")
        else:
            heappush(self.calendar.heap, (end, next(self.calendar.order), then, transit))

    def _back(self, time_s: float, transit: Transit) -> None:
        trip = transit.trip
        if transit.number <= self._lost:
            self._drop(time_s, transit, "down")
            return
        transit.back = True
        transit.legs = trip.after
        transit.leg = 0
        if trip.match_after_s:
            self._match(time_s, transit, trip.match_after_s)
        elif not trip.after:
            self._finish(time_s, transit)
        elif not self.cores.enter(time_s, transit):
            self._drop(time_s, transit, "nic")
