"""NEO without its rule that the GPUs must hide the host."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import CARRY_ON, BatchView, Offload, Plan
from policies.batching.halves import Halves, blocks_next
from policies.batching.host_sides import Prompts, context_after, give_way
from policies.batching.memory import Room
from policies.batching.neo import Neo
from policies.ordering.contract import RequestView


class NeoByWork(Neo):
    """NEO's sides and order, but each iteration is the one that overlaps most, by prediction.

    An iteration is worth what its parts would take apart, over what it takes: a prompt by itself; a
    token its share of an iteration of those that decode now without prompts, on the GPUs alone or
    with the host, whichever is cheaper. Numbers of prompts bound for the host are tried one after
    the other while that grows, each with as many tokens on the host as are worth their time,
    hidden or not; budgets go to what is in the iteration, and not to prompts put off. So prompts
    are taken until they hide the host, and what is left to hide it is not spent early.

    Where the GPUs are the bottleneck the host is hidden by few prompts, and passes through the
    weights are shared by few. Then `k` prompts in each iteration cost Q / k more passes of `F` s
    for the Q that wait, and leave, when the last is done, k x o requests with o / 2 tokens to go,
    `h` s of the host each, with nothing to hide them. The sum is least where k (k - 1) = 2 Q F /
    (o^2 h): so many are taken at least, as far as budgets let each make a token in every iteration.
    `o` is the mean of the outputs so far: of the tokens made, by those that ended and half of those
    present, who on average are half way.
    """

    def __init__(
        self, times: ProfiledTimes, swap_in_share: float = 0.95, gpu_only: bool = False
    ) -> None:
        super().__init__(times, swap_in_share=swap_in_share, gpu_only=gpu_only)
        # Requests begun and tokens made until `_seen` iterations; what each one since makes.
        self._begun = self._made = self._seen = self._making = 0
        # Whether all on the host took part in the last iteration, and prompts are enough to hide
        # what is to be done there.
        self._all_served, self._hidden = False, True

    def plan(self, view: BatchView, now_s: float) -> Plan:
        self._made += self._making * (view.iterations - self._seen)
        self._seen = view.iterations
        plan = super().plan(view, now_s)
        if plan is CARRY_ON:
            self._making = view.decoding
        else:
            self._begun += len(plan.chunks) + len(plan.resume) - len(plan.preempt)
        return plan

    def come_back(
        self,
        view: BatchView,
        offload: Offload,
        room: Room,
        spare: int,
        hosted: Sequence[RequestView],
        reads: Sequence[int],
    ) -> None:
        """From the host to the GPUs, for which the iteration waits, only where the host falls
        behind, or no prompt waits that could fill the GPUs without a copy."""
        head = next(iter(view.waiting), None)
        if self._all_served and self._hidden and head is not None:
            # On idle GPUs only if the prompt is sure to be taken.
            most = min(room.free, view.host_blocks_free() - view.total_blocks)
            sure = spare > head.prefill_tokens and view.blocks_to_admit(head) <= most
            if room.size or sure:
                return
        super().come_back(view, offload, room, spare, hosted, reads)

    def _form(
        self,
        view: BatchView,
        plan: Plan,
        offload: Offload,
        prompts: Prompts,
        hosted: Sequence[RequestView],
        reads: Sequence[int],
        decodes: int,
    ) -> None:
        times = self.times
        linear = times.linear
        most = len(prompts.chosen)
        width = decodes + prompts.width
        self._all_served = False
        self._making = decodes + most
        if not 0 < width < len(linear):
            prompts.put(plan, offload, most)
            return
        attention_s = times.attention(context_after(view, plan, offload, prompts))
        each_s = [times.prefill[size] for size in prompts.sizes]
        worth_s = [linear[n] + s for n, s in zip(prompts.sizes, each_s, strict=True)]
        hosted, reads, room = self._make_room(view, plan, offload, prompts, hosted, reads)
        block = view.block_tokens
        # Without prompts: what a token takes on the GPUs alone, or else beside the host's.
        token_s = (linear[max(decodes, 1)] + attention_s) / max(decodes, 1)
        none = Halves(times, decodes, attention_s)
        work_s = decodes * token_s
        left = prompts.left(0)
        none.spread(hosted, reads, left, room, block, work_s=work_s, token_s=token_s)
        if none.second:
            token_s = min(token_s, none.stages_s() / (decodes + none.size))
        count = self._least(view, prompts, reads, decodes, sum(worth_s))
        best, best_rate, best_halves = count, -1.0, None
        while count <= most:
            wide = decodes + sum([n or 1 for n in prompts.sizes[:count]])
            work_s = decodes * token_s + sum(worth_s[:count])
            halves = none
            if count:
                halves = Halves(times, wide, attention_s + sum(each_s[:count]))
                left = prompts.left(count)
                halves.spread(hosted, reads, left, room, block, work_s=work_s, token_s=token_s)
            rate, found = work_s / (linear[wide] + halves.gpu_s), None
            if halves.second:
                both_rate = (work_s + halves.size * token_s) / halves.stages_s()
                if both_rate > rate:
                    rate, found = both_rate, halves
            if rate <= best_rate:
                break
            best, best_rate, best_halves = count, rate, found
            count += 1
        prompts.put(plan, offload, best)
        self._making = decodes + best
        if best_halves is not None:
            best_halves.put(offload)
            self._all_served = not best_halves.aside
            self._making += best_halves.size

    def _least(
        self,
        view: BatchView,
        prompts: Prompts,
        reads: Sequence[int],
        decodes: int,
        prompts_s: float,
    ) -> int:
        """Prompts to take at least, for their share of the passes; `prompts_s`: of all chosen."""
        times = self.times
        most = len(prompts.chosen)
        # An iteration begins on the GPUs.
        least = prompts.here if decodes else max(1, prompts.here)
        present = view.batch_size + view.hosted_size
        ended = self._begun - present
        if most == least or not reads or ended <= 0:
            return least
        output = self._made / (ended + 0.5 * present)
        served = min(len(reads), view.max_sequences)
        host_s = times.host_attention(served, sum(reads[:served])) / served
        self._hidden = output * host_s * most <= prompts_s
        if not self._hidden:
            return least
        passes = 2.0 * view.queued * times.linear[1] / (output * output * host_s)
        balance = 0.5 + sqrt(0.25 + passes)
        size = prompts.width / most
        lasting = min(
            (view.max_batch_tokens - decodes) / (size + output),
            (view.max_sequences - decodes) / (1.0 + output),
        )
        return max(least, min(most, int(min(balance, lasting))))

    def _make_room(
        self,
        view: BatchView,
        plan: Plan,
        offload: Offload,
        prompts: Prompts,
        hosted: Sequence[RequestView],
        reads: Sequence[int],
    ) -> tuple[Sequence[RequestView], Sequence[int], int]:
        """Those on the host that stay there, what they read, and the blocks for their next tokens.
        Where most of them lack one, and would all wait for the few, the worst ranks are computed
        again."""
        room = self._host_room(view, offload, prompts.blocks)
        if room >= len(hosted):
            return hosted, reads, room
        block = view.block_tokens
        if 2 * (blocks_next(reads, block) - room) <= len(hosted):
            return hosted, reads, room
        staying, what = [*hosted], [*reads]
        gone, room = give_way(staying, what, max(1, len(offload.out)), block, room)
        plan.preempt = [*plan.preempt, *((request, "recompute") for request in gone)]
        return staying, what, room
