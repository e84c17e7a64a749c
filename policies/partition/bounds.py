"""Bounds on what any plan can reach that has some states decided.

Undecided states are taken as usable on both sides, without an owner, at no cost to the NIC. That
can only lengthen what a packet may do on the NIC before and after the host, so no completion costs
the host less; and the NIC does at least what decided states force on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.network_functions.cost_model import CostModel
from models.network_functions.path import NoPath, allowed
from models.network_functions.plan import BOTH, CPU, NIC
from models.network_functions.traffic import CLASS_OF, WIRE_BYTES


class Bound(NamedTuple):
    """Least demands for each packet: of a host core, and of the NIC's busiest resource. And least
    bytes stored at the NIC."""

    host_s: float
    nic_s: float
    bytes: float


class Relaxation:
    """Bounds for one model; `whole` as in a plan."""

    def __init__(self, model: CostModel, whole: bool = False) -> None:
        self.model = model
        self.whole = whole
        self._every = (True,) * len(model.program.blocks)
        nic = model.nic
        size = model.profile.packet_bytes
        self._fixed_s = max(1.0 / nic.packets_per_s, (size + WIRE_BYTES) / nic.line_bytes_per_s)
        self._crossing_s = max(
            (size + model.stack.crossing_bytes) / nic.pcie_bandwidth_bytes_per_s,
            1.0 / nic.pcie_packets_per_s,
        )
        self._room = sum(level.bytes for level in nic.memory_levels)

    def bound(self, sides: Sequence[str | None], offloaded: float) -> Bound | None:
        """Bound with `None` for undecided states; None where there is no completion at all."""
        model = self.model
        relaxed = "".join(BOTH if side is None else side for side in sides)
        decided = "".join(CPU if side is None else side for side in sides)
        at_nic = model.at_nic
        stored = at_nic.states.stored_bytes(decided, offloaded)
        if model.nic.match_tables is None and stored > self._room:
            return None
        found = model.paths(relaxed, self._every, self.whole)
        if isinstance(found, NoPath):
            return None
        weights = model.weights(offloaded)
        host_s = model.host_cycles(found, decided, offloaded) / model.cpu.clock_hz
        crossing = sum(weights[packet] for packet, path in found.items() if path.crosses)
        inserts = model.moves(decided, offloaded)
        forced = model.nic.overhead_cycles
        names = [state.name for state in model.program.states]
        known = dict(zip(names, relaxed, strict=True))
        tabled = {name for name, side in zip(names, decided, strict=True) if side in (NIC, BOTH)}
        for packet, path in found.items():
            weight = weights[packet]
            for b in model.program.executed(CLASS_OF[packet]):
                block = model.program.blocks[b]
                in_tables = block.match_action and model.nic.match_tables is not None
                if not in_tables and not allowed(block, known, packet)[1]:
                    forced += weight * at_nic.issue_cycles[b]
                if b in path.host or model.nic.cpu_cycle_ratio is None:
                    for name, uses in block.uses.items():
                        if name in tabled:
                            inserts += weight * uses.inserts
        nic = model.nic
        nic_s = max(
            self._fixed_s,
            crossing * self._crossing_s,
            inserts / nic.inserts_per_s,
            forced / (nic.cores * nic.clock_hz),
        )
        return Bound(host_s, nic_s, stored)
