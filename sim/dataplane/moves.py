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

    A flow's packets that come are held, those under way end; a host core copies the entries, which
    are then inserted through the channel; the flow is steered to the new side, and the held
    packets follow in their order. `ask` moves flows one after the other, `moves` at a time.
    """

    def __init__(self, path: PacketPath) -> None:
        self.path = path
        self.under_way: dict[int, Move] = {}
        self.done = 0
        self.refused = 0
        self._asked: deque[tuple[int, bool]] = deque()
        self._asked_now = 0
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
        while self._asked and self._asked_now < self.path.limits.moves and self.path.held is None:
            flow, to_nic = self._asked.popleft()
            at_nic = flow in self.path.entries.at_nic
            if flow in self.under_way or at_nic is to_nic:
                continue
            if to_nic and not self.path.known(flow):
                continue
            self._asked_now += 1
            self.begin(time_s, flow, to_nic, 1, asked=True)

    def begin(
        self, time_s: float, flow: int, to_nic: bool, weight: int, asked: bool = False
    ) -> Move:
        """Move a flow now; `weight`: entries of so many like flows are paid for."""
        move = self.under_way[flow] = Move(flow, to_nic, weight, asked, time_s)
        last = self.path.last.get(flow)
        if last is None:
            self._copy(time_s, move)
        else:
            last.afterwards = lambda then_s: self._copy(then_s, move)
        return move

    def room(self, time_s: float) -> bool:
        """Whether the insertion channel takes more than it has."""
        path = self.path
        return path.held is None and path.channel.waiting(time_s) <= path.limits.inserts

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
        move.then = path.gone
        return True

    def end(self, time_s: float, flows: Sequence[int]) -> None:
        """Flows are over without a last packet: their entries are removed at the host, as after
        one."""
        path = self.path
        for flow in flows:
            path.counts.end(flow)
            if flow in path.entries.at_nic:
                self.ask(flow, False)
            elif flow not in self.under_way:
                path.entries.end(flow)
        self.go_on(time_s)

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
        cycles = path.entries_per_flow * move.weight * path.move_cycles
        end = path.host.work(time_s, cycles * path.host_cycle_s, move.flow)
        path.calendar.push(end + path.pcie_latency_s, self._insert, move)

    def _insert(self, time_s: float, move: Move) -> None:
        path = self.path
        end = path.channel.insert(time_s, path.entries_per_flow * move.weight)
        if end < 0.0:
            path.calendar.push(path.channel.free_s, self._insert, move)
        else:
            path.calendar.push(end, self._flip, move)

    def _flip(self, time_s: float, move: Move) -> None:
        path = self.path
        path.entries.hand_over(move.flow, move.to_nic, move.copied)
        del self.under_way[move.flow]
        self.done += 1
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
            if move.to_nic:
                self.ask(move.flow, False)
            else:
                path.entries.end(move.flow)
        self.go_on(time_s)
        path.check_drained(time_s)
        self.check_idle(time_s)
