"""Which blocks of a packet run on the NIC and which on the host: before, host, after.

A packet either ends on the NIC or crosses to the host once and back once. As in Gallium (SIGCOMM
2020), a block may run before the host only if nothing before it must run there, and after the host
only if nothing after it must.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.network_functions.plan import BOTH, CPU, NIC
from models.network_functions.program import Block, Program
from models.network_functions.traffic import CLASS_OF, PACKET_TYPES


class Path(NamedTuple):
    """Positions of blocks, in order: on the NIC, then on the host, then on the NIC again."""

    before: tuple[int, ...]
    host: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @property
    def crosses(self) -> bool:
        """Whether the packet crosses PCIe, once each way."""
        return bool(self.host)

    @property
    def nic(self) -> tuple[int, ...]:
        """Blocks on the NIC."""
        return self.before + self.after


class NoPath(NamedTuple):
    """A packet type that no side can process: what needs both sides, or the wrong one."""

    reason: str


def allowed(block: Block, sides: dict[str, str], packet: str) -> tuple[bool, bool]:
    """Whether the states that a block uses let it run on the NIC, and on the CPU, for a type."""
    nic = cpu = True
    for name, operations in block.uses.items():
        side = sides[name]
        if side == CPU:
            nic = False
        elif side == NIC:
            if not operations.only_inserts:
                cpu = False
        elif side != BOTH:
            if packet == "EH":
                cpu = False
            else:
                nic = False
    return nic, cpu


def paths(
    program: Program,
    sides: str,
    on_nic: Sequence[bool],
    capable: Sequence[bool],
    *,
    whole: bool = False,
) -> dict[str, Path] | NoPath:
    """The path of each packet type, or why there is none.

    sides, on_nic, whole: as in a plan. capable: for each block, whether the NIC can run it.
    """
    placed = {state.name: side for state, side in zip(program.states, sides, strict=True)}
    found: dict[str, Path] = {}
    for packet in PACKET_TYPES:
        blocks = program.executed(CLASS_OF[packet])
        may = [allowed(program.blocks[b], placed, packet) for b in blocks]
        there = [nic and on_nic[b] and capable[b] for b, (nic, _) in zip(blocks, may, strict=True)]
        for b, on, (_, cpu) in zip(blocks, there, may, strict=True):
            if not on and not cpu:
                return NoPath(f"block {program.blocks[b].name} of {packet} packets fits no side")
        begin = 0
        while begin < len(blocks) and there[begin]:
            begin += 1
        if begin == len(blocks):
            found[packet] = Path(blocks)
            continue
        end = len(blocks)
        while there[end - 1]:
            end -= 1
        if whole:
            begin, end = 0, len(blocks)
        for i in range(begin, end):
            if not may[i][1]:
                name = program.blocks[blocks[i]].name
                return NoPath(
                    f"block {name} of {packet} packets needs the NIC between blocks of the host"
                )
        found[packet] = Path(blocks[:begin], blocks[begin:end], blocks[end:])
    return found
