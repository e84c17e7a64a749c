"""NEO without its rule that the GPUs must hide the host."""

from __future__ import annotations

from policies.batching.contract import BatchView, Offload, Plan
from policies.batching.host_sides import Halves, Hosted, Prompts, context_after, give_way
from policies.batching.neo import Neo


class NeoByWork(Neo):
    """NEO's sides and order, but each iteration is the one with most work in its time.

    Work is what the GPUs alone would take for the same: a prompt by itself, a token its part of an
    iteration of those that decode there now. A request with its KV on the host takes part as long
    as its token is worth the time that it adds, hidden or not; prompts bound for the host are put
    off while that makes an iteration better, but not below what saturates the GPUs: without
    prompts nobody would come to the host. Where few decode on the GPUs a token is worth much, so
    small GPUs run as with full offload; where many do, only what is hidden is worth it.
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
        alone = self._saturating(prompts, width)
        alone_s = times.linear[width - sum(prompts.sizes[alone:])] + sum(each_s[:alone])
        alone_s += attention_s
        alone_work_s = work_s - sum(worth_s[alone:])
        halves = Halves(times, width, attention_s + sum(each_s))
        hosted, room = self._make_room(view, plan, offload, prompts, hosted)
        halves.spread(hosted, prompts, room, work_s=work_s, token_s=token_s)
        if halves.second:
            both, both_work_s = count, work_s + halves.size * token_s
            while both > prompts.here:
                size, size_s, worth = prompts.sizes[both - 1], each_s[both - 1], worth_s[both - 1]
                if halves.width + len(halves.beside) - size < self.saturation_tokens:
                    break
                now_s = halves.stages_s
                halves.drop(size, size_s)
                if (both_work_s - worth) * now_s < both_work_s * halves.stages_s:
                    halves.drop(-size, -size_s)
                    break
                both -= 1
                both_work_s -= worth
            if alone_work_s * halves.stages_s < both_work_s * alone_s:
                prompts.put(plan, offload, both)
                halves.put(offload)
                return
        prompts.put(plan, offload, alone)

    def _make_room(
        self, view: BatchView, plan: Plan, offload: Offload, prompts: Prompts, hosted: Hosted
    ) -> tuple[Hosted, int]:
        """Those on the host that stay there, and the blocks for their next tokens. Where most of
        them lack one, and would all wait for the few, the worst ranks are computed again."""
        room = self._host_room(view, offload, prompts)
        block = view.block_tokens
        lack = sum([(tokens - 1) % block == 0 for _, tokens in hosted]) - room
        if 2 * lack <= len(hosted):
            return hosted, room
        staying = [*hosted]
        gone, room = give_way(staying, max(1, len(offload.out)), block, room)
        plan.preempt = [*plan.preempt, *((request, "recompute") for request in gone)]
        return staying, room
