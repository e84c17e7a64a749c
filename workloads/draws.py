"""Random numbers drawn in blocks, in such a way that the size of a block changes no value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigError
from workloads.checks import positive

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK = 4096
"""Values drawn at a time: large enough to hide the cost of a call, small enough to be nothing."""


def children(rng: np.random.Generator, number: int) -> list[np.random.Generator]:
    """Independent generators seeded from `rng`, one for each column that is drawn in blocks.

    `rng` itself advances by a fixed amount, so what else it draws does not depend on blocks.
    """
    return [
        np.random.default_rng(rng.integers(2**32, size=4, dtype=np.uint32).tolist())
        for _ in range(number)
    ]


def block_sizes(count: int | None) -> Iterator[int]:
    """Sizes of the blocks that make up `count` values; without end for `None`."""
    if count is None:
        yield from repeat(BLOCK)
        return
    for _ in range(count // BLOCK):
        yield BLOCK
    if count % BLOCK:
        yield count % BLOCK


def share_edges(owner: str, parts: Mapping[str, object], shares: Mapping[str, float]) -> Floats:
    """Edges (length parts + 1, from 0 to 1) of the intervals of a uniform number for each part.

    `shares` are relative and need not add up to 1. Raises `ConfigError` where they do not name
    the same parts, or where one is not a positive number.
    """
    if not parts:
        raise ConfigError(f"{owner}: parts is empty; it needs at least one")
    if set(parts) != set(shares):
        raise ConfigError(
            f"{owner}: shares name {sorted(shares)} and parts name {sorted(parts)}; "
            "each part needs one share"
        )
    weights = [positive(f"{owner}: shares.{name}", shares[name]) for name in parts]
    edges = np.concatenate(([0.0], np.cumsum(weights) / sum(weights)))
    edges[-1] = 1.0
    return edges


def part_of(edges: Floats, u: Floats) -> Integers:
    """Index of the interval between `edges` that holds each number of `u` (in [0, 1))."""
    return np.searchsorted(edges[1:-1], u, side="right").astype(np.int64)
