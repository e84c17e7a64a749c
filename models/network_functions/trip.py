"""What one packet does on its way through a NIC and its host, step by step, under a plan.

The times are those that `cost_model` averages: a packet's own depend on how popular its flow is,
since caches hold the entries of popular flows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

from models.hardware.cache_level import CacheLevel
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.locality import cached_flows
from models.network_functions.nic_states import MATCH_TABLES
from models.network_functions.path import Path
from models.network_functions.plan import BOTH, SPLIT
from models.network_functions.traffic import PACKET_TYPES


class Segment(NamedTuple):
    """Work of a NIC's core, then a wait of its thread.

    uses: engine, its service time, and the backlog of the engine that the thread need not wait for
    (0 for reads; writes and additions are posted). issue_s_per_byte: of the packet, more.
    """

    issue_s: float
    wait_s: float
    uses: tuple[tuple[int, float, float], ...]
    issue_s_per_byte: float = 0.0


class Leg(NamedTuple):
    """Work of one thread of a core, then of an accelerator (an engine; -1 for none)."""

    segments: tuple[Segment, ...]
    accelerator: int
    accelerator_s_per_byte: float


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
    engines: names, as of `NicCost.seconds`, of what trips use by position.
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
        self._host_heads = {
            state.name: [
                self._host_head(cache.bytes / state.entry_bytes, i) for cache in model.cpu.caches
            ]
            for i, state in enumerate(model.program.states)
        }
        heads = {head for row in self._host_heads.values() for head in row}
        self._host_breaks = sorted(head for head in heads if head < model.profile.flows)
        self._host_s = [
            [self._host(cost.paths[kind], rank) for rank in (*self._host_breaks, inf)]
            for kind in PACKET_TYPES
        ]
        self._host_means = [self._host(cost.paths[kind], 0.0) for kind in PACKET_TYPES]

    def find(self, kind: int, rank: int) -> Trip:
        """The trip of a packet type (a position in PACKET_TYPES) of a flow of that rank."""
        if rank:
            return self._trips[kind][bisect_left(self._breaks, rank)]
        return self._means[kind]

    def host_s(self, kind: int, rank: int, size_bytes: float) -> float:
        """Time of a host core for a packet whose entries are as popular as that rank."""
        if rank:
            fixed_s, byte_s = self._host_s[kind][bisect_left(self._host_breaks, rank)]
        else:
            fixed_s, byte_s = self._host_means[kind]
        return fixed_s + byte_s * size_bytes

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

    def _host_head(self, entries: float, state: int) -> float:
        """Ranks whose entries a cache of the host holds; of its own, none that are at the NIC."""
        profile, known = self.model.profile, self.model.program.states[state]
        if self._sides[state] != SPLIT or not self.own_caches:
            return cached_flows(entries, known, profile)
        away = min(self._offloaded, profile.flows)
        head = away + entries * profile.flows / known.entries_of(profile)
        return head if head < profile.flows else inf

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

    def _host(self, path: Path, rank: float) -> tuple[float, float]:
        """Time of a host core for a packet, and for each of its bytes."""
        if not path.crosses:
            return 0.0, 0.0
        model = self.model
        latency: Mapping[str, float] = model.host.latency
        if rank:
            assert model.cpu.memory_cycles is not None
            latency = {
                name: _latency(model.cpu.caches, heads, model.cpu.memory_cycles, rank)
                for name, heads in self._host_heads.items()
            }
        cycle_s = self.burst / model.cpu.clock_hz
        cycles = model.host.path_cycles(path, self._sides, latency)
        per_byte = sum(model.program.blocks[b].cycles_per_byte for b in path.host)
        return (cycles - per_byte * model.profile.packet_bytes) * cycle_s, per_byte * cycle_s

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
                    total += self._lookup_s(name, rank)
            parts.append(total * self.burst)
        return parts[0], parts[1]

    def _lookup_s(self, name: str, rank: float) -> float:
        states = self.model.at_nic.states
        i = states.position[name]
        tables = self.model.nic.match_tables
        assert tables is not None
        if not rank:
            return states.lookup_s(i, self._sides[i], self._offloaded)
        return tables.lookup_s(1.0 if rank <= self._head(tables.cached_entries, i) else 0.0)

    def _legs(
        self, kind: str, blocks: tuple[int, ...], rank: float, first: bool
    ) -> tuple[Leg, ...]:
        model = self.model
        nic, demand, levels = model.nic, model.at_nic, self.cost.nic.levels
        draft = _Draft(self.burst / nic.clock_hz, self.posted, self.burst)
        if first:
            draft.issue += nic.overhead_cycles
            if kind != "EH" and self._probed >= 0:
                name = model.program.states[self._probed].name
                if levels[name] != MATCH_TABLES:
                    draft.issue += nic.probe_cycles
                    self._use(draft, name, reads=1.0)
                    draft.wait(self._read_cycles(name, rank))
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
                waits += demand.states.waited(uses) * self._read_cycles(name, rank)
            if accelerated:
                assert block.accelerator is not None
                engine = self.engines.index(f"accelerator {block.accelerator}")
                draft.accelerate(engine, self.burst / nic.accelerators[block.accelerator])
            elif waits:
                draft.wait(waits)
        return draft.legs()

    def _use(
        self, draft: _Draft, name: str, reads: float, writes: float = 0.0, adds: float = 0.0
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

    def _read_cycles(self, name: str, rank: float) -> float:
        i = self.model.at_nic.states.position[name]
        level = self._levels[self.cost.nic.levels[name]]
        if not rank:
            return self.model.at_nic.states.read_cycles(
                i, level.name, self._sides[i], self._offloaded
            )
        entry = self.model.program.states[i].entry_bytes
        heads = [self._head(cache.bytes / entry, i) for cache in level.caches]
        return _latency(level.caches, heads, level.read_cycles, rank)


def _latency(
    caches: Sequence[CacheLevel], heads: Sequence[float], memory_cycles: float, rank: float
) -> float:
    """Latency of a read of a flow's entry; `heads`: flows whose entries each cache holds."""
    for cache, head in zip(caches, heads, strict=True):
        if rank <= head:
            return cache.cycles
    return memory_cycles


