"""What a packet costs at the NIC: cores and their threads, memory engines, ports, PCIe, tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from models.errors import ConfigError
from models.hardware.smartnic_spec import SmartNicSpec
from models.network_functions.nic_states import MATCH_TABLES, Accesses, NicStates
from models.network_functions.packet_stack import PacketStack
from models.network_functions.path import NoPath, Path
from models.network_functions.plan import SPLIT
from models.network_functions.program import Block, Program
from models.network_functions.traffic import WIRE_BYTES, TrafficProfile
from models.queueing import closed_throughput


class NicWork(NamedTuple):
    """One packet on the NIC: cycles that a core issues, firmware included; cycles for which its
    thread waits for memory; positions of the states that match tables look up, in order."""

    issue_cycles: float
    wait_cycles: float
    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NicCost:
    """seconds: resource -> its time for each packet, so that a rate times it is the utilisation.
    levels: state -> name of the level that holds it. stored_bytes: of all states at the NIC.
    work: by packet type. issue_cycles, wait_cycles: of a core, on average for each packet."""

    seconds: Mapping[str, float]
    levels: Mapping[str, str]
    stored_bytes: float
    work: Mapping[str, NicWork]
    issue_cycles: float
    wait_cycles: float


class NicDemand:
    """Demands of paths on the NIC, for one program and traffic.

    capable: for each block, whether the NIC can run it. npu_model: "asymptotic" takes cores and
    threads as two bounds, "mva" the exact throughput of a core with its threads.
    """

    def __init__(
        self,
        program: Program,
        profile: TrafficProfile,
        nic: SmartNicSpec,
        stack: PacketStack,
        npu_model: str = "asymptotic",
    ) -> None:
        if npu_model not in ("asymptotic", "mva"):
            raise ConfigError(f"npu_model is {npu_model!r}; it must be asymptotic or mva")
        self.program = program
        self.profile = profile
        self.nic = nic
        self.stack = stack
        self.npu_model = npu_model
        self.states = NicStates(program, profile, nic, stack)
        self.capable = tuple(self._runs(block) for block in program.blocks)
        self.issue_cycles = tuple(
            self._issue(block) if runs else 0.0
            for block, runs in zip(program.blocks, self.capable, strict=True)
        )

    def accelerated(self, block: Block) -> bool:
        """Whether an engine of the NIC does the block's work instead of a core."""
        return block.accelerator is not None and block.accelerator in self.nic.accelerators

    def _runs(self, block: Block) -> bool:
        if self.accelerated(block):
            return True
        if self.nic.cpu_cycle_ratio is None:
            return block.npu_cycles is not None
        return block.accelerator is None

    def _issue(self, block: Block) -> float:
        """Issue cycles of a NIC's core for one packet in a block."""
        issue = self.nic.operation_cycles * sum(uses.count for uses in block.uses.values())
        if self.accelerated(block):
            return issue
        inserts = sum(uses.inserts for uses in block.uses.values())
        per_byte = block.cycles_per_byte * self.profile.packet_bytes
        if self.nic.cpu_cycle_ratio is not None:
            code = block.cpu_cycles + per_byte + inserts * self.stack.insert_cycles
            return issue + self.nic.cpu_cycle_ratio * code
        assert block.npu_cycles is not None
        return issue + block.npu_cycles + per_byte + inserts * self.nic.insert_cycles

    def in_tables(self, block: Block, levels: Mapping[str, str]) -> bool:
        """Whether the match tables do a block, so that no core does."""
        return (
            self.nic.match_tables is not None
            and block.match_action
            and all(levels.get(name) == MATCH_TABLES for name in block.uses)
        )

    def waits(self, block: Block, levels: Mapping[str, str], sides: str, offloaded: float) -> float:
        """Cycles for which a thread waits for memory in one block."""
        total = 0.0
        for name, uses in block.uses.items():
            if levels[name] != MATCH_TABLES:
                i = self.states.position[name]
                cycles = self.states.read_cycles(i, levels[name], sides[i], offloaded)
                total += self.states.waited(uses) * cycles
        return total

    def cost(
        self,
        paths: Mapping[str, Path],
        weights: Mapping[str, float],
        sides: str,
        offloaded: float,
        inserts: float,
    ) -> NicCost | NoPath:
        """Demands for each packet of the traffic, or why the states do not fit.

        inserts: entries that the host inserts or moves at the NIC for each packet."""
        nic = self.nic
        probed = sides.find(SPLIT)
        accesses = self._accesses(paths, weights, probed)
        levels = self.states.levels(accesses, sides, offloaded, self._core_s(paths, weights))
        if levels is None:
            size = self.states.stored_bytes(sides, offloaded)
            return NoPath(f"states of {size:.4g} bytes do not fit the memory of {nic.name}")
        work = {
            packet: self.work(packet, path, levels, sides, offloaded)
            for packet, path in paths.items()
        }
        seconds = self._ports(paths, weights)
        if nic.match_tables is not None:
            chain = max(len(each.tables) for each in work.values())
            if chain > nic.match_tables.chain:
                return NoPath(
                    f"{chain} match tables one after the other; {nic.name} has at most "
                    f"{nic.match_tables.chain}"
                )
            seconds[MATCH_TABLES] = sum(
                weights[packet] * self.states.lookup_s(i, sides[i], offloaded)
                for packet, each in work.items()
                for i in each.tables
            )
        issue = sum(weights[packet] * each.issue_cycles for packet, each in work.items())
        wait = sum(weights[packet] * each.wait_cycles for packet, each in work.items())
        seconds.update(self._cores(issue, wait))
        seconds.update(self._engines(accesses, levels))
        for name, used in accesses.items():
            if nic.cpu_cycle_ratio is None or levels.get(name) == MATCH_TABLES:
                inserts += used.inserts
        seconds["inserts"] = inserts / nic.inserts_per_s
        stored = self.states.stored_bytes(sides, offloaded)
        return NicCost(seconds, levels, stored, work, issue, wait)

    def work(
        self, packet: str, path: Path, levels: Mapping[str, str], sides: str, offloaded: float
    ) -> NicWork:
        """What one packet of a type takes of the NIC, before and after the host together."""
        issue = self.nic.overhead_cycles
        wait = 0.0
        tables: dict[int, None] = {}
        probed = sides.find(SPLIT)
        if packet != "EH" and probed >= 0:
            level = levels[self.program.states[probed].name]
            if level == MATCH_TABLES:
                tables[probed] = None
            else:
                issue += self.nic.probe_cycles
                wait += self.states.read_cycles(probed, level, SPLIT, offloaded)
        for b in path.nic:
            block = self.program.blocks[b]
            for name, uses in block.uses.items():
                if levels[name] == MATCH_TABLES and not uses.only_inserts:
                    tables[self.states.position[name]] = None
            if not self.in_tables(block, levels):
                issue += self.issue_cycles[b]
                if not self.accelerated(block):
                    wait += self.waits(block, levels, sides, offloaded)
        return NicWork(issue, wait, tuple(tables))

    def _core_s(self, paths: Mapping[str, Path], weights: Mapping[str, float]) -> float:
        """Time of all cores for each packet in blocks that match tables cannot do."""
        cycles = sum(
            weights[packet] * self.issue_cycles[b]
            for packet, path in paths.items()
            for b in path.nic
            if not self.program.blocks[b].match_action
        )
        return cycles / (self.nic.cores * self.nic.clock_hz)

    def _accesses(
        self, paths: Mapping[str, Path], weights: Mapping[str, float], probed: int
    ) -> dict[str, Accesses]:
        found = {state.name: Accesses() for state in self.program.states}
        for packet, path in paths.items():
            weight = weights[packet]
            visited = set()
            if packet != "EH" and probed >= 0:
                visited.add(self.program.states[probed].name)
                found[self.program.states[probed].name].reads += weight
            for b in path.nic:
                block = self.program.blocks[b]
                for name, uses in block.uses.items():
                    if not uses.only_inserts:
                        visited.add(name)
                    total = found[name]
                    total.reads += weight * uses.reads
                    total.writes += weight * uses.writes
                    total.adds += weight * uses.adds
                    total.inserts += weight * uses.inserts
                    if block.match_action:
                        total.code_cycles += weight * block.cpu_cycles
                    elif not uses.only_inserts:
                        total.matched = False
            for name in visited:
                found[name].visits += weight
        return found

    def _ports(self, paths: Mapping[str, Path], weights: Mapping[str, float]) -> dict[str, float]:
        """Demands that do not depend on where states are."""
        nic = self.nic
        size = self.profile.packet_bytes
        crossing = sum(weights[packet] for packet, path in paths.items() if path.crosses)
        seconds = {
            "mac": 1.0 / nic.packets_per_s,
            "line": (size + WIRE_BYTES) / nic.line_bytes_per_s,
            "pcie bytes": crossing
            * (size + self.stack.crossing_bytes)
            / nic.pcie_bandwidth_bytes_per_s,
            "pcie packets": crossing / nic.pcie_packets_per_s,
        }
        for packet, path in paths.items():
            for b in path.nic:
                block = self.program.blocks[b]
                if self.accelerated(block):
                    assert block.accelerator is not None
                    key = f"accelerator {block.accelerator}"
                    busy = weights[packet] * size / nic.accelerators[block.accelerator]
                    seconds[key] = seconds.get(key, 0.0) + busy
        return seconds

    def _cores(self, issue: float, wait: float) -> dict[str, float]:
        nic = self.nic
        core_s = 1.0 / (nic.cores * nic.clock_hz)
        if self.npu_model == "asymptotic":
            threads = (issue + wait) / nic.threads_per_core
            return {"cores": issue * core_s, "threads": threads * core_s}
        if issue == 0.0:
            return {"cores": 0.0}
        return {"cores": core_s / closed_throughput(issue, wait, nic.threads_per_core)}

    def _engines(
        self, accesses: Mapping[str, Accesses], levels: Mapping[str, str]
    ) -> dict[str, float]:
        seconds = {}
        for level in self.nic.memory_levels:
            if level.reads_per_s is None and level.adds_per_s is None:
                continue
            here = [accesses[name] for name, where in levels.items() if where == level.name]
            busy = 0.0
            if level.reads_per_s is not None:
                plain = sum(used.reads + used.writes + used.inserts for used in here)
                busy += plain / level.reads_per_s
            if level.adds_per_s is not None:
                busy += sum(used.adds for used in here) / level.adds_per_s
            seconds[f"memory {level.name}"] = busy
        return seconds
