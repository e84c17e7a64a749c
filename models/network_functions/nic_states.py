"""What a NIC stores for a program, and at which level of its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.hardware.smartnic_spec import SmartNicSpec
from models.network_functions.levels import place
from models.network_functions.locality import cached_share, read_cycles
from models.network_functions.packet_stack import PacketStack
from models.network_functions.plan import CPU, SPLIT
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile

#: Name of the level of states that the hardware's match tables hold.
MATCH_TABLES = "match tables"


@dataclass(slots=True)
class Accesses:
    """Mean operations on one state for each packet, on the NIC.

    code_cycles: of the blocks that use it, on a server's core. matched: whether match tables could
    do every block that uses it."""

    reads: float = 0.0
    writes: float = 0.0
    adds: float = 0.0
    inserts: float = 0.0
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

    def lookup_s(self, state: int, side: str, offloaded: float) -> float:
        """Mean time of the match tables for a look-up in a state."""
        tables = self.nic.match_tables
        assert tables is not None
        here = offloaded if side == SPLIT else None
        share = cached_share(tables.cached_entries, self.program.states[state], self.profile, here)
        return tables.lookup_s(share)

    def levels(
        self, accesses: Mapping[str, Accesses], sides: str, offloaded: float
    ) -> dict[str, str] | None:
        """The level of each state at the NIC for which waiting is least; None if they do not fit.

        A level that each core or island has for itself holds a copy for each, so only what may be
        copied. Match tables hold what their blocks alone use, by entries instead of bytes.
        """
        nic = self.nic
        names: list[str] = []
        costs: list[list[float | None]] = []
        sizes: list[list[float]] = []
        for i, (state, side) in enumerate(zip(self.program.states, sides, strict=True)):
            if side == CPU:
                continue
            used = accesses[state.name]
            entries = self.stored_entries(i, side, offloaded)
            row: list[float | None] = []
            for level in nic.memory_levels:
                if level.scope != "chip" and not state.replicable:
                    row.append(None)
                    continue
                cost = (nic.cpu_cycle_ratio or 0.0) * used.code_cycles
                cost += used.writes * level.write_cycles + used.adds * level.add_cycles
                row.append(cost + used.reads * self.read_cycles(i, level.name, side, offloaded))
            width = [entries * state.entry_bytes * self.stack.table_slack] * len(row)
            if nic.match_tables is not None:
                row.append(0.0 if used.matched else None)
                width.append(entries)
            names.append(state.name)
            costs.append(row)
            sizes.append(width)
        labels = [level.name for level in nic.memory_levels]
        capacities = [level.bytes for level in nic.memory_levels]
        if nic.match_tables is not None:
            labels.append(MATCH_TABLES)
            capacities.append(nic.table_entries)
        chosen = place(costs, sizes, capacities)
        if chosen is None:
            return None
        return {name: labels[m] for name, m in zip(names, chosen, strict=True)}
