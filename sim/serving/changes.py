"""Carries out what a plan changes, and checks that it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.batching.contract import Fate, Plan
from sim.core.errors import LawBroken
from sim.serving.facts import RequestPreempted
from sim.serving.request import Request

if TYPE_CHECKING:
    from sim.serving.replica import Replica


class Changes:
    """Moves requests of one replica between its queue, its batch and host memory.

    Raises LawBroken, with the numbers, where a plan cannot be: a request that is not where the
    plan takes it to be, or pieces larger than what is left to prefill; CapacityError for blocks
    that are not free.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._preemptions = replica.simulation.listeners(RequestPreempted)

    def apply(self, plan: Plan, now_s: float) -> tuple[int, int]:
        """Carry out the plan's changes. Returns KV blocks that move to the host and back."""
        out_blocks = in_blocks = 0
        replica = self._replica
        chunks = plan.chunks
        offload = plan.offload
        moves = offload is not None and (offload.out or offload.back)
        if plan.preempt or plan.evict or plan.resume or moves or len(chunks) > 1:
            self._check_names(plan)
            for request, fate in plan.preempt:
                out_blocks += self._preempt(request, fate, now_s)  # type: ignore[arg-type]
            for request, fate in plan.evict:
                out_blocks += self._evict(request, fate)  # type: ignore[arg-type]
            if offload is not None:
                for request in offload.out:
                    out_blocks += self._offload(request)  # type: ignore[arg-type]
                for request in offload.back:
                    in_blocks += self._bring_back(request)  # type: ignore[arg-type]
            for request in plan.resume:
                in_blocks += self._resume(request, now_s)  # type: ignore[arg-type]
        prefilling = replica.prefilling
        to_host = offload.to_host if offload is not None else ()
        for request, tokens in chunks:
            if request not in prefilling:
                there = bool(to_host) and request in to_host
                in_blocks += self._admit(request, now_s, there)  # type: ignore[arg-type]
            left = request.prefill_tokens
            if to_host and tokens < left and request in to_host:
                raise LawBroken(
                    f"replica {replica.index}: a piece of {tokens} tokens for {request!r}, whose "
                    f"KV goes to host memory; such prompts are whole, of {left}"
                )
            if not 0 < tokens <= left or (plan.steps - 1) * tokens >= left:
                raise LawBroken(
                    f"replica {replica.index}: a piece of {tokens} tokens for {request!r}, which "
                    f"has {left} to prefill, in each of {plan.steps} steps"
                )
        size = replica.batch.size + len(prefilling)
        if size > replica.limits.max_sequences:
            raise LawBroken(
                f"replica {replica.index}: {size} requests in the batch, max_sequences is "
                f"{replica.limits.max_sequences}"
            )
        return out_blocks, in_blocks

    def _check_names(self, plan: Plan) -> None:
        """A plan names each request once, and repeats at most one piece."""
        chunks = plan.chunks
        named = [*plan.resume]
        if plan.offload is not None:
            named += plan.offload.out
            named += plan.offload.back
        for request, _ in (*chunks, *plan.preempt, *plan.evict):
            named.append(request)
        where = self._replica.index
        if len(named) > 1 and (different := len(set(named))) < len(named):
            raise LawBroken(
                f"replica {where}: a plan names {len(named)} requests, {different} different ones"
            )
        if plan.steps > 1 and len(chunks) > 1:
            raise LawBroken(
                f"replica {where}: a plan of {len(chunks)} pieces holds for {plan.steps} steps"
            )

    def forget(self, request: Request) -> None:
        """A request's KV is thrown away, on the GPU and on the host."""
        request.recomputed_tokens += request._kv
        self._replica.tally.recomputed_tokens += request._kv
        request._kv = 0
        request._ready = False
        request.blocks = 0
        if request.swapped:
            self._replica.swap.drop(request)

    def lose(self, requests: list[Request]) -> list[Request]:
        """The devices failed: these requests, all that are here but for calls, lose their KV."""
        replica = self._replica
        for batch in (replica.batch, replica.host):
            for request in list(batch):
                batch.leave(request)
        replica.host.abandon()
        replica.swap.abandon()
        if replica.batch.meter is not None:
            replica.batch.meter.lose(requests)
        for request in requests:
            request.waits_since = -1
            self.forget(request)
        return requests

    def _admit(self, request: Request, now_s: float, to_host: bool) -> int:
        """A waiting request begins to prefill, or goes on; `to_host`: its KV goes there."""
        self._dequeue(request, now_s)
        replica = self._replica
        blocks = request.blocks_missing(replica.batch.block_tokens)
        if to_host:
            if request._kv:
                raise LawBroken(
                    f"replica {replica.index}: {request!r} has KV; it cannot go to host"
                )
            replica.host.expect(request, blocks)
            replica.prefilling.append(request)
            return 0
        replica.pool.take(blocks)
        request.blocks += blocks
        replica.prefilling.append(request)
        return replica.swap.bring_back(request) if request.swapped else 0

    def _resume(self, request: Request, now_s: float) -> int:
        """A waiting request decodes on."""
        replica = self._replica
        if request.prefill_tokens:
            raise LawBroken(f"replica {replica.index}: {request!r} cannot decode without prefill")
        self._dequeue(request, now_s)
        # The iteration that follows takes the block that its next token may need.
        held = -(-request._kv // replica.batch.block_tokens)
        replica.pool.take(held - request.blocks)
        request.blocks = held
        returned = replica.swap.bring_back(request) if request.swapped else 0
        replica.batch.join(request)
        return returned

    def _offload(self, request: Request) -> int:
        """A request that decodes on the GPUs goes on on the host. Returns blocks that move."""
        replica = self._replica
        if request._batch is not replica.batch:
            raise LawBroken(f"replica {replica.index}: {request!r} does not decode on the GPUs")
        replica.batch.leave(request)
        blocks = request.blocks
        out = replica.swap.put_out(request)
        replica.pool.release(blocks)
        request.blocks = 0
        replica.host.join(request)
        return out

    def _bring_back(self, request: Request) -> int:
        """A request that decodes on the host goes on on the GPUs. Returns blocks that move."""
        replica = self._replica
        replica.host.leave(request)
        blocks = request.swapped_blocks
        replica.pool.take(blocks)
        request.blocks = blocks
        moved = replica.swap.bring_back(request)
        replica.batch.join(request)
        return moved

    def _preempt(self, request: Request, fate: Fate, now_s: float) -> int:
        """A running request leaves the batch. Returns blocks that go to the host."""
        replica = self._replica
        if request._batch is replica.batch:
            replica.batch.leave(request)
        elif request._batch is replica.host.batch and fate == "recompute":
            replica.host.leave(request)
        elif request in replica.prefilling:
            replica.prefilling.remove(request)
        else:
            raise LawBroken(f"replica {replica.index}: a plan preempts {request!r}, not running")
        request.preemptions += 1
        replica.tally.preemptions += 1
        out = self._dispose(request, fate)
        replica.enqueue(request)
        if self._preemptions:
            fact = RequestPreempted(now_s, request, fate)
            for listener in self._preemptions:
                listener(fact)
        return out

    def _evict(self, request: Request, fate: Fate) -> int:
        """A waiting request loses its KV on the GPU. Returns blocks that go to the host."""
        replica = self._replica
        if not request.blocks or fate == "keep":
            raise LawBroken(f"replica {replica.index}: nothing to evict of {request!r} ({fate})")
        if request.id in replica.calls.paused:
            replica.calls.let_go(request, "swap" if fate == "swap" else "discard")
            return 0
        if request.id in replica.calls.fetched:
            replica.calls.call_off(request)
            return 0
        since = request.waits_since
        self._remove(request)
        out = self._dispose(request, fate)
        request.waits_since = since
        replica.enqueue(request)
        return out

    def _dispose(self, request: Request, fate: Fate) -> int:
        """What becomes of a request's KV. Returns blocks that go to the host."""
        if fate == "keep":
            return 0
        replica = self._replica
        blocks = request.blocks
        if fate == "swap":
            out = replica.swap.put_out(request)
            replica.pool.release(blocks)
            request.blocks = 0
            return out
        if fate != "recompute":
            raise LawBroken(f"replica {replica.index}: {fate!r} is no fate of KV")
        replica.pool.release(blocks)
        self.forget(request)
        return 0

    def _dequeue(self, request: Request, now_s: float) -> None:
        """A waiting request enters the batch."""
        self._remove(request)
        if request.scheduled_s < 0.0:
            request.scheduled_s = now_s

    def _remove(self, request: Request) -> None:
        replica = self._replica
        if not replica.waiting.remove(request):
            raise LawBroken(
                f"replica {replica.index}: a plan takes {request!r}, which is not waiting"
            )
        request.waits_since = -1
        if request.swapped:
            replica.swapped_out -= 1
        if request.blocks:
            replica.holders -= 1
            replica.held.change(-request._kv, replica.simulation.env.now)
