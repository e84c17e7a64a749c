"""Data sheet of a SmartNIC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLevel:
    """One level of a SmartNIC's memory, for data that programs place.

    bytes: what programs may use of it, per `scope` ("core", "island" or "chip").
    *_cycles: latency seen by a core. *_per_s: operations that the level's engine serves;
    None where no limit is seen before that of the cores.
    """

    name: str
    scope: str
    bytes: float
    read_cycles: float
    write_cycles: float
    add_cycles: float
    reads_per_s: float | None
    adds_per_s: float | None

    def __post_init__(self) -> None:
        if self.scope not in ("core", "island", "chip"):
            raise ConfigError(
                f"memory level {self.name}: scope = {self.scope!r} is none of core, island, chip"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartNicSpec:
    """A NIC with programmable cores.

    islands, cores_per_island, threads_per_core: cores for packets, and the hardware threads that
    hide memory latency. overhead_cycles: firmware's share of every packet.
    memory_levels: nearest first. accelerators: name -> bytes/s.
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

    def __post_init__(self) -> None:
        check("smartnic", self, may_be_zero=("overhead_cycles", "insert_cycles", "idle_w"))
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