class _Draft:
    """Legs in the making."""

    def __init__(self, cycle_s: float, posted: int, burst: int) -> None:
        self.issue = self.byte_cycles = 0.0
        self._cycle_s = cycle_s
        self._posted = posted
        self._burst = burst
        self._uses: dict[int, list[float]] = {}
        self._segments: list[Segment] = []
        self._legs: list[Leg] = []

    def use(self, engine: int, service_s: float, waited: bool, operation_s: float) -> None:
        """Operations of an engine by the end of the present segment."""
        if service_s > 0.0:
            slack = self._posted * operation_s * self._burst
            entry = self._uses.setdefault(engine, [0.0, slack])
            entry[0] += service_s * self._burst
            entry[1] = 0.0 if waited else min(entry[1], slack)

    def wait(self, cycles: float) -> None:
        """The segment ends with a wait."""
        uses = tuple((engine, *entry) for engine, entry in self._uses.items())
        issue_s, byte_s = self.issue * self._cycle_s, self.byte_cycles * self._cycle_s
        self._segments.append(Segment(issue_s, cycles * self._cycle_s, uses, byte_s))  # type: ignore[arg-type]
        self.issue = self.byte_cycles = 0.0
        self._uses = {}

    def accelerate(self, engine: int, s_per_byte: float) -> None:
        """The leg ends at an accelerator."""
        self._close(engine, s_per_byte)

    def legs(self) -> tuple[Leg, ...]:
        """All legs."""
        if self.issue or self.byte_cycles or self._uses or self._segments:
            self._close(-1, 0.0)
        return tuple(self._legs)

    def _close(self, engine: int, s_per_byte: float) -> None:
        if self.issue or self.byte_cycles or self._uses:
            self.wait(0.0)
        self._legs.append(Leg(tuple(self._segments), engine, s_per_byte))
        self._segments = []
