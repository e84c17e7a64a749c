"""Packets at the beginning of their way: in by the port, or held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappush
from typing import TYPE_CHECKING

from workloads.demand import Packet

if TYPE_CHECKING:
    from sim.dataplane.packet_path import PacketPath


class Arrivals:
    """Packets of the workload, one after the other; with a window the next comes as one leaves.

    held: those that came since `hold_all`, until `release_all`; None: they go on. nic_up: else all
    are dropped. exhausted: none is left to come.
    """

    def __init__(self, path: PacketPath, packets: Iterator[Packet]) -> None:
        self.path = path
        self.exhausted = False
        self.nic_up = True
        self.held: list[Packet] | None = None
        self._drained: Callable[[float], None] | None = None
        self._packets = packets
        self._calendar = path.calendar
        self._counts = path.counts
        self._limits = path.limits
        self._under_way = path.under_way
        self._window = path.window
        self._wire = path.stations.wire
        self._wire_s = path.stations.wire_s

    def pull(self, time_s: float) -> None:
        """The next packet of the workload, as it will have come in whole."""
        while True:
            packet = next(self._packets, None)
            if packet is None:
                self.exhausted = True
                return
            if packet.over:
                self.path.moves.end(time_s, packet.over)
            if self._window is not None:
                packet = packet._replace(time_s=time_s)
            wire_s = self._wire_s(packet.size_bytes)
            self._counts.arrive(packet)
            late_s = self._wire.free_s - packet.time_s
            if late_s > self._limits.wire * wire_s and not self._window:
                self.path.departures.drop_packet(packet.time_s, packet, "wire")
                continue
            self._under_way.change(max(time_s, packet.time_s), 1)
            heap = self._calendar.heap
            end = self._wire.serve(packet.time_s, wire_s)
            if heap:
                heappush(heap, (end, next(self._calendar.order), self._enter, packet))
            else:
                self._calendar.push(end, self._enter, packet)
            return

    def _enter(self, time_s: float, packet: Packet) -> None:
        if self._window is None:
            self.pull(time_s)
        if not self.nic_up:
            self._refuse(time_s, packet, "down")
            return
        moves = self.path.moves
        if self.held is not None:
            full = len(self.held) >= self._limits.nic and self._window is None
            if not full:
                self.held.append(packet)
        elif moves.under_way and packet.flow in moves.under_way:
            full = not moves.hold(packet)
        else:
            self.path.steer(time_s, packet)
            return
        if full:
            self._refuse(time_s, packet, "moving")

    def _refuse(self, time_s: float, packet: Packet, place: str) -> None:
        self._under_way.change(time_s, -1)
        self.path.departures.drop_packet(time_s, packet, place)
        self.path.departures.gone(time_s)

    def hold_all(self, time_s: float, then: Callable[[float], None]) -> None:
        """Hold what comes from now on; call `then` once nothing else is under way."""
        self.held = []
        self._drained = then
        self.check_drained(time_s)

    def release_all(self, time_s: float) -> None:
        """Let what was held go on."""
        held, self.held = self.held or [], None
        for packet in held:
            self.path.moves.pass_on(time_s, packet)
        self.path.moves.go_on(time_s)

    def check_drained(self, time_s: float) -> None:
        """Go on with what waits for that, if nothing is under way."""
        if self._drained is not None and not self.path.last and not self.path.moves.under_way:
            then, self._drained = self._drained, None
            then(time_s)
