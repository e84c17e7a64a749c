"""NEO without its rule that the GPUs must hide the host."""

from __future__ import annotations

from policies.batching.contract import BatchView, Offload, Plan
from policies.batching.host_sides import Halves, Hosted, Prompts, context_after
from policies.batching.neo import Neo


class NeoByWork(Neo):
    """NEO's sides and order, but each iteration is the one with most work in its time.

    Work is what the GPUs alone would take for the same: a prompt by itself, a token its part of an
    iteration of those that decode there now. A request with its KV on the host takes part as long
    as its token is worth the time that it adds, hidden or not; prompts bound for the host are put
    off while that makes an iteration better. Where few decode on the GPUs a token is worth much,
    so small GPUs run as with full offload; where many do, only what is hidden is worth it.
    """

    def _form(
        self, view: BatchView, plan: Plan, offload: Offload, prompts: Prompts, hosted: Hosted
    ) -> None:
        times = self.times
        decodes = view.decoding + len(offload.back) - len(offload.out) - len(plan.preempt)
        width = decodes + prompts.width
        count = len(prompts.chosen)
        if not 0 < width < len(times.linear):
            prompts.put(plan, offload, count)
            return
        attention_s = times.attention(context_after(view, plan, offload, prompts))
        each_s = [times.prefill[size] for size in prompts.sizes]
        token_s = (times.linear[max(decodes, 1)] + attention_s) / max(decodes, 1)
        worth_s = [times.linear[n] + s for n, s in zip(prompts.sizes, each_s, strict=True)]
        work_s = decodes * token_s + sum(worth_s)
        # The GPUs alone, with as many prompts as make most of it.
        alone, alone_width, alone_s, alone_work_s = count, width, attention_s + sum(each_s), work_s
        while alone > prompts.here:
            size, size_s, worth = prompts.sizes[alone - 1], each_s[alone - 1], worth_s[alone - 1]
            if alone_width == size:
                break
            less_s = times.linear[alone_width - size] + alone_s - size_s
            now_s = times.linear[alone_width] + alone_s
            if (alone_work_s - worth) * now_s < alone_work_s * less_s:
                break
            alone, alone_width = alone - 1, alone_width - size
            alone_s -= size_s
            alone_work_s -= worth
        halves = Halves(times, width, attention_s + sum(each_s))
        room = self._host_room(view, offload, prompts)
        halves.spread(hosted, prompts, room, work_s=work_s, token_s=token_s)
        if halves.second:
            both, both_work_s = count, work_s + halves.size * token_s
            while both > prompts.here:
                size, size_s, worth = prompts.sizes[both - 1], each_s[both - 1], worth_s[both - 1]
                now_s = halves.stages_s
                halves.drop(size, size_s)
                if (both_work_s - worth) * now_s < both_work_s * halves.stages_s:
                    halves.drop(-size, -size_s)
                    break
                both -= 1
                both_work_s -= worth
            alone_s += times.linear[alone_width]
            if alone_work_s * halves.stages_s < both_work_s * alone_s:
                prompts.put(plan, offload, both)
                halves.put(offload)
                return
        prompts.put(plan, offload, alone)
