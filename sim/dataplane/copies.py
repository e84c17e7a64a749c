"""Entries that are copied to the other side of PCIe before another plan is in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import expm1
from typing import NamedTuple

from models.network_functions.cost_model import CostModel
from models.network_functions.plan import BOTH, CPU, NIC, SPLIT, Plan
from models.network_functions.program import Program, State
from models.network_functions.traffic import TrafficProfile
from sim.dataplane.limits import QueueLimits

#: Rounds of copying before the last, at most.
ROUNDS = 8


class Copy(NamedTuple):
    """Entries of a state, for the NIC or from there. classes: of packets that update the state, so
    that its entries are copied again."""

    state: State
    entries: float
    to_nic: bool
    classes: frozenset[str]

    def changed(self, flows: float) -> float:
        """Entries that packets of so many flows update, on average."""
        if self.state.entries_per_flow:
            return min(self.entries, flows * self.state.entries_per_flow)
        return -self.entries * expm1(-flows / self.entries)


class CopyWork(NamedTuple):
    """Entries copied to the NIC and from there, those of them that were updated meanwhile again;
    bytes over PCIe each way; and the seconds that it takes."""

    to_nic: float
    from_nic: float
    down_bytes: float
    up_bytes: float
    lasts_s: float


def moves_by_flow(state: State) -> bool:
    """Whether entries go over with their flow, one flow after the other."""
    return state.per_flow and state.consistency == "rmw"


def entry_bytes(model: CostModel, state: State) -> float:
    """Bytes over PCIe for an entry of a state that is moved by itself."""
    return state.entry_bytes + model.stack.crossing_bytes


def copies(
    program: Program,
    profile: TrafficProfile,
    before: Plan,
    after: Plan,
    at_nic: float,
    whole: bool,
) -> Iterator[Copy]:
    """What the sides of `after` need and do not have, of states that change sides. at_nic: share
    of flows whose entries of split states are at the NIC as `after` begins. whole: with the
    states whose entries could go over flow by flow.

    Copies of counters are added up where one of them goes."""
    for state, old, new in zip(program.states, before.sides, after.sides, strict=True):
        if old == new or (moves_by_flow(state) and not whole):
            continue
        entries = state.entries_of(profile)
        share = min(1.0, before.offloaded / profile.flows)
        host, nic = _held(new, at_nic)
        if not (old == BOTH and state.consistency == "add"):
            had = _held(old, share)
            host, nic = max(0.0, host - had[0]), max(0.0, nic - had[1])
        classes = frozenset(_updating(program, state))
        for part, to_nic in ((host, False), (nic, True)):
            if part:
                yield Copy(state, part * entries, to_nic, classes)


def copy_work(
    model: CostModel,
    copied: Sequence[Copy],
    limits: QueueLimits,
    changed_flows: Callable[[frozenset[str], float], float],
) -> CopyWork:
    """What copying takes, in batches of `limits.moves`, until few entries are left and these are
    copied, too. changed_flows(classes, seconds): flows that have a packet of these classes in that
    time."""
    nic = model.nic
    entries = sum(each.entries for each in copied)
    if not entries:
        return CopyWork(0.0, 0.0, 0.0, 0.0, 2.0 * nic.pcie_latency_s)
    core_s = model.stack.move_cycles / model.cpu.clock_hz
    batched_s = 2.0 * nic.pcie_latency_s / limits.moves
    mean_s = bytes_up = bytes_down = into = 0.0
    for each in copied:
        share, size = each.entries / entries, entry_bytes(model, each.state)
        slowest_s = 1.0 / nic.inserts_per_s if each.to_nic else 0.0
        slowest_s = max(slowest_s, core_s, size / nic.pcie_bandwidth_bytes_per_s)
        mean_s += share * (slowest_s + batched_s)
        into += share * each.to_nic
        bytes_down += share * size * each.to_nic
        bytes_up += share * size * (not each.to_nic)

    def changed(seconds: float) -> float:
        return sum(each.changed(changed_flows(each.classes, seconds)) for each in copied)

    all_copied, lasts_s = copy_rounds(
        entries, mean_s, 2.0 * nic.pcie_latency_s, limits.moving, changed
    )
    return CopyWork(
        all_copied * into,
        all_copied * (1.0 - into),
        all_copied * bytes_down,
        all_copied * bytes_up,
        lasts_s,
    )


def copy_rounds(
    entries: float,
    entry_s: float,
    round_trip_s: float,
    few: float,
    changed: Callable[[float], float],
) -> tuple[float, float]:
    """Entries copied in all, and seconds until no more than a few are left and these are copied,
    too. changed(seconds): entries that are changed in that time."""
    copied = lasts_s = 0.0
    left = entries
    for _ in range(ROUNDS):
        if left <= few:
            break
        seconds = left * entry_s + round_trip_s
        copied += left
        lasts_s += seconds
        left = min(left, changed(seconds))
    return copied + left, lasts_s + left * entry_s + round_trip_s


def merged(model: CostModel, plan: Plan) -> tuple[float, float]:
    """Counters of which both sides keep a copy, and their bytes."""
    counted = [
        (state.entries_of(model.profile), state.entry_bytes)
        for state, side in zip(model.program.states, plan.sides, strict=True)
        if side == BOTH and state.consistency == "add"
    ]
    return sum(n for n, _ in counted), sum(n * size for n, size in counted)


def _held(side: str, at_nic: float) -> tuple[float, float]:
    """Shares of a state's entries at the host and at the NIC."""
    return {CPU: (1.0, 0.0), NIC: (0.0, 1.0), BOTH: (1.0, 1.0), SPLIT: (1.0 - at_nic, at_nic)}[side]


def _updating(program: Program, state: State) -> Iterator[str]:
    for block in program.blocks:
        uses = block.uses.get(state.name)
        if uses is not None and (uses.writes or uses.adds or uses.inserts):
            yield from block.classes
