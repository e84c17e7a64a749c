"""What a NIC stores for a program, and at which level of its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from models.hardware.smartnic_spec import SmartNicSpec
from models.network_functions.levels import place
from models.network_functions.locality import cached_share, read_cycles
from models.network_functions.matched import Matched, best_matched
from models.network_functions.packet_stack import PacketStack
from models.network_functions.plan import CPU, SPLIT
from models.network_functions.program import Operations, Program
from models.network_functions.traffic import TrafficProfile

#: Name of the level of states that the hardware's match tables hold.
MATCH_TABLES = "match tables"


@dataclass(slots=True)
class Accesses:
    """Mean operations on one state for each packet, on the NIC.

    visits: packets that look it up. code_cycles: on a server's core, of the blocks that use it and
    that match tables could do. matched: whether they could do all of them but for insertions,
    which have a channel of their own.
    """

    reads: float = 0.0
    writes: float = 0.0
    adds: float = 0.0
    inserts: float = 0.0
    visits: float = 0.0
    code_cycles: float = 0.0
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
        self._latencies: dict[tuple[int, str, float | None], float] = {}

    def stored_entries(self, state: int, side: str, offloaded: float) -> float:
        """Entries of a state that the NIC holds."""
        if side == CPU:
            return 0.0
        entries = self.program.states[state].entries_of(self.profile)
        return entries * min(1.0, offloaded / self.profile.flows) if side == SPLIT else entries

    def stored_bytes(self, sides: str, offloaded: float) -> float:
        """Bytes of all states at the NIC, with the slack of their tables."""
        return self.stack.table_slack * sum(
            self.stored_entries(i, side, offloaded) * self.program.states[i].entry_bytes
            for i, side in enumerate(sides)
        )

    def most_flows(self, sides: str, levels: Mapping[str, str], side: str) -> float:
        """Flows for whose entries in states on that side (`SPLIT` or `NIC`) there is room at the
        levels of these, beside what all other states store there."""
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
        return min((rooms[level] / size for level, size in each.items() if size), default=inf)

    def read_cycles(self, state: int, level: str, side: str, offloaded: float) -> float:
        """Mean latency of a read of a state at a memory level, in cycles of the NIC."""
        here = offloaded if side == SPLIT else None
        key = (state, level, here)
        found = self._latencies.get(key)
        if found is None:
            memory = self._memory[level]
            known = self.program.states[state]
            found = read_cycles(memory.caches, memory.read_cycles, known, self.profile, here)
            self._latencies[key] = found
        return found

    def waited(self, uses: Operations | Accesses) -> float:
        """Reads for whose latency a thread waits. A network processor posts its writes and
        additions; a core with the server's code waits for part of them, and for insertions."""
        if self.nic.cpu_cycle_ratio is None:
            return uses.reads
        return uses.reads + self.stack.change_share * (uses.writes + uses.adds) + uses.inserts

    def lookup_s(self, state: int, side: str, offloaded: float) -> float:
        """Mean time of the match tables for a look-up in a state."""
        tables = self.nic.match_tables
        assert tables is not None
        here = offloaded if side == SPLIT else None
        share = cached_share(tables.cached_entries, self.program.states[state], self.profile, here)
        return tables.lookup_s(share)

    def levels(
        self, accesses: Mapping[str, Accesses], sides: str, offloaded: float, core_s: float
    ) -> dict[str, str] | None:
        """The level of each state at the NIC; None if they do not fit.

        First what the match tables take, then the memory levels for which waiting is least. A
        level that each core or island has for itself holds a copy for each, so only what may be
        copied. core_s: time of all cores, for each packet, in blocks that tables cannot do.
        """
        nic = self.nic
        waits = {
            i: self._waits(i, accesses[state.name], side, offloaded)
            for i, (state, side) in enumerate(zip(self.program.states, sides, strict=True))
            if side != CPU
        }
        tables = set()
        if nic.match_tables is not None:
            tables = self._in_tables(accesses, sides, offloaded, waits, core_s)
        rest = [i for i in waits if i not in tables]
        sizes = [
            self.stored_entries(i, sides[i], offloaded)
            * self.program.states[i].entry_bytes
            * self.stack.table_slack
            for i in rest
        ]
        chosen = place(
            [waits[i] for i in rest],
            [[size] * len(nic.memory_levels) for size in sizes],
            [level.bytes for level in nic.memory_levels],
        )
        if chosen is None:
            return None
        found = {self.program.states[i].name: MATCH_TABLES for i in tables}
        for i, m in zip(rest, chosen, strict=True):
            found[self.program.states[i].name] = nic.memory_levels[m].name
        return found

    def _waits(self, state: int, used: Accesses, side: str, offloaded: float) -> list[float | None]:
        """Latency of a packet's accesses to a state at each memory level, in cycles; None where it
        may not be."""
        waits: list[float | None] = []
        for level in self.nic.memory_levels:
            if level.scope != "chip" and not self.program.states[state].replicable:
                waits.append(None)
                continue
            cycles = used.writes * level.write_cycles + used.adds * level.add_cycles
            reads = used.reads * self.read_cycles(state, level.name, side, offloaded)
            waits.append(cycles + reads)
        return waits

    def _in_tables(
        self,
        accesses: Mapping[str, Accesses],
        sides: str,
        offloaded: float,
        waits: Mapping[int, Sequence[float | None]],
        core_s: float,
    ) -> set[int]:
        """States for the match tables, so that the busiest of cores, tables and insertion channel
        is least busy."""
        nic = self.nic
        cycle_s = 1.0 / (nic.cores * nic.clock_hz)
        worth: list[Matched] = []
        for i, row in waits.items():
            used = accesses[self.program.states[i].name]
            if not used.matched or not used.visits:
                continue
            code = (nic.cpu_cycle_ratio or 0.0) * used.code_cycles
            waited = self.waited(used) * min(
                self.read_cycles(i, level.name, sides[i], offloaded)
                for level, cycles in zip(nic.memory_levels, row, strict=True)
                if cycles is not None
            )
            worth.append(
                Matched(
                    state=i,
                    entries=self.stored_entries(i, sides[i], offloaded),
                    saved_s=(code + waited) * cycle_s,
                    lookup_s=used.visits * self.lookup_s(i, sides[i], offloaded),
                    insert_s=used.inserts / nic.inserts_per_s,
                )
            )
        return best_matched(worth, core_s, nic.table_entries)
