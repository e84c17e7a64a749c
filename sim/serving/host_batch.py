"""Requests that decode with their KV in host memory."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heapreplace

from sim.serving.decode_batch import NEVER, DecodeBatch
from sim.serving.request import Request


class HostBatch(DecodeBatch):
    """A decode batch of which some members sit a step out."""

    __slots__ = ()

    def advance_without(self, aside: Sequence[Request]) -> int:
        """Every member but those makes a token. Returns the KV blocks that these need."""
        block = self.block_tokens
        offsets = self._offsets
        now = self.steps % block
        blocks = offsets[now]
        for request in aside:
            place = (request._joined - request._kv) % block
            if place == now:
                blocks -= 1
            offsets[place] -= 1
            offsets[(place + 1) % block] += 1
            request._joined += 1
            request._ends += 1
        self.steps += 1
        self.context += self.size - len(aside)
        return blocks

    def ended(self) -> list[Request]:
        """Members that have all their tokens now, in order of id; they have left."""
        self._prune()
        return super().ended()

    def _prune(self) -> None:
        """As for any batch; what sat out ends later than its entry says."""
        ends = self._ends
        while ends:
            end, number, request = ends[0]
            if request._batch is not self or request._ends < end:
                heappop(ends)
            elif request._ends > end:
                heapreplace(ends, (request._ends, number, request))
            else:
                break
        self.next_end = ends[0][0] if ends else NEVER
        self._shrink()
