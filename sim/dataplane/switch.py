"""A change of the sides of states, while packets go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from models.network_functions.cost_model import CostModel
from models.network_functions.plan import CPU, NIC, SPLIT, Plan
from models.network_functions.trip import Trips

if TYPE_CHECKING:
    from sim.dataplane.packet_path import PacketPath

#: Rounds of copying before the last, at most.
_ROUNDS = 8


def entries_to_move(model: CostModel, before: Plan, after: Plan) -> float:
    """Entries that a change of plan puts into the NIC's tables or takes out of them."""
    profile = model.profile
    total = 0.0
    for state, old, new in zip(model.program.states, before.sides, after.sides, strict=True):
        if old == new and old != SPLIT:
            continue
        entries = state.entries_of(profile)
        held = [
            entries * min(1.0, plan.offloaded / profile.flows)
            if side == SPLIT
            else entries
            if side != CPU
            else 0.0
            for side, plan in ((old, before), (new, after))
        ]
        total += abs(held[1] - held[0])
    return total


class Switch:
    """Copies the entries that change sides while the old plan is in force, again those that were
    changed meanwhile, until few are left; then packets are held, those under way end, the rest is
    copied and the new plan is in force. No update is lost, and no packet overtakes another.

    done(time_s): called when the new plan is in force.
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
        self.rounds = 0
        self.copied = 0.0
        self._done = done
        self._left = entries

    def start(self, time_s: float) -> None:
        """Begin to copy."""
        self._round(time_s, None)

    def _round(self, time_s: float, _: None) -> None:
        path = self.path
        if self.rounds:
            self._left = min(self._left, len(path.entries.changed or ()) * self._per_flow)
        few = self._left <= path.limits.moving
        path.entries.changed = set()
        if few or self.rounds == _ROUNDS:
            path.hold_all(time_s, self._last)
            return
        self.rounds += 1
        path.calendar.push(self._copy(time_s, self._left), self._round)

    @property
    def _per_flow(self) -> float:
        sides = self.trips.cost.plan.sides
        return sum(
            state.entries_per_flow or 0.0
            for state, side in zip(self.trips.model.program.states, sides, strict=True)
            if state.consistency == "rmw" and side in (NIC, SPLIT, CPU)
        )

    def _copy(self, time_s: float, entries: float) -> float:
        """Copy so many entries, a core's work and the channel's; returns when it is done."""
        path = self.path
        self.copied += entries
        cycles = entries * path.move_cycles
        copied_s = path.host.work(time_s, cycles * path.host_cycle_s)
        inserted_s = path.channel.serve(time_s, entries * path.channel.operation_s)
        return max(copied_s, inserted_s) + 2.0 * path.pcie_latency_s

    def _last(self, time_s: float) -> None:
        """No packet is under way."""
        path = self.path
        left = min(self._left, len(path.entries.changed or ()) * self._per_flow)
        path.calendar.push(self._copy(time_s, left), self._flip)

    def _flip(self, time_s: float, _: None) -> None:
        path = self.path
        path.entries.changed = None
        path.entries.redeal(self.members)
        path.use(self.trips)
        path.release_all(time_s)
        self._done(time_s)
