"""A change of the plan in force, while packets go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from models.network_functions.traffic import CLASS_OF, PACKET_TYPES
from models.network_functions.trip import Trips
from sim.core.errors import LawBroken
from sim.dataplane.copies import ROUNDS, Copy, entry_bytes

if TYPE_CHECKING:
    from sim.dataplane.packet_path import PacketPath

#: Multiplier of a hash of flows: which entry of a shared state is theirs.
_GOLDEN = 2654435769


class Switch:
    """Copies entries while the old plan is in force, again those that were updated meanwhile, until
    few are left; then packets are held, those under way end, the rest is copied and the new plan
    is in force. No update is lost, and no packet overtakes another.

    A host core copies each entry, batches of as many as flows may move cross PCIe in a round trip,
    and what is for the NIC goes through the insertion channel. members: flows whose entries of
    split states are at the NIC under the new plan. done(time_s): called when it is in force.
    """

    def __init__(
        self,
        path: PacketPath,
        trips: Trips,
        copied: Sequence[Copy],
        members: set[int],
        done: Callable[[float], None],
    ) -> None:
        self.path = path
        self.trips = trips
        self.members = members
        self.copied = 0.0
        self._rounds = 0
        self._done = done
        self._copies = copied
        #: Entries to copy from the NIC and to it, and mean bytes of one.
        self._left = [0.0, 0.0]
        self._bytes = [0.0, 0.0]
        for each in copied:
            self._left[each.to_nic] += each.entries
            self._bytes[each.to_nic] += each.entries * entry_bytes(trips.model, each.state)
        self._bytes = [
            size / (left or 1.0) for size, left in zip(self._bytes, self._left, strict=True)
        ]
        #: Updates that the copies hold, by flow and type of packet.
        self._held: dict[tuple[int, int], int] = {}

    def start(self, time_s: float) -> None:
        """Begin to copy."""
        self.path.entries.changed = {}
        self._copy(time_s, None)

    def _copy(self, time_s: float, _: None) -> None:
        """The next entries, or the next round."""
        few = self.path.limits.moving
        if sum(self._left) > few and self._rounds <= ROUNDS:
            to_nic = self._left[1] > 0.0
            entries = min(self._left[to_nic], float(self.path.limits.moves))
            self.path.calendar.push(self._bring(time_s, entries, to_nic), self._copy)
            return
        self._again()
        self._rounds += 1
        if sum(self._left) <= few or self._rounds > ROUNDS:
            self.path.arrivals.hold_all(time_s, self._last)
        else:
            self.path.calendar.push(time_s, self._copy)

    def _again(self) -> None:
        """Find what was updated since it was copied."""
        changed = self.path.entries.changed or {}
        if self.copied:
            stale = [key for key, count in changed.items() if self._held.get(key) != count]
            for each in self._copies:
                kinds = {i for i, kind in enumerate(PACKET_TYPES) if CLASS_OF[kind] in each.classes}
                flows = {flow for flow, kind in stale if kind in kinds}
                self._left[each.to_nic] += _entries(each, flows)
        self._held = dict(changed)

    def _bring(self, time_s: float, entries: float, to_nic: bool) -> float:
        """Copy so many entries; returns when they are there."""
        path = self.path
        self.copied += entries
        self._left[to_nic] -= entries
        ends = [path.host.work(time_s, entries * path.move_cycles * path.host_cycle_s)]
        ends.append(path.crossing.move(time_s, entries * self._bytes[to_nic], up=not to_nic))
        if to_nic:
            ends.append(path.channel.serve(time_s, entries * path.channel.operation_s))
        return max(ends) + 2.0 * path.pcie_latency_s

    def _last(self, time_s: float) -> None:
        """No packet is under way."""
        self._again()
        end = time_s
        for to_nic in (False, True):
            if self._left[to_nic] > 0.0 or to_nic:
                end = max(end, self._bring(time_s, self._left[to_nic], to_nic))
        self.path.calendar.push(end, self._flip)

    def _flip(self, time_s: float, _: None) -> None:
        path = self.path
        if path.entries.changed != self._held:
            raise LawBroken("updates are lost in a change of plan: they came after the last copy")
        path.entries.changed = None
        path.entries.redeal(self.members)
        path.use(self.trips)
        path.arrivals.release_all(time_s)
        self._done(time_s)


def _entries(copy: Copy, flows: set[int]) -> float:
    """Entries of a state that are these flows'."""
    state = copy.state
    if state.entries_per_flow:
        return len(flows) * state.entries_per_flow
    places = max(1, int(copy.entries))
    return float(len({(flow * _GOLDEN >> 12) % places for flow in flows}))
