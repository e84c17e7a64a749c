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


class Offload:
    """What changes for requests whose KV is in host memory, or comes from there or goes there.

    `out`: running requests whose KV moves to host memory, to decode there; `back`: those whose KV
    moves from there to the GPUs, to decode there. The iteration waits for both. `to_host`: of the
    requests in the plan's `chunks`, those whose KV goes to host memory layer by layer, to decode
    there; their prompts must be whole.

    `split`: whether the iteration is of two sub-batches, in which the host computes decode
    attention; else those with their KV there make no token. The first has all prompts and all that
    decode on the GPUs, and `beside` of the requests on the host; `aside` of them sit the iteration
    out; all others of them are the second.
    """

    __slots__ = ("aside", "back", "beside", "out", "split", "to_host")

    def __init__(self) -> None:
        self.out: Sequence[RequestView] = ()
        self.back: Sequence[RequestView] = ()
        self.to_host: Sequence[RequestView] = ()
        self.split = False
        self.beside: Sequence[RequestView] = ()
        self.aside: Sequence[RequestView] = ()


class Plan:
    """What changes with the next iteration. The replica checks it and raises LawBroken with the
    numbers where it cannot be: memory that is not free, a request unknown or named twice.

    `chunks`: (request, tokens) to prefill in this iteration, in order; a waiting request named
    here is admitted, and KV blocks for all that it must prefill are taken.
    `resume`: waiting requests that need no prefill (their KV was kept or swapped) to decode on.
    `preempt`: (request, fate) of running requests that leave the batch; those that decode on the
    host can only be computed again.
    `evict`: (request, fate) of waiting requests that hold KV on the GPU and lose it.
    `decode`: whether requests that decode take part in this iteration.
    `offload`: what changes for those with their KV in host memory; None: nothing, and they sit the
    iteration out.
    `steps`: iterations for which the plan holds if nothing arrives, ends or runs out of blocks;
    more than one only with a single chunk, which then repeats (the prompt's last piece may be
    shorter), or none.
    `arrivals`: which arrivals end it.
    """

    __slots__ = ("arrivals", "chunks", "decode", "evict", "offload", "preempt", "resume", "steps")

    def __init__(self) -> None:
        self.chunks: Sequence[tuple[RequestView, int]] = ()
        self.resume: Sequence[RequestView] = ()
        self.preempt: Sequence[tuple[RequestView, Fate]] = ()
        self.evict: Sequence[tuple[RequestView, Fate]] = ()
        self.decode = True
        self.offload: Offload | None = None
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
        """Free blocks of host memory for KV."""
        ...

    @property
    def host_blocks(self) -> int:
        """Blocks of host memory for KV."""
        ...

    @property
    def block_tokens(self) -> int:
        """Tokens in a KV block."""
        ...

    @property
    def context_tokens(self) -> int:
        """KV tokens that those that decode on the GPUs read in the next iteration."""
        ...

    @property
    def hosted_size(self) -> int:
        """Number of requests that decode with their KV in host memory."""
        ...

    @property
    def hosted(self) -> Sequence[RequestView]:
        """Those requests in rank order, as last asked."""
        ...

    @property
    def hosted_reads(self) -> Sequence[int]:
        """KV tokens that each of them reads when it decodes next."""
        ...

    @property
    def swapped_out(self) -> int:
        """Number of waiting requests whose KV is in host memory."""
        ...


class Batching(Protocol):
    """Plans iterations.

    A policy may have `layer_buffer = True`: KV of prompts on its way to host memory passes through
    a buffer of one layer of KV on the GPUs, which the system takes from the pool. Or it may have
    `gpu_only = True`: it never has the host compute attention, so that nothing reads what is said
    of that.
    """

    def plan(self, view: BatchView, now_s: float) -> Plan:
        """The change for the next iteration. An empty batch afterwards means: wait."""
        ...


__all__ = ["CARRY_ON", "FOREVER", "BatchView", "Batching", "Fate", "Offload", "Openness", "Plan"]
