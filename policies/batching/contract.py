"""The contract of batching policies: they turn the ordered requests into an iteration.

A plan is a change, not the new state: requests that decode go on decoding unless the plan says
otherwise, so a plan costs what has changed and not what runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeAlias

from policies.ordering.contract import FOREVER, OrderingView, Place, RequestView

#: What becomes of the KV of a request that leaves the batch: it stays on the GPU, is thrown away
#: and computed again, or moves to host memory.
Fate: TypeAlias = Literal["keep", "recompute", "swap"]

#: Which arrivals end a plan's validity: every one that becomes the head of the waiting queue, or
#: none (it could not be taken in anyway).
Openness: TypeAlias = Literal["head", "none"]


class Plan:
    """What changes with the next iteration. The replica checks it and raises LawBroken with the
    numbers where it cannot be: memory that is not free, a request unknown or named twice.

    `chunks`: (request, tokens) to prefill in this iteration, in order; a waiting request named
    here is admitted, and KV blocks for all that it must prefill are taken.
    `resume`: waiting requests that need no prefill (their KV was kept or swapped) to decode on.
    `preempt`: (request, fate) of running requests that leave the batch.
    `evict`: (request, fate) of waiting requests that hold KV on the GPU and lose it.
    `decode`: whether requests that decode take part in this iteration.
    `steps`: iterations for which the plan holds if nothing arrives, ends or runs out of blocks;
    more than one only with a single chunk, which then repeats (the prompt's last piece may be
    shorter), or none.
    `arrivals`: which arrivals end it.
    """

    __slots__ = ("arrivals", "chunks", "decode", "evict", "preempt", "resume", "steps")

    def __init__(self) -> None:
        self.chunks: Sequence[tuple[RequestView, int]] = ()
        self.resume: Sequence[RequestView] = ()
        self.preempt: Sequence[tuple[RequestView, Fate]] = ()
        self.evict: Sequence[tuple[RequestView, Fate]] = ()
        self.decode = True
        self.steps = FOREVER
        self.arrivals: Openness = "head"


#: The plan without a change: those that decode go on. Never modify it.
CARRY_ON = Plan()


class BatchView(OrderingView, Protocol):
    """What a batching policy sees of a replica. Read-only, valid during the call."""

    @property
    def steady(self) -> bool:
        """Whether nothing waits, nothing prefills and the next iteration's blocks are free: then
        most policies have nothing to change."""
        ...

    @property
    def queued(self) -> int:
        """Number of requests not in the batch."""
        ...

    @property
    def holders(self) -> Iterable[RequestView]:
        """Requests not in the batch that hold KV blocks on the GPU, worst rank first."""
        ...

    @property
    def prefilling(self) -> Sequence[RequestView]:
        """Requests of the batch whose prefill is not complete, in order of admission."""
        ...

    @property
    def batch_size(self) -> int:
        """Number of requests in the batch."""
        ...

    @property
    def max_sequences(self) -> int:
        """Most requests in the batch."""
        ...

    @property
    def max_batch_tokens(self) -> int:
        """Most tokens computed in one iteration."""
        ...

    @property
    def total_blocks(self) -> int:
        """KV blocks of the replica."""
        ...

    @property
    def reserve_blocks(self) -> int:
        """Blocks that an admission should leave free for the growth of those that run."""
        ...

    @property
    def ordering_preemptive(self) -> bool:
        """Whether waiting requests may displace running ones."""
        ...

    @property
    def ordering_takes_kv(self) -> bool:
        """Whether they may do so for KV blocks, not for batch slots alone."""
        ...

    def growth(self, steps: int) -> int:
        """KV blocks that the requests that decode need for the next `steps` iterations."""
        ...

    def blocks_to_admit(self, request: RequestView) -> int:
        """Blocks that must be free to admit or resume it."""
        ...

    def blocks_held(self, request: RequestView) -> int:
        """KV blocks that it holds on the GPU."""
        ...

    def blocks_next(self, request: RequestView) -> int:
        """Blocks (0 or 1) that a decoding request needs for its next iteration."""
        ...

    def rank(self, request: RequestView) -> float:
        """Rank of a request now."""
        ...

    def displaceable(self) -> Iterable[Place]:
        """Running requests that a waiting one may displace, with their ranks."""
        ...

    def order_holds(self, places: Iterable[Place]) -> int:
        """For how many iterations the order stays, if nothing arrives or ends. `places`: what
        `displaceable` gave."""
        ...

    def host_blocks_free(self) -> int:
        """Free blocks of host memory for swapped KV."""
        ...


class Batching(Protocol):
    """Plans iterations."""

    def plan(self, view: BatchView, now_s: float) -> Plan:
        """The change for the next iteration. An empty batch afterwards means: wait."""
        ...


__all__ = ["CARRY_ON", "FOREVER", "BatchView", "Batching", "Fate", "Openness", "Plan"]
