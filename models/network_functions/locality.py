"""How often the entries that packets use are in a cache, from the popularity of their flows."""

from __future__ import annotations

from collections.abc import Sequence

from models.hardware.cache_level import CacheLevel
from models.network_functions.program import State
from models.network_functions.traffic import TrafficProfile


def cached_share(
    cached_entries: float, state: State, profile: TrafficProfile, offloaded: float | None = None
) -> float:
    """Share of accesses to a state that a cache of so many entries serves: it holds those of the
    most popular flows. `offloaded`: only so many flows, the most popular ones, have entries here.
    """
    entries = state.entries_of(profile)
    flows = profile.flows if offloaded is None else min(offloaded, profile.flows)
    if cached_entries >= entries * flows / profile.flows:
        return 1.0
    head = cached_entries * profile.flows / entries
    return min(1.0, profile.head_share(head) / profile.head_share(flows))


def read_cycles(
    caches: Sequence[CacheLevel],
    memory_cycles: float,
    state: State,
    profile: TrafficProfile,
    offloaded: float | None = None,
) -> float:
    """Mean latency of a read of a state in memory behind caches, in cycles."""
    cycles = below = 0.0
    for cache in caches:
        share = cached_share(cache.bytes / state.entry_bytes, state, profile, offloaded)
        cycles += (share - below) * cache.cycles
        below = share
    return cycles + (1.0 - below) * memory_cycles
