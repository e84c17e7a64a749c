"""Data sheet of a SmartNIC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.checks import whole
from models.errors import ConfigError
from models.hardware.cache_level import CacheLevel, check_caches
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLevel:
    """One level of a SmartNIC's memory, for data that programs place.

    bytes: what programs may use of it, per `scope` ("core", "island" or "chip").
    *_cycles: latency seen by a core. *_per_s: operations that the level's engine serves;
    None where no limit is seen before that of the cores.
    caches: in front of it, nearest first, kept by the hardware.
    """

    name: str
    scope: str
    bytes: float
    read_cycles: float
    write_cycles: float
    add_cycles: float
    reads_per_s: float | None
    adds_per_s: float | None
    caches: Sequence[CacheLevel] = ()

    def __post_init__(self) -> None:
        check_caches(f"memory level {self.name}", self.caches, self.read_cycles)
        if self.scope not in ("core", "island", "chip"):
            raise ConfigError(
                f"memory level {self.name}: scope = {self.scope!r} is none of core, island, chip"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchTables:
    """Hardware that matches packets against tables, one after the other.

    chain: tables that a packet may traverse. lookups_per_s: where the entry is not among the
    `cached_entries` most used ones; cached_lookups_per_s: where it is.
    """

    chain: int
    lookups_per_s: float
    cached_lookups_per_s: float
    cached_entries: float

    def lookup_s(self, cached_share: float) -> float:
        """Mean time of the engine for a look-up."""
        missed = (1.0 - cached_share) / self.lookups_per_s
        return cached_share / self.cached_lookups_per_s + missed


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartNicSpec:
    """A NIC with programmable cores.

    islands, cores_per_island, threads_per_core: cores for packets, and the hardware threads that
    hide memory latency. overhead_cycles: firmware's share of every packet.
    operation_cycles: issue of one operation on a state. probe_cycles: look-up of a flow that turns
    out not to be in the table. cpu_cycle_ratio: cycles for each cycle of a server's core, where
    the cores run its code; None where programs are written for them.
    memory_levels: nearest first. accelerators: name -> bytes/s.
    match_tables: hardware that matches headers against the exact-match table and acts, without a
    core; None where there is none.
    table_entries: flows that the exact-match table holds; inserts_per_s: rate of new entries;
    insert_cycles: cost of an insertion on a core (0 where an engine of its own does it).
    packets_per_s: limit of the port's logic. ports, port_bandwidth_bytes_per_s: each direction.
    pcie_bandwidth_bytes_per_s, pcie_packets_per_s, pcie_latency_s: to the host, each direction.
    idle_w, peak_w: the card.
    source: key -> document, for every number; nested ones as `memory_levels.EMEM.bytes`.
    """

    name: str
    clock_hz: float
    islands: int
    cores_per_island: int
    threads_per_core: int
    overhead_cycles: float
    operation_cycles: float
    probe_cycles: float
    cpu_cycle_ratio: float | None
    memory_levels: Sequence[MemoryLevel]
    accelerators: Mapping[str, float]
    table_entries: int
    inserts_per_s: float
    insert_cycles: float
    packets_per_s: float
    ports: int
    port_bandwidth_bytes_per_s: float
    pcie_bandwidth_bytes_per_s: float
    pcie_packets_per_s: float
    pcie_latency_s: float
    idle_w: float
    peak_w: float
    source: Mapping[str, str]
    match_tables: MatchTables | None = None

    def __post_init__(self) -> None:
        zero = ("overhead_cycles", "operation_cycles", "probe_cycles", "insert_cycles", "idle_w")
        check("smartnic", self, may_be_zero=zero)
        for key in ("islands", "cores_per_island", "threads_per_core", "table_entries", "ports"):
            number = whole(f"smartnic {self.name}: {key}", getattr(self, key))
            object.__setattr__(self, key, number)
        names = [level.name for level in self.memory_levels]
        if len(set(names)) != len(names):
            raise ConfigError(f"smartnic {self.name}: two memory levels share a name in {names}")

    @property
    def cores(self) -> int:
        """Cores for packets on the whole chip."""
        return self.islands * self.cores_per_island

    def level_bytes(self, level: MemoryLevel) -> float:
        """Size of a level over the whole chip."""
        copies = {"core": self.cores, "island": self.islands, "chip": 1}[level.scope]
        return level.bytes * copies

    @property
    def line_bytes_per_s(self) -> float:
        """What all ports carry together, each way."""
        return self.ports * self.port_bandwidth_bytes_per_s
