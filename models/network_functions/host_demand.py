"""What a packet costs at the host."""

from __future__ import annotations

from collections.abc import Mapping

from models.errors import ConfigError
from models.hardware.cpu_spec import CpuSpec
from models.network_functions.locality import missed_share, read_cycles
from models.network_functions.packet_stack import PacketStack
from models.network_functions.path import Path
from models.network_functions.plan import BOTH, NIC, SPLIT
from models.network_functions.program import Block, Program
from models.network_functions.traffic import TrafficProfile


class HostDemand:
    """Cycles of a host core and bytes of its memory by block, for one program and traffic.

    latency: state -> mean cycles of a read. block_cycles: for each block, with its operations on
    states and tables at the host. missed: state -> share of its operations that no cache serves.

    Memory is moved by lines. What misses the caches is what the latency says does: each operation
    is an access of its own and brings a line; one that changes its entry (a write, an addition, an
    insertion) dirties the line, which goes back. A packet's own bytes go to the last cache and
    leave from there, but for the part that the stack sends through memory. Moves of entries,
    merges and searches are priced in cycles alone.
    """

    def __init__(
        self, program: Program, profile: TrafficProfile, cpu: CpuSpec, stack: PacketStack
    ) -> None:
        if cpu.memory_cycles is None:
            raise ConfigError(
                f"cpu {cpu.name}: memory_cycles is missing; the host of a network function needs "
                "it and its caches"
            )
        assert cpu.line_bytes is not None
        self.program = program
        self.profile = profile
        self.cpu = cpu
        self.stack = stack
        self.latency = {
            state.name: read_cycles(cpu.caches, cpu.memory_cycles, state, profile)
            for state in program.states
        }
        self.missed = {
            state.name: missed_share(cpu.caches, state, profile) for state in program.states
        }
        #: Of memory, for each byte of a packet: into memory and out, on both its ways.
        self.bytes_per_packet_byte = 4.0 * stack.packet_memory_share
        self._line_bytes = cpu.line_bytes
        self.block_cycles = [self._block_cycles(block, self.latency) for block in program.blocks]
        names = [state.name for state in program.states]
        self._inserts = [
            [(names.index(name), uses.inserts) for name, uses in block.uses.items() if uses.inserts]
            for block in program.blocks
        ]

    def _block_cycles(self, block: Block, latency: Mapping[str, float]) -> float:
        stack = self.stack
        cycles = block.cpu_cycles + block.cycles_per_byte * self.profile.packet_bytes
        for name, uses in block.uses.items():
            changes = uses.writes + uses.adds
            cycles += (uses.reads + stack.change_share * changes) * latency[name]
            if uses.inserts > 0.0:
                cycles += uses.inserts * (stack.insert_cycles + latency[name])
        return cycles

    def path_cycles(
        self, path: Path, sides: str, latency: Mapping[str, float] | None = None
    ) -> float:
        """Cycles of one packet on a path; 0 where it never comes to the host. latency: of reads of
        each state for this packet; None for the means. An entry goes into the NIC's table too,
        where it has one for it, a copy or not."""
        if not path.host:
            return 0.0
        cycles = self.stack.io_cycles
        for b in path.host:
            if latency is None:
                cycles += self.block_cycles[b]
            else:
                cycles += self._block_cycles(self.program.blocks[b], latency)
            for state, inserts in self._inserts[b]:
                if sides[state] in (NIC, BOTH):
                    cycles += inserts * self.stack.nic_insert_cycles
        return cycles

    def state_bytes(self, path: Path, missed: Mapping[str, float] | None = None) -> float:
        """Bytes to and from the host's memory for the operations of one packet of a path. missed:
        state -> share of its operations that miss the caches; None for the means."""
        missed = self.missed if missed is None else missed
        lines = sum(
            (uses.reads + 2.0 * (uses.writes + uses.adds + uses.inserts)) * missed[name]
            for b in path.host
            for name, uses in self.program.blocks[b].uses.items()
        )
        return self._line_bytes * lines

    def path_bytes(self, path: Path) -> float:
        """Bytes to and from the host's memory for one packet of a path, with its own; 0 where it
        never comes to the host."""
        if not path.host:
            return 0.0
        own = self.bytes_per_packet_byte * self.profile.packet_bytes
        return self.state_bytes(path) + own

    def memory_bytes(self, paths: Mapping[str, Path], weights: Mapping[str, float]) -> float:
        """Mean bytes to and from the host's memory for each packet of the traffic."""
        return sum(weights[packet] * self.path_bytes(path) for packet, path in paths.items())

    def nic_inserts(self, path: Path, sides: str) -> float:
        """Entries that the host inserts into tables at the NIC for one packet of a path."""
        return sum(
            inserts
            for b in path.host
            for state, inserts in self._inserts[b]
            if sides[state] in (NIC, BOTH)
        )

    def moves_per_packet(self, sides: str, offloaded: float) -> float:
        """Entries moved into or out of the offloaded set for each packet, as flows come and go:
        each of the offloaded share of new flows is installed, and removed at its end."""
        entries = sum(
            state.entries_per_flow or 0.0
            for state, side in zip(self.program.states, sides, strict=True)
            if side == SPLIT
        )
        profile = self.profile
        moved = min(offloaded, profile.flows) / profile.flows
        return 2.0 * entries * moved / profile.packets_per_flow

    def cycles(
        self, paths: Mapping[str, Path], weights: Mapping[str, float], sides: str, offloaded: float
    ) -> float:
        """Mean cycles of a host core for each packet of the traffic."""
        total = self.moves_per_packet(sides, offloaded) * self.stack.move_cycles
        for packet, path in paths.items():
            if path.host:
                total += weights[packet] * self.path_cycles(path, sides)
        return total
