"""How often the entries that packets use are in a cache, from the popularity of their flows."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from models.hardware.cache_level import CacheLevel
from models.network_functions.program import State
from models.network_functions.traffic import TrafficProfile


def cached_share(cached_entries: float, state: State, profile: TrafficProfile) -> float:
    """Share of accesses to a state that a cache of so many entries serves, see `cached_flows`."""
    head = cached_flows(cached_entries, state, profile)
    return 1.0 if head == inf else profile.head_share(head)


def cached_flows(
    cached_entries: float, state: State, profile: TrafficProfile, offloaded: float | None = None
) -> float:
    """Flows whose entries a cache of so many entries holds, the most popular ones; inf where all
    fit. `offloaded`: only so many flows, the most popular ones, have entries here."""
    entries = state.entries_of(profile)
    flows = profile.flows if offloaded is None else min(offloaded, profile.flows)
    if cached_entries >= entries * flows / profile.flows:
        return inf
    return cached_entries * profile.flows / entries


def read_cycles(
    caches: Sequence[CacheLevel], memory_cycles: float, state: State, profile: TrafficProfile
) -> float:
    """Mean latency of a read of a state in memory behind caches, in cycles."""
    shares = [cached_share(cache.bytes / state.entry_bytes, state, profile) for cache in caches]
    return mean_cycles(caches, memory_cycles, shares)


def mean_cycles(
    caches: Sequence[CacheLevel], memory_cycles: float, shares: Sequence[float]
) -> float:
    """The same where each cache, with those before it, serves such a share of the reads."""
    cycles = below = 0.0
    for cache, share in zip(caches, shares, strict=True):
        cycles += (share - below) * cache.cycles
        below = share
    return cycles + (1.0 - below) * memory_cycles


def missed_share(caches: Sequence[CacheLevel], state: State, profile: TrafficProfile) -> float:
    """Share of accesses to a state that no cache serves, so that they go to memory."""
    if not caches:
        return 1.0
    return 1.0 - cached_share(caches[-1].bytes / state.entry_bytes, state, profile)


def latency(
    caches: Sequence[CacheLevel], heads: Sequence[float], memory_cycles: float, rank: float
) -> float:
    """Latency of a read of a flow's entry; `heads`: flows whose entries each cache holds."""
    for cache, head in zip(caches, heads, strict=True):
        if rank <= head:
            return cache.cycles
    return memory_cycles
