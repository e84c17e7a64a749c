"""Heavy flows in little memory: a count-min sketch, and a heap of the largest counts.

Cormode and Muthukrishnan, "An improved data stream summary: the count-min sketch and its
applications", Journal of Algorithms 55(1), 2005.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

#: A prime above all flows' numbers, for hashes of the form (a x + b) mod p; 2^61 is 1 modulo it.
_PRIME = (1 << 61) - 1

Integers = NDArray[np.int64]


class CountMin:
    """Counts that are never too low, and with chance 1 - e^-rows too high by at most
    e / columns of all that was counted."""

    def __init__(self, rows: int, columns: int, rng: np.random.Generator) -> None:
        if rows < 1 or columns < 1:
            raise ValueError(f"a sketch of {rows} rows and {columns} columns")
        self.columns = columns
        self._hashes = [
            (int(rng.integers(1, _PRIME)), int(rng.integers(0, _PRIME))) for _ in range(rows)
        ]
        self._counts = np.zeros((rows, columns), dtype=np.int64)

    def add(self, flow: int, count: int = 1) -> int:
        """Count packets of a flow; returns its count as known then."""
        least = -1
        for (a, b), row in zip(self._hashes, self._counts, strict=True):
            column = (a * flow + b) % _PRIME % self.columns
            now = int(row[column]) + count
            row[column] = now
            if least < 0 or now < least:
                least = now
        return least

    def add_all(self, flows: Integers, counts: Integers) -> Integers:
        """Count packets of flows, one flow after the other; returns the count of each as known
        then."""
        least = np.full(len(flows), np.iinfo(np.int64).max)
        for (a, b), row in zip(self._hashes, self._counts, strict=True):
            columns = _hashed(flows, a, b) % np.uint64(self.columns)
            order = np.argsort(columns, kind="stable")
            there, added = columns[order], np.cumsum(counts[order])
            # Within a column, what this flow and those before it add.
            begins = np.flatnonzero(np.concatenate(([True], there[1:] != there[:-1])))
            before = np.repeat(
                added[begins] - counts[order][begins], np.diff(np.append(begins, len(there)))
            )
            now = np.empty(len(flows), dtype=np.int64)
            now[order] = row[there] + added - before
            np.add.at(row, columns, counts)
            np.minimum(least, now, out=least)
        return least

    def count(self, flow: int) -> int:
        """Packets of a flow, at most so many."""
        return self.add(flow, 0)


class HeavyFlows:
    """The `most` flows with the largest counts in a sketch."""

    def __init__(self, most: int, sketch: CountMin) -> None:
        if most < 1:
            raise ValueError(f"{most} heavy flows")
        self.most = most
        self.sketch = sketch
        self.counts: dict[int, int] = {}
        #: Counts of all as they were once; kept from when there is no more room.
        self._heap: list[tuple[int, int]] = []
        self._columns: tuple[Integers, Integers] | None = None

    def columns(self) -> tuple[Integers, Integers]:
        """The heavy flows, and their counts."""
        if self._columns is None:
            flows, counts, number = self.counts.keys(), self.counts.values(), len(self.counts)
            self._columns = (
                np.fromiter(flows, np.int64, number),
                np.fromiter(counts, np.int64, number),
            )
        return self._columns

    def add(self, flow: int, count: int = 1) -> None:
        """Count packets of a flow, which may take the place of the least of the heavy ones."""
        self._columns = None
        self._counted(flow, self.sketch.add(flow, count))

    def add_all(self, flows: Integers, counts: Integers) -> None:
        """Count packets of different flows, one flow after the other."""
        if not len(flows):
            return
        self._columns = None
        now = self.sketch.add_all(flows, counts)
        pairs = zip(flows.tolist(), now.tolist(), strict=True)
        if len(self.counts) + len(flows) <= self.most:
            self.counts.update(pairs)
            return
        for flow, known in pairs:
            self._counted(flow, known)

    def _counted(self, flow: int, now: int) -> None:
        counts = self.counts
        if flow in counts or len(counts) < self.most:
            counts[flow] = now
            return
        heap = self._heap
        if not heap:
            heap += [(known, each) for each, known in counts.items()]
            heapify(heap)
        least, lightest = self._least()
        if now <= least:
            return
        heappop(heap)
        del counts[lightest]
        counts[flow] = now
        heappush(heap, (now, flow))

    def _least(self) -> tuple[int, int]:
        """The lightest; entries of the heap that have grown since are brought up to date."""
        heap = self._heap
        while True:
            count, flow = heap[0]
            now = self.counts[flow]
            if now == count:
                return count, flow
            heappop(heap)
            heappush(heap, (now, flow))


def _hashed(flows: Integers, a: int, b: int) -> NDArray[np.uint64]:
    """(a x + b) mod p of whole numbers from 0 to 2^61, in 64 bits each."""
    x = flows.astype(np.uint64)
    low, high = x & np.uint64(0xFFFFFFFF), x >> np.uint64(32)
    total = _times(low, a)
    if high.any():
        total = _folded(total + _shifted(_times(high, a)))
    return _whole(total + np.uint64(b))


def _times(x: NDArray[np.uint64], a: int) -> NDArray[np.uint64]:
    """a x mod p, for x below 2^32."""
    low, high = np.uint64(a & 0xFFFFFFFF), np.uint64(a >> 32)
    return _folded(_folded(x * low) + _shifted(_folded(x * high)))


def _shifted(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """2^32 x modulo p, for x below 2^61 + 8."""
    return _folded((x >> np.uint64(29)) + ((x & np.uint64((1 << 29) - 1)) << np.uint64(32)))


def _folded(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """x modulo p, not always the least number."""
    return (x & np.uint64(_PRIME)) + (x >> np.uint64(61))


def _whole(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """x mod p."""
    x = _folded(x)
    return np.where(x >= np.uint64(_PRIME), x - np.uint64(_PRIME), x)
