"""Requests that decode with their KV in host memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from heapq import heappop, heapreplace

from sim.serving.decode_batch import NEVER, DecodeBatch
from sim.serving.request import Request


class HostBatch(DecodeBatch):
    """A decode batch of which some members sit a step out.

    `ranked`: the members in rank order, as last asked.
    """

    __slots__ = ("_ranks", "ranked")

    def __init__(self, block_tokens: int) -> None:
        DecodeBatch.__init__(self, block_tokens)
        self.ranked: list[Request] = []
        self._ranks: list[tuple[float, int]] = []

    def join(self, request: Request) -> None:
        DecodeBatch.join(self, request)
        place = request.rank, request.id
        i = bisect_left(self._ranks, place)
        self._ranks.insert(i, place)
        self.ranked.insert(i, request)

    def leave(self, request: Request) -> None:
        DecodeBatch.leave(self, request)
        i = bisect_left(self._ranks, (request.rank, request.id))
        del self._ranks[i], self.ranked[i]

    def reads(self) -> list[int]:
        """KV tokens that each of them reads when it decodes next, in rank order."""
        steps = self.steps + 1
        return [request._kv - request._joined + steps for request in self.ranked]

    def advance_without(self, aside: Sequence[Request]) -> int:
        """Every member but those makes a token. Returns the KV blocks that these need."""
        block = self.block_tokens
        offsets = self._offsets
        now = self.steps % block
        blocks = offsets[now]
        for request in aside:
            joined = request._joined
            place = (joined - request._kv) % block
            if place == now:
                blocks -= 1
            offsets[place] -= 1
            # The last place is before the first.
            offsets[place + 1 - block] += 1
            request._joined = joined + 1
            request._ends += 1
        self.steps += 1
        self.context += self.size - len(aside)
        return blocks

    def ended(self) -> list[Request]:
        """Members that have all their tokens now, in order of id; they have left."""
        self._prune()
        return DecodeBatch.ended(self) if self.next_end <= self.steps else []

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
        if len(ends) > 64:
            self._shrink()
