"""What a NIC stores for a program, and at which level of its memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf

from models.hardware.smartnic_spec import MemoryLevel, SmartNicSpec
from models.network_functions.levels import place
from models.network_functions.locality import cached_flows, mean_cycles
from models.network_functions.packet_stack import PacketStack
from models.network_functions.path import Path
from models.network_functions.plan import CPU, SPLIT
from models.network_functions.program import Operations, Program
from models.network_functions.traffic import TrafficProfile

#: Name of the level of states that the hardware's match tables hold.
MATCH_TABLES = "match tables"


@dataclass(slots=True)
class Accesses:
    """Mean operations on one state for each packet, on the NIC.

    reads: by type of packet. kinds: types of packets that look it up. matched: whether match tables
    could do all blocks that use it but for insertions, which have a channel of their own.
    """

    reads: dict[str, float] = field(default_factory=dict)
    writes: float = 0.0
    adds: float = 0.0
    inserts: float = 0.0
    kinds: set[str] = field(default_factory=set)
    matched: bool = True


class NicStates:
    """States of one program under one traffic, at one NIC."""

    def __init__(
        self, program: Program, profile: TrafficProfile, nic: SmartNicSpec, stack: PacketStack
    ) -> None:
        self.program = program
        self.profile = profile
        self.nic = nic
        self.stack = stack
        self.position = {state.name: i for i, state in enumerate(program.states)}
        self._memory = {level.name: level for level in nic.memory_levels}
        self._latencies: dict[tuple[int, str, bool, float, str], float] = {}

    def stored_entries(self, state: int, side: str, offloaded: float) -> float:
        """Entries of a state that the NIC holds."""
        if side == CPU:
            return 0.0
        entries = self.program.states[state].entries_of(self.profile)
        return entries * min(1.0, offloaded / self.profile.flows) if side == SPLIT else entries

    def bytes_of(self, state: int, side: str, offloaded: float) -> float:
        """Bytes of a state at the NIC, with the slack of its table."""
        entries = self.stored_entries(state, side, offloaded)
        return self.stack.table_slack * entries * self.program.states[state].entry_bytes

    def stored_bytes(self, sides: str, offloaded: float) -> float:
        """Bytes of all states."""
        return sum(self.bytes_of(i, side, offloaded) for i, side in enumerate(sides))

    def most_flows(self, sides: str, levels: Mapping[str, str], side: str) -> float:
        """Whole flows for whose entries in states on that side (`SPLIT` or `NIC`) there is room at
        the levels of these, beside what all other states store there."""
        rooms = {level.name: level.bytes for level in self.nic.memory_levels}
        rooms[MATCH_TABLES] = float(self.nic.table_entries)
        each = dict.fromkeys(rooms, 0.0)
        for i, state in enumerate(self.program.states):
            if state.name not in levels:
                continue
            level = levels[state.name]
            slack = self.stack.table_slack * state.entry_bytes
            taken = 1.0 if level == MATCH_TABLES else slack
            if sides[i] == side and state.entries_per_flow:
                each[level] += taken * state.entries_per_flow
            elif sides[i] != SPLIT:
                rooms[level] -= taken * self.stored_entries(i, sides[i], 0.0)
        most = [(rooms[level] / size + 1e-6) // 1.0 for level, size in each.items() if size]
        return min(most, default=inf)

    def read_cycles(
        self, state: int, level: str, side: str, offloaded: float, packet: str
    ) -> float:
        """Mean latency of a packet type's read of a state at a memory level, in its cycles."""
        key = (state, level, side == SPLIT, offloaded, packet)
        found = self._latencies.get(key)
        if found is None:
            memory = self._memory[level]
            size = self.program.states[state].entry_bytes
            shares = [
                self._cached(cache.bytes / size, state, side, offloaded, packet)
                for cache in memory.caches
            ]
            found = mean_cycles(memory.caches, memory.read_cycles, shares)
            self._latencies[key] = found
        return found

    def _cached(
        self, entries: float, state: int, side: str, offloaded: float, packet: str
    ) -> float:
        """Share of a packet type's accesses to a state that a cache of so many entries serves. Who
        looks for an entry that is not there looks where those of unpopular flows would be."""
        here = offloaded if side == SPLIT else None
        head = cached_flows(entries, self.program.states[state], self.profile, here)
        return 1.0 if head == inf else self.profile.share_within(packet, head, offloaded)

    def waited(self, uses: Operations) -> float:
        """Reads for whose latency a thread waits. A network processor posts its writes and
        additions; a core with the server's code waits for part of them, and for insertions."""
        if self.nic.cpu_cycle_ratio is None:
            return uses.reads
        return uses.reads + self.stack.change_share * (uses.writes + uses.adds) + uses.inserts

    def lookup_s(self, state: int, side: str, offloaded: float, packet: str) -> float:
        """Mean time of the match tables for a packet type's look-up in a state."""
        tables = self.nic.match_tables
        assert tables is not None
        share = self._cached(tables.cached_entries, state, side, offloaded, packet)
        return tables.lookup_s(share)

    def accesses(
        self, paths: Mapping[str, Path], weights: Mapping[str, float], probed: int
    ) -> dict[str, Accesses]:
        """Mean operations of paths on each state; every packet but those of offloaded flows looks
        in vain into the `probed` one (-1: none)."""
        found = {state.name: Accesses() for state in self.program.states}
        for packet, path in paths.items():
            weight = weights[packet]
            visited = set()
            if packet != "EH" and probed >= 0:
                visited.add(self.program.states[probed].name)
                found[self.program.states[probed].name].reads[packet] = weight
            for b in path.nic:
                block = self.program.blocks[b]
                for name, uses in block.uses.items():
                    if not uses.only_inserts:
                        visited.add(name)
                    total = found[name]
                    total.reads[packet] = total.reads.get(packet, 0.0) + weight * uses.reads
                    total.writes += weight * uses.writes
                    total.adds += weight * uses.adds
                    total.inserts += weight * uses.inserts
                    if not block.match_action and not uses.only_inserts:
                        total.matched = False
            for name in visited:
                found[name].kinds.add(packet)
        return found

    def levels(
        self,
        accesses: Mapping[str, Accesses],
        sides: str,
        offloaded: float,
        tables: Collection[int] = (),
    ) -> dict[str, str] | None:
        """The level of each state at the NIC, but for those that match tables hold the memory
        level for which waiting is least; None if they do not fit.

        A level that each core or island has for itself holds a copy for each, so only what may be
        copied."""
        nic = self.nic
        rest = [i for i, side in enumerate(sides) if side != CPU and i not in tables]
        sizes = [self.bytes_of(i, sides[i], offloaded) for i in rest]
        states = self.program.states
        chosen = place(
            [self._waits(i, accesses[states[i].name], sides[i], offloaded) for i in rest],
            [[size] * len(nic.memory_levels) for size in sizes],
            [level.bytes for level in nic.memory_levels],
        )
        if chosen is None:
            return None
        found = {states[i].name: MATCH_TABLES for i in tables}
        for i, m in zip(rest, chosen, strict=True):
            found[states[i].name] = nic.memory_levels[m].name
        return found

    def least_read_cycles(self, state: int, side: str, offloaded: float, packet: str) -> float:
        """Mean latency of a packet type's read at the nearest level where a state may be."""
        return min(
            self.read_cycles(state, level.name, side, offloaded, packet)
            for level in self.nic.memory_levels
            if self._may_be(state, level)
        )

    def _may_be(self, state: int, level: MemoryLevel) -> bool:
        return level.scope == "chip" or self.program.states[state].replicable

    def _waits(self, state: int, used: Accesses, side: str, offloaded: float) -> list[float | None]:
        """Latency of a packet's accesses to a state at each memory level, in cycles; None where it
        may not be."""
        waits: list[float | None] = []
        for level in self.nic.memory_levels:
            if not self._may_be(state, level):
                waits.append(None)
                continue
            cycles = used.writes * level.write_cycles + used.adds * level.add_cycles
            for packet, reads in used.reads.items():
                cycles += reads * self.read_cycles(state, level.name, side, offloaded, packet)
            waits.append(cycles)
        return waits

    def engines_s(
        self, accesses: Mapping[str, Accesses], levels: Mapping[str, str]
    ) -> dict[str, float]:
        """Seconds of the engine of each memory level for each packet."""
        seconds = {}
        for level in self.nic.memory_levels:
            if level.reads_per_s is None and level.adds_per_s is None:
                continue
            here = [accesses[name] for name, where in levels.items() if where == level.name]
            busy = 0.0
            if level.reads_per_s is not None:
                plain = sum(sum(used.reads.values()) + used.writes + used.inserts for used in here)
                busy += plain / level.reads_per_s
            if level.adds_per_s is not None:
                busy += sum(used.adds for used in here) / level.adds_per_s
            seconds[f"memory {level.name}"] = busy
        return seconds
