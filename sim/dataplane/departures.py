"""Packets at the end of their way: out by the port, or dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from models.network_functions.traffic import PACKET_TYPES
from sim.core.simulation import Simulation
from sim.dataplane.facts import PacketDropped, PacketLeft
from sim.dataplane.transit import KINDS, LAST, NEW, Transit
from workloads.demand import Packet

if TYPE_CHECKING:
    from sim.dataplane.packet_path import PacketPath


class Departures:
    """Packets of a flow leave in the order in which they came: one that overtook another waits for
    it at the port. ended(time_s): called when none is left to come or under way."""

    def __init__(
        self, simulation: Simulation, path: PacketPath, ended: Callable[[float], None]
    ) -> None:
        self.path = path
        #: Packets that waited at the port for one before them; that left before it, or began their
        #: way after one that came later.
        self.overtaken = self.reordered = 0
        self._ended = ended
        self._told_left = simulation.listeners(PacketLeft)
        self._told_dropped = simulation.listeners(PacketDropped)

    def out(self, time_s: float, transit: Transit) -> None:
        """To the port, in the order of the flow."""
        before = _under_way(transit.previous)
        if before is not None:
            self.overtaken += self.path.burst
            before.follower = transit
            transit.previous = before
            return
        self._leave(time_s, transit)

    def _leave(self, time_s: float, transit: Transit) -> None:
        while True:
            if transit.previous is not None and not transit.previous.gone:
                self.reordered += self.path.burst
            latency_s = (time_s - transit.born_s) / self.path.burst
            self.path.counts.leave(transit, latency_s)
            if self._told_left:
                kind = PACKET_TYPES[transit.kind]
                fact = PacketLeft(time_s, transit.flow, transit.number, kind, latency_s)
                for listener in self._told_left:
                    listener(fact)
            transit.previous = None
            follower = self._end(time_s, transit)
            if follower is None:
                return
            transit = follower

    def drop(self, time_s: float, transit: Transit, place: str) -> None:
        """Drop one on its way."""
        self.path.counts.drop(transit.kind, transit.size_bytes, place)
        if self._told_dropped:
            fact = PacketDropped(time_s, transit.flow, transit.number, place)
            for listener in self._told_dropped:
                listener(fact)
        follower = self._end(time_s, transit)
        if follower is not None:
            self.out(time_s, follower)

    def drop_packet(self, time_s: float, packet: Packet, place: str) -> None:
        """One that has not begun its way."""
        path, flow, kind = self.path, packet.flow, KINDS[packet.kind]
        path.counts.drop(kind, packet.size_bytes, place)
        if kind == NEW:
            path.counts.born.add(flow)
        elif kind == LAST:
            path.counts.finish(flow)
            path.calendar.push(time_s, path.moves.lost, flow)
        for listener in self._told_dropped:
            listener(PacketDropped(time_s, flow, 0, place))

    def _end(self, time_s: float, transit: Transit) -> Transit | None:
        """No more of this packet. Returns the one that waited for it."""
        transit.gone = True
        flow = transit.flow
        if self.path.last.get(flow) is transit:
            # One that is dropped may leave others before it under way.
            before = _under_way(transit.previous)
            if before is None:
                del self.path.last[flow]
            else:
                self.path.last[flow] = before
                before.afterwards, transit.afterwards = transit.afterwards, None
        follower, transit.follower = transit.follower, None
        self.path.under_way.change(time_s, -1)
        changed = self.path.entries.changed
        if changed is not None:
            key = flow, transit.kind
            changed[key] = changed.get(key, 0) + 1
        if transit.kind == LAST:
            self.path.counts.finish(flow)
        if not self.path.known(flow):
            self.path.entries.end(flow)
        if transit.afterwards is not None:
            transit.afterwards(time_s)
        if transit.kind == NEW:
            self.path.counts.born.add(flow)
            if self.path.split and self.path.moves.install(time_s, transit):
                return follower
        self.gone(time_s)
        if self.path.arrivals.held is not None:
            self.path.arrivals.check_drained(time_s)
        return follower

    def gone(self, time_s: float) -> None:
        """A packet is no more under way."""
        if self.path.window is not None:
            self.path.arrivals.pull(time_s)
        if self.path.arrivals.exhausted and not self.path.under_way.count:
            self._ended(time_s)


def _under_way(transit: Transit | None) -> Transit | None:
    """The nearest that is, among a packet and those before it."""
    while transit is not None and transit.gone:
        transit = transit.previous
    return transit
