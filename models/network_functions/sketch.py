"""Heavy flows in little memory: a count-min sketch, and a heap of the largest counts.

Cormode and Muthukrishnan, "An improved data stream summary: the count-min sketch and its
applications", Journal of Algorithms 55(1), 2005.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

#: A prime above all flows' numbers, for hashes of the form (a x + b) mod p.
_PRIME = (1 << 61) - 1


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
        self._counts = [[0] * columns for _ in range(rows)]

    def add(self, flow: int, count: int = 1) -> int:
        """Count packets of a flow; returns its count as known then."""
        least = -1
        for (a, b), row in zip(self._hashes, self._counts, strict=True):
            column = (a * flow + b) % _PRIME % self.columns
            row[column] += count
            if least < 0 or row[column] < least:
                least = row[column]
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
        self._heap: list[tuple[int, int]] = []

    def add(self, flow: int, count: int = 1) -> None:
        """Count packets of a flow, which may take the place of the least of the heavy ones."""
        now = self.sketch.add(flow, count)
        counts = self.counts
        if flow in counts:
            counts[flow] = now
            return
        if len(counts) >= self.most:
            least, lightest = self._least()
            if now <= least:
                return
            heappop(self._heap)
            del counts[lightest]
        counts[flow] = now
        heappush(self._heap, (now, flow))

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
