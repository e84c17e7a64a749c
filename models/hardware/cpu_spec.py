"""Data sheet of a server's processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from models.errors import ConfigError
from models.hardware.cache_level import CacheLevel, check_caches
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuSpec:
    """One socket, or the part of it that a node has.

    cores: physical cores. clock_hz: base clock.
    memory_channels, memory_bandwidth_bytes_per_s: channels and their peak together.
    memory_bytes: largest memory the socket takes.
    cores_per_chiplet: cores behind one path to memory (all of them on a monolithic die).
    chiplet_bandwidth_bytes_per_s: what one such path carries; None where it is no limit.
    idle_w, peak_w: power without work and at full load (thermal design power).
    caches: of data, nearest first; memory_cycles: latency of a read that misses them all;
    line_bytes: what such a read moves. Given where work is priced by its reads, as of network
    functions.
    source: key -> document, for every number.
    """

    name: str
    cores: int
    clock_hz: float
    memory_channels: int
    memory_bandwidth_bytes_per_s: float
    memory_bytes: float
    cores_per_chiplet: int
    chiplet_bandwidth_bytes_per_s: float | None
    idle_w: float
    peak_w: float
    source: Mapping[str, str]
    caches: Sequence[CacheLevel] = ()
    memory_cycles: float | None = None
    line_bytes: float | None = None

    def __post_init__(self) -> None:
        if self.caches and self.memory_cycles is None:
            raise ConfigError(f"cpu {self.name}: caches are given, memory_cycles is not")
        if self.memory_cycles is not None and self.line_bytes is None:
            raise ConfigError(
                f"cpu {self.name}: memory_cycles is given, line_bytes is not; give what a read "
                "from memory moves, such as 64"
            )
        check_caches(f"cpu {self.name}", self.caches, self.memory_cycles or 0.0)
        check("cpu", self, may_be_zero=("idle_w", "peak_w"))
        if self.idle_w > self.peak_w:
            raise ConfigError(
                f"cpu {self.name}: idle_w = {self.idle_w!r} exceeds peak_w = {self.peak_w!r}"
            )

    def reachable_bandwidth_bytes_per_s(self, cores: float) -> float:
        """Memory bandwidth that `cores` neighbouring cores reach: chiplet by chiplet."""
        if self.chiplet_bandwidth_bytes_per_s is None:
            return self.memory_bandwidth_bytes_per_s
        chiplets = ceil(cores / self.cores_per_chiplet)
        return min(self.memory_bandwidth_bytes_per_s, chiplets * self.chiplet_bandwidth_bytes_per_s)

    def part(self, cores: int, memory_bytes: float, sockets: int = 1) -> CpuSpec:
        """The share of `sockets` such sockets that a node has: `cores` cores on neighbouring
        chiplets, power in proportion. Raises ConfigError if there are not as many cores."""
        if not 0 < cores <= sockets * self.cores:
            raise ConfigError(
                f"cpu {self.name}: {cores} cores asked, {sockets} sockets have "
                f"{sockets * self.cores}"
            )
        share = cores / self.cores
        full, rest = divmod(cores, self.cores)
        bandwidth = full * self.memory_bandwidth_bytes_per_s
        if rest:
            bandwidth += self.reachable_bandwidth_bytes_per_s(rest)
        return replace(
            self,
            cores=cores,
            memory_channels=self.memory_channels * sockets,
            memory_bandwidth_bytes_per_s=bandwidth,
            memory_bytes=memory_bytes,
            idle_w=self.idle_w * share,
            peak_w=self.peak_w * share,
        )
