"""The requests that decode together, kept so that a step costs nothing per request."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from sim.serving.request import Request

if TYPE_CHECKING:
    from sim.serving.use_log import UseLog

NEVER = 1 << 60


class DecodeBatch:
    """Decoding requests as running sums.

    Every step gives each member one token. `steps` counts the steps ever made, `context` is the
    sum of KV tokens that the next step reads, `next_end` the number of steps at which the first
    member will have all its tokens. Growth of KV blocks follows from how many members stand at
    each offset within a block; ends from a heap of step numbers.
    """

    __slots__ = (
        "_ends",
        "_offsets",
        "block_tokens",
        "context",
        "members",
        "meter",
        "newcomers",
        "next_end",
        "size",
        "steps",
    )

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self.size = 0
        self.steps = 0
        self.context = 0
        self.next_end = NEVER
        self.members: dict[int, Request] = {}
        # Those that join, where somebody watches.
        self.newcomers: list[Request] | None = None
        # Members that need a new block in steps whose number is congruent to the index.
        self._offsets = [0] * block_tokens
        self._ends: list[tuple[int, int, Request]] = []
        self.meter: UseLog | None = None

    def __iter__(self) -> Iterator[Request]:
        return iter(self.members.values())

    def join(self, request: Request) -> None:
        """A request whose KV is complete but for its last token begins to decode."""
        if self.meter is not None:
            self.meter.join(request)
        kv = request._kv
        number = request.id
        request._batch = self
        request._ready = False
        request._joined = steps = self.steps
        request._ends = ends = steps + request._stop - request._generated
        heappush(self._ends, (ends, number, request))
        if ends < self.next_end:
            self.next_end = ends
        self.members[number] = request
        if self.newcomers is not None:
            self.newcomers.append(request)
        self.size += 1
        self.context += kv + 1
        self._offsets[(steps - kv) % self.block_tokens] += 1

    def leave(self, request: Request) -> None:
        """A member leaves; its counts are its own again, `blocks` what it holds."""
        if self.meter is not None:
            self.meter.leave(request)
        steps = self.steps
        block = self.block_tokens
        joined = request._joined
        kv = request._kv
        self._offsets[(joined - kv) % block] -= 1
        request._kv = kv = kv + steps - joined
        request._generated += steps - joined
        request._batch = None
        request._ready = True
        request.blocks = -(-kv // block)
        del self.members[request.id]
        self.size -= 1
        self.context -= kv + 1
        if request._ends > steps:
            self._prune()

    def advance(self, steps: int) -> int:
        """Every member makes `steps` tokens. Returns the KV blocks that these need."""
        blocks = self.growth(steps)
        self.steps += steps
        self.context += steps * self.size
        return blocks

    def growth(self, steps: int) -> int:
        """Blocks that members need for the next `steps` steps."""
        block = self.block_tokens
        first = self.steps % block
        if steps == 1:
            return self._offsets[first]
        last = first + steps % block
        offsets = self._offsets
        blocks = steps // block * self.size + sum(offsets[first:last])
        return blocks if last <= block else blocks + sum(offsets[: last - block])

    def headroom(self, free_blocks: int, most: int) -> int:
        """Steps, at most `most`, for which `free_blocks` are enough."""
        size = self.size
        if size * (most // self.block_tokens + 1) <= free_blocks:
            return most
        steps = free_blocks // size * self.block_tokens
        left = free_blocks - free_blocks // size * size
        offsets = self._offsets
        at = self.steps % self.block_tokens
        for _ in range(min(self.block_tokens, most)):
            left -= offsets[at]
            if left < 0:
                break
            steps += 1
            at = at + 1 if at + 1 < self.block_tokens else 0
        return min(steps, most)

    def ended(self) -> list[Request]:
        """Members that have all their tokens now, in order of id; they have left."""
        over = []
        while self.next_end <= self.steps:
            request = heappop(self._ends)[2]
            self.leave(request)
            self._prune()
            over.append(request)
        return over

    def _prune(self) -> None:
        """Drop entries of the heap that speak of requests that have left before their end."""
        ends = self._ends
        while ends:
            entry = ends[0]
            request = entry[2]
            # It may have left, and rejoined with another end.
            if request._batch is self and request._ends == entry[0]:
                break
            heappop(ends)
        self.next_end = ends[0][0] if ends else NEVER
        if len(ends) > 64:
            self._shrink()

    def _shrink(self) -> None:
        """Make the heap anew where most of it is out of date."""
        if len(self._ends) > 4 * self.size:
            self._ends = [(r._ends, r.id, r) for r in self.members.values()]
            heapify(self._ends)
