"""What one packet's visit of the host takes: of a core, and of the memory's bandwidth."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.locality import cached_flows, latency
from models.network_functions.path import Path
from models.network_functions.plan import SPLIT
from models.network_functions.traffic import PACKET_TYPES


class Visit(NamedTuple):
    """Seconds of a core and bytes of memory, for a packet and for each of its bytes."""

    seconds: float
    seconds_per_byte: float
    moved: float
    moved_per_byte: float


class HostVisits:
    """The visits of a plan, by packet type and rank of the flow (0 where it is not known: means).

    burst, own_caches: as of `Trips`.
    """

    def __init__(self, model: CostModel, cost: PlanCost, *, burst: int, own_caches: bool) -> None:
        self._model = model
        self._cost = cost
        self._burst = burst
        self._own_caches = own_caches
        self._heads = {
            state.name: [
                self._head(cache.bytes / state.entry_bytes, i) for cache in model.cpu.caches
            ]
            for i, state in enumerate(model.program.states)
        }
        heads = {head for row in self._heads.values() for head in row}
        self._breaks = sorted(head for head in heads if head < model.profile.flows)
        self._visits = [
            [self._visit(cost.paths[kind], rank) for rank in (*self._breaks, inf)]
            for kind in PACKET_TYPES
        ]
        self._means = [self._visit(cost.paths[kind], 0.0) for kind in PACKET_TYPES]

    def takes(self, kind: int, rank: int, size_bytes: float) -> tuple[float, float]:
        """Seconds of a core and bytes of memory for a packet of a type (a position in
        PACKET_TYPES) whose entries are as popular as that rank."""
        visits = self._visits[kind]
        visit = visits[bisect_left(self._breaks, rank)] if rank else self._means[kind]
        seconds, seconds_per_byte, moved, moved_per_byte = visit
        return seconds + seconds_per_byte * size_bytes, moved + moved_per_byte * size_bytes

    def _head(self, entries: float, state: int) -> float:
        """Ranks whose entries a cache of the host holds; of its own, none that are at the NIC."""
        profile, known = self._model.profile, self._model.program.states[state]
        if self._cost.plan.sides[state] != SPLIT or not self._own_caches:
            return cached_flows(entries, known, profile)
        away = min(self._cost.plan.offloaded, profile.flows)
        head = away + entries * profile.flows / known.entries_of(profile)
        return head if head < profile.flows else inf

    def _visit(self, path: Path, rank: float) -> Visit:
        if not path.crosses:
            return Visit(0.0, 0.0, 0.0, 0.0)
        model = self._model
        cpu, host = model.cpu, model.host
        known: Mapping[str, float] = host.latency
        missed: Mapping[str, float] = host.missed
        if rank:
            assert cpu.memory_cycles is not None
            known = {
                name: latency(cpu.caches, heads, cpu.memory_cycles, rank)
                for name, heads in self._heads.items()
            }
            missed = {
                name: float(not heads or rank > heads[-1]) for name, heads in self._heads.items()
            }
        cycle_s = self._burst / cpu.clock_hz
        cycles = host.path_cycles(path, self._cost.plan.sides, known)
        per_byte = sum(model.program.blocks[b].cycles_per_byte for b in path.host)
        return Visit(
            (cycles - per_byte * model.profile.packet_bytes) * cycle_s,
            per_byte * cycle_s,
            self._burst * host.state_bytes(path, missed),
            self._burst * host.bytes_per_packet_byte,
        )
