"""The requests that decode together, kept so that a step costs nothing per request."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from sim.serving.request import Request

_NEVER = 1 << 60


class DecodeBatch:
    """Decoding requests as running sums.

    Every step gives each member one token. `steps` counts the steps ever made, `context` is the
    sum of KV tokens that the next step reads, `next_end` the number of steps at which the first
    member will have all its tokens; whoever makes steps adds to the first two. Growth of KV
    blocks follows from how many members stand at each offset within a block; ends from a heap of
    step numbers.
    """

    __slots__ = (
        "_ends",
        "_offsets",
        "block_tokens",
        "context",
        "members",
        "next_end",
        "size",
        "steps",
    )

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens = block_tokens
        self.size = 0
        self.steps = 0
        self.context = 0
        self.next_end = _NEVER
        self.members: dict[int, Request] = {}
        # Members that need a new block in steps whose number is congruent to the index.
        self._offsets = [0] * block_tokens
        self._ends: list[tuple[int, int, Request]] = []

    def __iter__(self) -> Iterator[Request]:
        return iter(self.members.values())

    def join(self, request: Request) -> None:
        """A request whose KV is complete but for its last token begins to decode."""
        steps = self.steps
        kv = request._kv
        request._batch = self
        request._ready = False
        request._joined = steps
        ends = steps + request._output_tokens - request._generated
        request._ends = ends
        heappush(self._ends, (ends, request.id, request))
        if ends < self.next_end:
            self.next_end = ends
        self.members[request.id] = request
        self.size += 1
        self.context += kv + 1
        self._offsets[(steps - kv) % self.block_tokens] += 1

    def leave(self, request: Request) -> None:
        """A member leaves; its counts are its own again, `blocks` what it holds."""
        passed = self.steps - request._joined
        self._offsets[(request._joined - request._kv) % self.block_tokens] -= 1
        request._kv += passed
        request._generated += passed
        request._batch = None
        request._ready = True
        request.blocks = -(-request._kv // self.block_tokens)
        del self.members[request.id]
        self.size -= 1
        self.context -= request._kv + 1
        if request._ends > self.steps:
            self._prune()

    def growth(self, start: int, steps: int) -> int:
        """Blocks that members need for `steps` steps from step number `start` on."""
        block = self.block_tokens
        whole, rest = divmod(steps, block)
        blocks = whole * self.size
        if rest:
            offsets = self._offsets
            first = start % block
            if rest == 1:
                return blocks + offsets[first]
            last = first + rest
            blocks += sum(offsets[first:last])
            if last > block:
                blocks += sum(offsets[: last - block])
        return blocks

    def next_growth(self) -> int:
        """Blocks that members need for the next step."""
        return self._offsets[self.steps % self.block_tokens]

    def headroom(self, free_blocks: int, most: int) -> int:
        """Steps, at most `most`, for which `free_blocks` are enough."""
        size = self.size
        if size * (most // self.block_tokens + 1) <= free_blocks:
            return most
        steps = free_blocks // size * self.block_tokens
        left = free_blocks - free_blocks // size * size
        offsets = self._offsets
        at = self.steps % self.block_tokens
        for _ in range(self.block_tokens):
            left -= offsets[at]
            if left < 0:
                break
            steps += 1
            at = at + 1 if at + 1 < self.block_tokens else 0
        return min(steps, most)

    def ended(self) -> list[Request]:
        """Members that have all their tokens now, in order of id; they have left."""
        ends = self._ends
        over = []
        while ends and ends[0][0] <= self.steps:
            entry = heappop(ends)
            if self._is_current(entry):
                over.append(entry[2])
                self.leave(entry[2])
        self._prune()
        return over

    def _prune(self) -> None:
        """Drop entries of the heap that speak of requests that have left before their end."""
        ends = self._ends
        while ends and not self._is_current(ends[0]):
            heappop(ends)
        self.next_end = ends[0][0] if ends else _NEVER
        if len(ends) > 64 and len(ends) > 4 * self.size:
            self._ends = [entry for entry in ends if self._is_current(entry)]
            heapify(self._ends)

    def _is_current(self, entry: tuple[int, int, Request]) -> bool:
        """Whether an entry of the heap still speaks of a member: it may have left and rejoined."""
        request = entry[2]
        return request._batch is self and request._ends == entry[0]
