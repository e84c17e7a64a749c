"""What a packet costs at the NIC: cores and their threads, memory engines, ports, PCIe, tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from models.errors import ConfigError
from models.hardware.smartnic_spec import SmartNicSpec
from models.network_functions.matched import Matched, Rest, Room, best_matched
from models.network_functions.nic_states import MATCH_TABLES, Accesses, NicStates
from models.network_functions.packet_stack import PacketStack
from models.network_functions.path import NoPath, Path
from models.network_functions.plan import CPU, SPLIT
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

    capable: for each block, whether the NIC can run it. issue_cycles: of a core for one packet of
    the mean size in each block; byte_cycles: those of them for each byte.
    npu_model: "asymptotic" takes cores and threads as two bounds, "mva" the exact throughput of a
    core with its threads.
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
        able = list(zip(program.blocks, self.capable, strict=True))
        self.byte_cycles = tuple(self._byte(block) if runs else 0.0 for block, runs in able)
        self.issue_cycles = tuple(self._issue(block) if runs else 0.0 for block, runs in able)

    def accelerated(self, block: Block) -> bool:
        """Whether an engine of the NIC does the block's work instead of a core."""
        return block.accelerator is not None and block.accelerator in self.nic.accelerators

    def _runs(self, block: Block) -> bool:
        if block.accelerator is not None:
            return self.accelerated(block)
        return self.nic.cpu_cycle_ratio is not None or block.npu_cycles is not None

    def _byte(self, block: Block) -> float:
        if self.accelerated(block):
            return 0.0
        ratio = self.nic.cpu_cycle_ratio
        return block.cycles_per_byte * (1.0 if ratio is None else ratio)

    def _issue(self, block: Block) -> float:
        """Issue cycles of a NIC's core for one packet in a block."""
        issue = self.nic.operation_cycles * sum(uses.count for uses in block.uses.values())
        if self.accelerated(block):
            return issue
        issue += self._byte(block) * self.profile.packet_bytes
        inserts = sum(uses.inserts for uses in block.uses.values())
        if self.nic.cpu_cycle_ratio is not None:
            code = block.cpu_cycles + inserts * self.stack.insert_cycles
            return issue + self.nic.cpu_cycle_ratio * code
        assert block.npu_cycles is not None
        return issue + block.npu_cycles + inserts * self.nic.insert_cycles

    def in_tables(self, block: Block, levels: Mapping[str, str]) -> bool:
        """Whether the match tables do a block, so that no core does."""
        return (
            self.nic.match_tables is not None
            and block.match_action
            and all(levels.get(name) == MATCH_TABLES for name in block.uses)
        )

    def waits(
        self, packet: str, block: Block, levels: Mapping[str, str], sides: str, offloaded: float
    ) -> float:
        """Cycles for which a packet's thread waits for memory in one block."""
        total = 0.0
        for name, uses in block.uses.items():
            if levels[name] != MATCH_TABLES:
                i = self.states.position[name]
                cycles = self.states.read_cycles(i, levels[name], sides[i], offloaded, packet)
                total += self.states.waited(uses) * cycles
        return total

    def cost(
        self,
        paths: Mapping[str, Path],
        weights: Mapping[str, float],
        sides: str,
        offloaded: float,
        inserts: float,
        levels: Mapping[str, str] | None = None,
    ) -> NicCost | NoPath:
        """Demands for each packet of the traffic, or why the states do not fit.

        inserts: entries that the host inserts or moves at the NIC for each packet. levels: of the
        states at the NIC, where they are already; None: where they are best."""
        nic = self.nic
        probed = sides.find(SPLIT)
        accesses = self.states.accesses(paths, weights, probed)
        if levels is None:
            tables: Collection[int] | None = ()
            if nic.match_tables is not None:
                tables = self._in_tables(paths, weights, accesses, sides, offloaded, inserts)
            if tables is not None:
                levels = self.states.levels(accesses, sides, offloaded, tables)
        if levels is None:
            size = self.states.stored_bytes(sides, offloaded)
            return NoPath(f"states of {size:.4g} bytes do not fit the memory of {nic.name}")
        work = {
            packet: self.work(packet, path, levels, sides, offloaded)
            for packet, path in paths.items()
        }
        seconds = self._ports(paths, weights)
        if nic.match_tables is not None:
            seconds[MATCH_TABLES] = sum(
                weights[packet] * self.states.lookup_s(i, sides[i], offloaded, packet)
                for packet, each in work.items()
                for i in each.tables
            )
        issue = sum(weights[packet] * each.issue_cycles for packet, each in work.items())
        wait = sum(weights[packet] * each.wait_cycles for packet, each in work.items())
        seconds.update(self._cores(issue, wait))
        seconds.update(self.states.engines_s(accesses, levels))
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
                wait += self.states.read_cycles(probed, level, SPLIT, offloaded, packet)
        for b in path.nic:
            block = self.program.blocks[b]
            for name, uses in block.uses.items():
                if levels[name] == MATCH_TABLES and not uses.only_inserts:
                    tables[self.states.position[name]] = None
            if not self.in_tables(block, levels):
                issue += self.issue_cycles[b]
                if not self.accelerated(block):
                    wait += self.waits(packet, block, levels, sides, offloaded)
        return NicWork(issue, wait, tuple(tables))

    def _in_tables(
        self,
        paths: Mapping[str, Path],
        weights: Mapping[str, float],
        accesses: Mapping[str, Accesses],
        sides: str,
        offloaded: float,
        inserts: float,
    ) -> set[int] | None:
        """States for the match tables, so that the busiest of cores, tables and insertion channel
        is least busy; None where states have no room. Exact where there is one memory level."""
        nic, states = self.nic, self.states
        assert nic.match_tables is not None
        used = [accesses[state.name] for state in self.program.states]
        possible = {
            i
            for i, each in enumerate(used)
            if sides[i] != CPU and each.matched and (each.kinds or each.inserts)
        }
        issue, waits, code = self._core_work(paths, weights, sides, offloaded, possible)
        channel_s = 1.0 / nic.inserts_per_s
        worth = [
            Matched(
                state=i,
                entries=states.stored_entries(i, sides[i], offloaded),
                bytes=states.bytes_of(i, sides[i], offloaded),
                wait_cycles=waits.get(i, 0.0),
                lookup_s=sum(
                    weights[packet] * states.lookup_s(i, sides[i], offloaded, packet)
                    for packet in used[i].kinds
                ),
                insert_s=used[i].inserts * channel_s,
                kinds=frozenset(used[i].kinds),
            )
            for i in sorted(possible)
        ]
        fixed = [i for i in range(len(sides)) if i not in possible]
        return best_matched(
            worth,
            code,
            Rest(issue, sum(waits.get(i, 0.0) for i in fixed), inserts * channel_s),
            Room(
                entries=nic.table_entries,
                chain=nic.match_tables.chain,
                bytes=sum(level.bytes for level in nic.memory_levels)
                - sum(states.bytes_of(i, sides[i], offloaded) for i in fixed),
            ),
            lambda issue, wait: max(self._cores(issue, wait).values()),
        )

    def _core_work(
        self,
        paths: Mapping[str, Path],
        weights: Mapping[str, float],
        sides: str,
        offloaded: float,
        possible: set[int],
    ) -> tuple[float, dict[int, float], dict[frozenset[int], float]]:
        """Issue cycles of cores for each packet whatever tables hold; cycles for which they wait at
        least, by state; issue cycles that tables save where they hold all of some states."""
        issue = self.nic.overhead_cycles
        waits: dict[int, float] = {}
        code: dict[frozenset[int], float] = {}

        def add(cycles: float, needed: frozenset[int]) -> None:
            nonlocal issue
            if needed <= possible:
                code[needed] = code.get(needed, 0.0) + cycles
            else:
                issue += cycles

        def wait(reads: float, state: int, packet: str) -> None:
            cycles = self.states.least_read_cycles(state, sides[state], offloaded, packet)
            waits[state] = waits.get(state, 0.0) + reads * cycles

        probed = sides.find(SPLIT)
        if probed >= 0:
            add((1.0 - weights["EH"]) * self.nic.probe_cycles, frozenset((probed,)))
            for packet in ("EM", "N", "T"):
                wait(weights[packet], probed, packet)
        for packet, path in paths.items():
            weight = weights[packet]
            for b in path.nic:
                block = self.program.blocks[b]
                uses = {self.states.position[name]: item for name, item in block.uses.items()}
                if block.match_action:
                    add(weight * self.issue_cycles[b], frozenset(uses))
                else:
                    issue += weight * self.issue_cycles[b]
                if not self.accelerated(block):
                    for i, item in uses.items():
                        wait(weight * self.states.waited(item), i, packet)
        return issue, waits, code

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
