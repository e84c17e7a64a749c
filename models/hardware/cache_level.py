"""A cache of data, by its size and latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLevel:
    """One level of cache.

    bytes: what one core can use of it. cycles: latency of a read that hits it.
    """

    name: str
    bytes: float
    cycles: float


def check_caches(where: str, caches: Sequence[CacheLevel], memory_cycles: float) -> None:
    """Raise ConfigError unless each level is larger and slower than the one before, and memory
    slower than all."""
    for level, after in pairwise(caches):
        if not (level.bytes < after.bytes and level.cycles < after.cycles):
            raise ConfigError(
                f"{where}: cache {after.name} must be larger and slower than {level.name}"
            )
    if caches and not caches[-1].cycles < memory_cycles:
        raise ConfigError(
            f"{where}: {memory_cycles!r} cycles of memory must exceed the {caches[-1].cycles!r} "
            f"of cache {caches[-1].name}"
        )
