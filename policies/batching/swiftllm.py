"""SwiftLLM: whole prompts mixed with decodes, the youngest swapped out."""

from __future__ import annotations

from policies.batching.contract import CARRY_ON, BatchView, Plan
from policies.batching.memory import Room
from policies.ordering.contract import RequestView


class SwiftLlm:
    """All on the GPUs, by the rule of SwiftLLM, the baseline of NEO (arXiv 2411.01142).

    Whole prompts join the iteration in which others decode, as long as sequences, tokens and
    blocks last; nothing is kept free for growth. Where blocks run out, those of the worst rank go
    to host memory, and while any are there no prompt is begun: they come back first, the best rank
    first. Where host memory is full they are computed again instead. A prompt longer than the
    budget of an iteration is the only one in it.
    """

    gpu_only = True

    def plan(self, view: BatchView, now_s: float) -> Plan:
        if view.steady:
            return CARRY_ON
        plan = Plan()
        room = Room(view, plan, "swap")
        room.secure_growth()
        if room.gone:
            plan.steps = 1
            return plan
        swapped = view.swapped_out > 0
        left = view.max_batch_tokens - view.decoding
        chunks: list[tuple[RequestView, int]] = []
        resume: list[RequestView] = []
        for request in view.waiting:
            if swapped and not (request.swapped or request.kv_tokens):
                continue
            tokens = request.prefill_tokens
            alone = tokens > view.max_batch_tokens and not chunks
            if left < 1 or (tokens > left and not alone) or not room.take_in(request):
                break
            left -= max(tokens, 1)
            if tokens:
                chunks.append((request, tokens))
            else:
                resume.append(request)
        plan.chunks, plan.resume = chunks, resume
        plan.steps = 1 if chunks or resume or room.gone else room.order_holds()
        return plan
