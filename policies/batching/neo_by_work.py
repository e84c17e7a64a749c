"""NEO without its rule that the GPUs must hide the host."""

from __future__ import annotations

from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import BatchView, Offload, Plan
from policies.batching.host_sides import Halves, Hosted, Prompts, context_after, give_way
from policies.batching.memory import Room
from policies.batching.neo import Neo


class NeoByWork(Neo):
    """NEO's sides and order, but each iteration is the one with most work in its time.

    Work is what the GPUs alone would take for the same: a prompt by itself, a token its part of an
    iteration of those that decode there now. A request with its KV on the host takes part as long
    as its token is worth the time that it adds, hidden or not; prompts bound for the host are put
    off while that makes an iteration better, but only as far as the second pass through the
    weights, which they pay for together, stays below `fixed_share` of it; and while the host serves
    all who are there, nobody is copied back to the GPUs before prompts that could fill them. Where
    few decode on the GPUs a token is worth much, so small GPUs run as with full offload; where many
    do, only what is hidden is worth it.
    """

    def __init__(
        self,
        times: ProfiledTimes,
        saturation_tokens: int = 128,
        swap_in_share: float = 0.95,
        gpu_only: bool = False,
        fixed_share: float = 0.05,
    ) -> None:
        super().__init__(times, saturation_tokens, swap_in_share, gpu_only)
        if not 0.0 <= fixed_share <= 1.0:
            raise ConfigError(f"fixed_share: {fixed_share!r} is not a share from 0 to 1")
        self.fixed_share = fixed_share
        # Whether all on the host took part in the last iteration.
        self._all_served = False

    def _kept_free(self, view: BatchView) -> int:
        """For the growth of those there: moving out costs a copy that the iteration waits for."""
        return view.total_blocks - round(self.swap_in_share * view.total_blocks)

    def come_back(
        self, view: BatchView, offload: Offload, room: Room, spare: int, hosted: Hosted
    ) -> None:
        """From the host to the GPUs only where some could not take part on the host before, or no
        prompt waits that could fill the GPUs without a copy that the iteration waits for."""
        head = next(iter(view.waiting), None)
        if self._all_served and head is not None:
            # On idle GPUs only if the prompt is sure to be taken.
            left = room.free - self._kept_free(view)
            most = min(left, view.host_blocks_free() - view.total_blocks)
            sure = spare > head.prefill_tokens and view.blocks_to_admit(head) <= most
            if room.size or sure:
                return
        super().come_back(view, offload, room, spare, hosted)

    def _form(
        self,
        view: BatchView,
        plan: Plan,
        offload: Offload,
        prompts: Prompts,
        hosted: Hosted,
        decodes: int,
    ) -> None:
        times = self.times
        self._all_served = False
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
                now_s = halves.stages_s
                halves.drop(size, size_s)
                better = (both_work_s - worth) * now_s >= both_work_s * halves.stages_s
                if not better or halves.fixed_s > self.fixed_share * halves.gpus_s:
                    halves.drop(-size, -size_s)
                    break
                both -= 1
                both_work_s -= worth
            if alone_work_s * halves.stages_s < both_work_s * alone_s:
                prompts.put(plan, offload, both)
                halves.put(offload)
                self._all_served = not halves.aside
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
