"""A change of the plan in force, while packets go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from models.network_functions.trip import Trips

if TYPE_CHECKING:
    from sim.dataplane.packet_path import PacketPath

#: Rounds of copying before the last, at most.
_ROUNDS = 8


class Switch:
    """Copies entries while the old plan is in force, again those that were changed meanwhile, until
    few are left; then packets are held, those under way end, the rest is copied and the new plan
    is in force. No update is lost, and no packet overtakes another.

    entries: to copy through the insertion channel, as many at a time as flows may move. members:
    flows whose entries of split states are at the NIC under the new plan. done(time_s): called
    when it is in force.
    """

    def __init__(
        self,
        path: PacketPath,
        trips: Trips,
        entries: float,
        members: set[int],
        done: Callable[[float], None],
    ) -> None:
        self.path = path
        self.trips = trips
        self.members = members
        self.copied = 0.0
        self._rounds = 0
        self._done = done
        self._left = entries
        self._per_flow = sum(
            state.entries_per_flow or 0.0
            for state in trips.model.program.states
            if state.consistency == "rmw"
        )

    def start(self, time_s: float) -> None:
        """Begin to copy."""
        self.path.entries.changed = set()
        self._copy(time_s, None)

    def _copy(self, time_s: float, _: None) -> None:
        """The next entries, or the next round."""
        if self._left > self.path.limits.moving and self._rounds <= _ROUNDS:
            entries = min(self._left, float(self.path.limits.moves))
            self._left -= entries
            self.path.calendar.push(self._insert(time_s, entries), self._copy)
            return
        changed = self._changed()
        self._rounds += 1
        self._left += changed
        if self._left <= self.path.limits.moving or self._rounds > _ROUNDS:
            self.path.hold_all(time_s, self._last)
        else:
            self.path.calendar.push(time_s, self._copy)

    def _changed(self) -> float:
        """Entries that were changed since the last time; only where any are copied."""
        changed = len(self.path.entries.changed or ()) * self._per_flow
        self.path.entries.changed = set()
        return changed if self.copied else 0.0

    def _insert(self, time_s: float, entries: float) -> float:
        """Copy so many entries, a core's work and the channel's; returns when it is done."""
        path = self.path
        self.copied += entries
        copied_s = path.host.work(time_s, entries * path.move_cycles * path.host_cycle_s)
        inserted_s = path.channel.serve(time_s, entries * path.channel.operation_s)
        return max(copied_s, inserted_s) + 2.0 * path.pcie_latency_s

    def _last(self, time_s: float) -> None:
        """No packet is under way."""
        self._left += self._changed()
        self.path.calendar.push(self._insert(time_s, self._left), self._flip)

    def _flip(self, time_s: float, _: None) -> None:
        path = self.path
        path.entries.changed = None
        path.entries.redeal(self.members)
        path.use(self.trips)
        path.release_all(time_s)
        self._done(time_s)
