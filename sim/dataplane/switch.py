"""A change of the sides of states, while packets go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from models.network_functions.cost_model import CostModel
from models.network_functions.plan import CPU, SPLIT, Plan
from models.network_functions.program import Program
from models.network_functions.trip import Trips

if TYPE_CHECKING:
    from sim.dataplane.packet_path import PacketPath

#: Rounds of copying before the last, at most.
_ROUNDS = 8


def entries_per_flow(program: Program, plan: Plan) -> float:
    """Entries of split states that move with a flow."""
    return sum(
        state.entries_per_flow or 0.0
        for state, side in zip(program.states, plan.sides, strict=True)
        if side == SPLIT
    )


def entries_to_move(model: CostModel, before: Plan, after: Plan, members: int) -> float:
    """Entries that a change of sides puts into the NIC's tables or takes out of them, `members`
    flows having theirs of split states there. A state that becomes split begins with those; from
    a table that was all at the NIC, they are taken out and come back one by one."""
    total = 0.0
    flows = model.profile.flows
    for state, old, new in zip(model.program.states, before.sides, after.sides, strict=True):
        entries = state.entries_of(model.profile)
        own = entries * min(1.0, members / flows)
        here, there = old not in (CPU, SPLIT), new not in (CPU, SPLIT)
        if old == SPLIT:
            total += entries - own if there else own if new == CPU else 0.0
        elif here is not there:
            total += entries
    return total


def switch_rounds(
    entries: float,
    inserts_per_s: float,
    round_trip_s: float,
    few: float,
    changed: Callable[[float], float],
) -> tuple[float, float]:
    """Entries copied in all, and seconds until the new plan is in force. changed(seconds): entries
    that are changed in that time."""
    copied = lasts_s = 0.0
    left = entries
    for _ in range(_ROUNDS):
        if left <= few:
            break
        seconds = left / inserts_per_s + round_trip_s
        copied += left
        lasts_s += seconds
        left = min(left, changed(seconds))
    return copied + left, lasts_s + left / inserts_per_s + round_trip_s


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
        self._per_flow = sum(
            state.entries_per_flow or 0.0
            for state in trips.model.program.states
            if state.consistency == "rmw"
        )

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
