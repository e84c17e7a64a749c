"""What one packet does on its way through a NIC and its host, step by step, under a plan.

The times are those that `cost_model` averages: a packet's own depend on how popular its flow is,
since caches hold the entries of popular flows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.host_visits import HostVisits
from models.network_functions.legs import Draft, Leg
from models.network_functions.locality import cached_flows, latency
from models.network_functions.nic_states import MATCH_TABLES
from models.network_functions.path import Path
from models.network_functions.plan import BOTH, SPLIT
from models.network_functions.traffic import PACKET_TYPES


class Trip(NamedTuple):
    """The way of a packet: match tables, NIC, host (where it crosses), match tables, NIC.

    inserts: entries put into tables of the NIC. nic_adds, host_adds: additions to counters of which
    both sides keep a copy.
    """

    match_before_s: float
    before: tuple[Leg, ...]
    crosses: bool
    match_after_s: float
    after: tuple[Leg, ...]
    inserts: float
    nic_adds: float
    host_adds: float


class Trips:
    """The trips of a plan, by packet type and rank of the flow (0 where it is not known: means).

    burst: packets that a trip stands for; all times are so many times as long. posted: operations
    that an engine takes into its queue before a thread that posts one has to wait. own_caches: the
    host's caches hold what packets at the host want, not what those of all traffic would.
    engines: names, as of `NicCost.seconds`, of what trips use by position. host: the visits there.
    """

    def __init__(
        self,
        model: CostModel,
        cost: PlanCost,
        *,
        burst: int = 1,
        posted: int = 64,
        own_caches: bool = False,
    ):
        self.model = model
        self.cost = cost
        self.burst = burst
        self.posted = posted
        self.own_caches = own_caches
        nic = model.nic
        self.engines = [
            f"memory {level.name}"
            for level in nic.memory_levels
            if level.reads_per_s is not None or level.adds_per_s is not None
        ]
        self.engines += [f"accelerator {name}" for name in nic.accelerators]
        self._sides = cost.plan.sides
        self._offloaded = cost.plan.offloaded
        self._probed = self._sides.find(SPLIT)
        self._levels = {level.name: level for level in nic.memory_levels}
        self._breaks = self._thresholds()
        self._trips = [
            [self._trip(kind, rank) for rank in (*self._breaks, inf)] for kind in PACKET_TYPES
        ]
        self._means = [self._trip(kind, 0.0) for kind in PACKET_TYPES]
        self.host = HostVisits(model, cost, burst=burst, own_caches=own_caches)

    def find(self, kind: int, rank: int) -> Trip:
        """The trip of a packet type (a position in PACKET_TYPES) of a flow of that rank."""
        if rank:
            return self._trips[kind][bisect_left(self._breaks, rank)]
        return self._means[kind]

    def _thresholds(self) -> list[float]:
        """Ranks at which any time on the NIC changes."""
        model = self.model
        found: set[float] = set()
        for i, state in enumerate(model.program.states):
            name = self.cost.nic.levels.get(state.name)
            if name == MATCH_TABLES:
                assert model.nic.match_tables is not None
                found.add(self._head(model.nic.match_tables.cached_entries, i))
            elif name is not None:
                for cache in self._levels[name].caches:
                    found.add(self._head(cache.bytes / state.entry_bytes, i))
        return sorted(rank for rank in found if rank < model.profile.flows)

    def _head(self, entries: float, state: int) -> float:
        here = self._offloaded if self._sides[state] == SPLIT else None
        return cached_flows(entries, self.model.program.states[state], self.model.profile, here)

    def _trip(self, kind: str, rank: float) -> Trip:
        path = self.cost.paths[kind]
        matched = self._match_s(kind, path, rank)
        return Trip(
            match_before_s=matched[0],
            before=self._legs(kind, path.before, rank, first=True),
            crosses=path.crosses,
            match_after_s=matched[1],
            after=self._legs(kind, path.after, rank, first=False),
            inserts=self._inserts(path),
            nic_adds=self._adds(path.nic),
            host_adds=self._adds(path.host),
        )

    def _adds(self, blocks: Sequence[int]) -> float:
        """Additions of blocks to states that both sides have."""
        program = self.model.program
        copied = {
            state.name
            for state, side in zip(program.states, self._sides, strict=True)
            if side == BOTH
        }
        return self.burst * sum(
            uses.adds
            for b in blocks
            for name, uses in program.blocks[b].uses.items()
            if name in copied
        )

    def _inserts(self, path: Path) -> float:
        """Entries that the host, or the NIC itself, puts into its tables for one packet."""
        model = self.model
        total = model.host.nic_inserts(path, self._sides)
        for b in path.nic:
            for name, uses in model.program.blocks[b].uses.items():
                own = model.nic.cpu_cycle_ratio is None
                if own or self.cost.nic.levels.get(name) == MATCH_TABLES:
                    total += uses.inserts
        return total * self.burst

    def _match_s(self, kind: str, path: Path, rank: float) -> tuple[float, float]:
        """Time of the match tables before and after the host."""
        seen: set[str] = set()
        parts = []
        probes = kind != "EH" and self._probed >= 0
        for part, blocks in enumerate((path.before, path.after)):
            names = [self.model.program.states[self._probed].name] if probes and not part else []
            for b in blocks:
                uses = self.model.program.blocks[b].uses
                names += [name for name, item in uses.items() if not item.only_inserts]
            total = 0.0
            for name in names:
                if self.cost.nic.levels[name] == MATCH_TABLES and name not in seen:
                    seen.add(name)
                    total += self._lookup_s(kind, name, rank)
            parts.append(total * self.burst)
        return parts[0], parts[1]

    def _lookup_s(self, kind: str, name: str, rank: float) -> float:
        states = self.model.at_nic.states
        i = states.position[name]
        tables = self.model.nic.match_tables
        assert tables is not None
        if not rank:
            return states.lookup_s(i, self._sides[i], self._offloaded, kind)
        return tables.lookup_s(1.0 if rank <= self._head(tables.cached_entries, i) else 0.0)

    def _legs(
        self, kind: str, blocks: tuple[int, ...], rank: float, first: bool
    ) -> tuple[Leg, ...]:
        model = self.model
        nic, demand, levels = model.nic, model.at_nic, self.cost.nic.levels
        draft = Draft(self.burst / nic.clock_hz, self.posted, self.burst)
        if first:
            draft.issue += nic.overhead_cycles
            if kind != "EH" and self._probed >= 0:
                name = model.program.states[self._probed].name
                if levels[name] != MATCH_TABLES:
                    draft.issue += nic.probe_cycles
                    self._use(draft, name, reads=1.0)
                    draft.wait(self._read_cycles(kind, name, rank))
        for b in blocks:
            block = model.program.blocks[b]
            if demand.in_tables(block, levels):
                continue
            draft.issue += demand.issue_cycles[b]
            draft.issue -= demand.byte_cycles[b] * model.profile.packet_bytes
            draft.byte_cycles += demand.byte_cycles[b]
            accelerated = demand.accelerated(block)
            waits = 0.0
            for name, uses in block.uses.items():
                if levels[name] == MATCH_TABLES:
                    continue
                posted = uses.writes + uses.inserts
                self._use(draft, name, reads=uses.reads, writes=posted, adds=uses.adds)
                waits += demand.states.waited(uses) * self._read_cycles(kind, name, rank)
            if accelerated:
                assert block.accelerator is not None
                engine = self.engines.index(f"accelerator {block.accelerator}")
                draft.accelerate(engine, self.burst / nic.accelerators[block.accelerator])
            elif waits:
                draft.wait(waits)
        return draft.legs()

    def _use(
        self, draft: Draft, name: str, reads: float, writes: float = 0.0, adds: float = 0.0
    ) -> None:
        level = self._levels[self.cost.nic.levels[name]]
        key = f"memory {level.name}"
        if key not in self.engines:
            return
        engine = self.engines.index(key)
        if level.reads_per_s is not None:
            draft.use(engine, reads / level.reads_per_s, bool(reads), 1.0 / level.reads_per_s)
            draft.use(engine, writes / level.reads_per_s, False, 1.0 / level.reads_per_s)
        if level.adds_per_s is not None:
            draft.use(engine, adds / level.adds_per_s, False, 1.0 / level.adds_per_s)

    def _read_cycles(self, kind: str, name: str, rank: float) -> float:
        i = self.model.at_nic.states.position[name]
        level = self._levels[self.cost.nic.levels[name]]
        if not rank:
            return self.model.at_nic.states.read_cycles(
                i, level.name, self._sides[i], self._offloaded, kind
            )
        entry = self.model.program.states[i].entry_bytes
        heads = [self._head(cache.bytes / entry, i) for cache in level.caches]
        return latency(level.caches, heads, level.read_cycles, rank)
