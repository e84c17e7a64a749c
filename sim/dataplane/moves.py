"""Entries of flows on their way from one side to the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sim.dataplane.facts import FlowMoved
from sim.dataplane.transit import Transit
from workloads.demand import Packet

if TYPE_CHECKING:
    from sim.dataplane.packet_path import PacketPath


class Move:
    """One flow's move: packets that come meanwhile are held."""

    __slots__ = ("asked", "copied", "flow", "held", "start_s", "then", "to_nic", "weight")

    def __init__(self, flow: int, to_nic: bool, weight: int, asked: bool, start_s: float) -> None:
        self.flow = flow
        self.to_nic = to_nic
        self.weight = weight
        self.asked = asked
        self.start_s = start_s
        self.copied = 0
        self.held: list[Packet] = []
        self.then: Callable[[float], None] | None = None


class Moves:
    """Moves entries without a lost update and without reordering.

    A flow's packets that come are held, those under way end; the entries cross PCIe, to or from a
    host core that copies them, and are put in at the NIC, or taken out there, through the channel:
    a round trip at least. The flow is steered to the new side, and the held packets follow in
    their order. `ask` moves flows one after the other, `moves` at a time.
    """

    def __init__(self, path: PacketPath) -> None:
        self.path = path
        self.under_way: dict[int, Move] = {}
        self.done = 0
        self.refused = 0
        self.held_in_all = 0
        self._asked: deque[tuple[int, bool]] = deque()
        self._asked_now = 0
        #: Moves to the NIC that are under way.
        self._coming = 0
        #: Called once when all that was asked is done and nothing else moves.
        self.when_idle: Callable[[float], None] | None = None

    def check_idle(self, time_s: float) -> None:
        """Call `when_idle`, if that is so."""
        if self.when_idle and not self._asked and not self.under_way:
            then, self.when_idle = self.when_idle, None
            then(time_s)

    def ask(self, flow: int, to_nic: bool) -> None:
        """Move a flow when its turn has come; nothing happens where it is there then."""
        self._asked.append((flow, to_nic))

    def go_on(self, time_s: float) -> None:
        """Begin what may begin."""
        while (
            self._asked
            and self._asked_now < self.path.limits.moves
            and self.path.arrivals.held is None
        ):
            flow, to_nic = self._asked.popleft()
            path = self.path
            at_nic, goes_on = flow in path.entries.at_nic, path.known(flow)
            if flow in self.under_way or at_nic is to_nic or (to_nic and not goes_on):
                continue
            if to_nic and not self._fits():
                self.refused += 1
                continue
            self._asked_now += 1
            self.begin(time_s, flow, to_nic, 1 if goes_on else path.burst, asked=True)

    def begin(
        self, time_s: float, flow: int, to_nic: bool, weight: int, asked: bool = False
    ) -> Move:
        """Move a flow now; `weight`: entries of so many like flows are paid for."""
        self._coming += to_nic
        move = self.under_way[flow] = Move(flow, to_nic, weight, asked, time_s)
        last = self.path.last.get(flow)
        if last is None:
            self._copy(time_s, move)
        else:
            last.afterwards = lambda then_s: self._copy(then_s, move)
        return move

    def room(self, time_s: float) -> bool:
        """Whether the NIC takes another flow: its table, and the insertion channel."""
        path = self.path
        waits = path.arrivals.held is not None or path.channel.waiting(time_s) > path.limits.inserts
        return self._fits() and not waits

    def _fits(self) -> bool:
        return len(self.path.entries.at_nic) + self._coming < self.path.most_moved

    def install(self, time_s: float, transit: Transit) -> bool:
        """Move a new flow to the NIC if it belongs there and the channel has room. True where its
        packet counts as under way until then, as it does with a window."""
        path, flow = self.path, transit.flow
        popular = path.by_rank and 0 < transit.rank <= path.offloaded
        if not (popular or path.install_all) or flow in self.under_way or not path.known(flow):
            return False
        if path.window is None and not self.room(time_s):
            self.refused += path.burst
            return False
        move = self.begin(time_s, flow, True, path.burst)
        if path.window is None:
            return False
        move.then = path.departures.gone
        return True

    def end(self, time_s: float, flows: Sequence[int]) -> None:
        """Flows are over without a last packet."""
        for flow in flows:
            self.path.counts.end(flow)
            self._remove(flow)
        self.go_on(time_s)

    def lost(self, time_s: float, flow: int) -> None:
        """A flow is over, its last packet was dropped: it ages out, as if at once."""
        self._remove(flow)
        self.go_on(time_s)

    def _remove(self, flow: int) -> None:
        """Entries of a flow that is over: by the host, as after a last packet."""
        if flow in self.path.entries.at_nic:
            self.ask(flow, False)
        elif flow not in self.under_way:
            self.path.entries.end(flow)

    def hold(self, packet: Packet) -> bool:
        """Keep a packet of a moving flow; False where too many are kept."""
        move = self.under_way[packet.flow]
        if len(move.held) * self.path.burst >= self.path.limits.moving:
            return False
        move.held.append(packet)
        return True

    def pass_on(self, time_s: float, packet: Packet) -> None:
        """Let a packet that was held go on, or wait for the next move of its flow."""
        move = self.under_way.get(packet.flow)
        if move is None:
            self.path.steer(time_s, packet)
        else:
            move.held.append(packet)

    def held(self) -> int:
        """Packets that are held."""
        return sum(len(move.held) for move in self.under_way.values())

    def _copy(self, time_s: float, move: Move) -> None:
        path = self.path
        move.copied = path.entries.read(move.flow)
        if move.to_nic:
            path.calendar.push(self._work(time_s, move), self._send, move)
        else:
            here = path.crossing.move(time_s, path.move_bytes * move.weight, up=True)
            path.calendar.push(here + path.pcie_latency_s, self._take, move)

    def _work(self, time_s: float, move: Move) -> float:
        """A host core's part; returns when it is done."""
        path = self.path
        cycles = path.entries_per_flow * move.weight * path.move_cycles
        return path.host.work(time_s, cycles * path.host_cycle_s, move.flow)

    def _send(self, time_s: float, move: Move) -> None:
        path = self.path
        there = path.crossing.move(time_s, path.move_bytes * move.weight, up=False)
        path.calendar.push(there, self._insert, move)

    def _take(self, time_s: float, move: Move) -> None:
        self.path.calendar.push(self._work(time_s, move), self._insert, move)

    def _insert(self, time_s: float, move: Move) -> None:
        path = self.path
        end = path.channel.insert(time_s, path.entries_per_flow * move.weight)
        if end < 0.0:
            path.calendar.push(path.channel.free_s, self._insert, move)
        else:
            # The host hears of an insertion before packets are steered to it.
            path.calendar.push(end + path.pcie_latency_s * move.to_nic, self._flip, move)

    def _flip(self, time_s: float, move: Move) -> None:
        path = self.path
        path.entries.hand_over(move.flow, move.to_nic, move.copied)
        del self.under_way[move.flow]
        self._coming -= move.to_nic
        self.done += 1
        self.held_in_all += len(move.held) * path.burst
        if path.told_moves:
            fact = FlowMoved(
                move.start_s, time_s, move.flow, move.to_nic, len(move.held), path.name
            )
            for listener in path.told_moves:
                listener(fact)
        for packet in move.held:
            self.pass_on(time_s, packet)
        if move.then is not None:
            move.then(time_s)
        self._asked_now -= move.asked
        if not path.known(move.flow):
            # It ended on the way.
            self._remove(move.flow)
        self.go_on(time_s)
        path.arrivals.check_drained(time_s)
        self.check_idle(time_s)
