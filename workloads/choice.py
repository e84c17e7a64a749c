"""One of a few lengths."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.errors import ConfigError
from workloads.checks import whole
from workloads.draws import Floats, Integers, part_of, share_edges
from workloads.lengths import MOST_TOKENS, Lengths


class Choice(Lengths):
    """One of a few lengths, by chance: `shares` maps each length to its relative share.

    Such as {1: 15, 2: 9, 5: 1}. A length may be text, as JSON keys are.
    """

    def __init__(self, shares: Mapping[int, float] | Mapping[str, float]) -> None:
        table = {_length(key): share for key, share in shares.items()}
        if len(table) != len(shares):
            raise ConfigError(f"shares has a length twice: {list(shares)}")
        self.shares = {length: table[length] for length in sorted(table)}
        by_name = {str(length): share for length, share in self.shares.items()}
        self._edges = share_edges("Choice", by_name, by_name)
        self._lengths = np.array(list(self.shares), dtype=np.int64)

    def at(self, u: Floats) -> Integers:
        chosen: Integers = self._lengths[part_of(self._edges, u)]
        return chosen


def _length(key: object) -> int:
    if isinstance(key, str) and key.isdecimal() and key.isascii() and len(key) < 11:
        key = int(key)
    length = whole("shares: a length", key)
    if length > MOST_TOKENS:
        raise ConfigError(f"shares: a length is {key!r}; it must be at most {MOST_TOKENS}")
    return length
