"""Chunked prefill: decodes first, prompts in pieces with what is left of the token budget."""

from __future__ import annotations

from policies.batching.contract import CARRY_ON, BatchView, Fate, Plan
from policies.batching.memory import Room
from policies.ordering.contract import RequestView


class ChunkedPrefill:
    """Every iteration decodes all that can and fills its token budget with pieces of prompts.

    Agrawal et al., "Taming throughput-latency tradeoff in LLM inference with Sarathi-Serve"
    (OSDI 2024); vLLM's default since version 1. Prompts under way go on before new ones are
    taken in; KV blocks for a whole prompt are taken when it is admitted. `preemption`: fate of a
    request that leaves for lack of blocks ("recompute" or "swap").
    """

    gpu_only = True

    def __init__(self, preemption: Fate = "recompute") -> None:
        self.preemption: Fate = preemption

    def plan(self, view: BatchView, now_s: float) -> Plan:
        if view.steady:
            return CARRY_ON
        plan = Plan()
        room = Room(view, plan, self.preemption)
        if room.free < 0:
            room.secure_growth()
        budget = view.max_batch_tokens - view.decoding
        chunks: list[tuple[RequestView, int]] = []
        for request in view.prefilling:
            if budget <= 0:
                break
            if request.id not in room.gone:
                tokens = min(request.prefill_tokens, budget)
                chunks.append((request, tokens))
                room.settle(request)
                budget -= tokens
        if room.gone:
            plan.chunks = chunks
            plan.steps = 1
            return plan
        if budget > 0 and view.queued:
            budget = self._take_in(view, plan, room, chunks, budget)
        plan.chunks = chunks
        if room.gone or plan.resume:
            plan.steps = 1
        elif chunks:
            self._repeat(view, room, plan, budget)
        elif view.queued:
            plan.steps = room.order_holds()
        return plan

    @staticmethod
    def _take_in(
        view: BatchView,
        plan: Plan,
        room: Room,
        chunks: list[tuple[RequestView, int]],
        budget: int,
    ) -> int:
        """Admit waiting requests in rank order while tokens, slots and blocks last. Returns the
        tokens left."""
        resume: list[RequestView] = []
        for request in view.waiting:
            if budget <= 0 or not room.take_in(request):
                break
            tokens = min(request.prefill_tokens, budget)
            if tokens:
                chunks.append((request, tokens))
                budget -= tokens
            else:
                resume.append(request)
                budget -= 1
        plan.resume = resume
        return budget

    @staticmethod
    def _repeat(view: BatchView, room: Room, plan: Plan, budget: int) -> None:
        """A single piece that uses up the budget repeats until the prompt is complete; others
        that wait may join its last piece."""
        plan.steps = 1
        if budget == 0 and len(plan.chunks) == 1 and not plan.resume:
            ((request, tokens),) = plan.chunks
            pieces = -(-request.prefill_tokens // tokens)
            if pieces == 1:
                return
            if view.queued - (request not in view.prefilling):
                plan.steps = min(pieces - 1, room.order_holds())
                plan.arrivals = "none"
            else:
                plan.steps = pieces
