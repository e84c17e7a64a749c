"""Prefill first: whole prompts as soon as they fit, decodes meanwhile wait."""

from __future__ import annotations

from policies.batching.contract import CARRY_ON, BatchView, Fate, Plan
from policies.batching.memory import Room
from policies.ordering.contract import RequestView


class PrefillFirst:
    """An iteration is either whole prompts or decodes, prompts first.

    The rule of vLLM before chunked prefill (Kwon et al., SOSP 2023): it keeps time to first token
    low and stalls those that decode. A prompt longer than the token budget is computed alone.
    `preemption`: fate of a request that leaves for lack of blocks ("recompute" or "swap").
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
        if room.gone:
            plan.steps = 1
            return plan
        budget = view.max_batch_tokens
        chunks: list[tuple[RequestView, int]] = []
        resume: list[RequestView] = []
        for request in view.waiting:
            tokens = request.prefill_tokens
            if (tokens > budget and chunks) or not room.take_in(request):
                break
            if tokens:
                chunks.append((request, tokens))
                budget -= tokens
            else:
                resume.append(request)
        plan.chunks, plan.resume = chunks, resume
        if chunks:
            plan.decode = False
            plan.steps = 1
        elif room.gone or resume:
            plan.steps = 1
        else:
            plan.steps = room.order_holds()
        return plan
