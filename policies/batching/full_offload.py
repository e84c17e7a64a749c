"""All decode attention on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import CARRY_ON, BatchView, Offload, Plan
from policies.batching.halves import Halves
from policies.batching.host_sides import (
    Prompts,
    context_after,
    cover,
    give_way,
    relieve,
)
from policies.batching.memory import Room
from policies.ordering.contract import RequestView

Halving = Literal["balanced", "symmetric", "none"]


class FullOffload:
    """Every request decodes with its KV in host memory; the GPUs keep prompts in passing.

    The baselines of NEO (arXiv 2411.01142): `halving` "balanced" is FastDecode+, where each request
    goes into the sub-batch whose host work has more slack, hidden or not; "symmetric" makes two
    equal halves; "none" is one batch, for which GPUs and host take turns (but the attention of
    prompts, on the GPUs, runs beside). Prompts are in the first sub-batch. `times`: NEO's profile.
    """

    layer_buffer = True

    def __init__(self, times: ProfiledTimes, halving: Halving = "balanced") -> None:
        if halving not in ("balanced", "symmetric", "none"):
            raise ConfigError(f"halving: {halving!r} is not balanced, symmetric or none")
        self.times = times
        self.halving = halving
        self._covered = False

    def plan(self, view: BatchView, now_s: float) -> Plan:
        if not self._covered:
            cover(self.times, view)
            self._covered = True
        if not view.hosted_size and view.steady:
            return CARRY_ON
        plan = Plan()
        plan.offload = offload = Offload()
        plan.steps = 1
        room = Room(view, plan, "swap")
        self._move_out(view, offload, room)
        decodes = view.decoding - len(offload.out) - len(plan.preempt)
        hosted, reads, free = self._make_room(view, plan, offload, room)
        decodes += len(offload.back)
        prompts = Prompts(
            view.max_sequences - decodes, view.max_batch_tokens - decodes, view.block_tokens
        )
        prompts.choose(view, room, offload, gpu=False)
        prompts.put(plan, offload, len(prompts.chosen))
        free -= prompts.blocks
        if not hosted:
            return plan
        width = decodes + prompts.width
        if width >= len(self.times.linear):
            # A prompt that is longer than any budget passes by itself.
            return plan
        if self.halving == "balanced":
            attention_s = sum([self.times.prefill[size] for size in prompts.sizes])
            attention_s += self.times.attention(context_after(view, plan, offload, prompts))
            halves = Halves(self.times, width, attention_s)
            left = prompts.left(len(prompts.chosen))
            halves.spread(hosted, reads, left, free, view.block_tokens)
            halves.put(offload)
        else:
            self._evenly(view, offload, hosted, reads, prompts, free)
        return plan

    def _move_out(self, view: BatchView, offload: Offload, room: Room) -> None:
        """Those that decode on the GPUs (they came back from a call) go to the host."""
        limit = view.host_blocks - view.total_blocks
        used = view.host_blocks - view.host_blocks_free()
        out: list[RequestView] = []
        for request in view.running:
            held = view.blocks_held(request)
            if used + held > limit:
                break
            used += held
            room.free += held + view.blocks_next(request)
            room.size -= 1
            out.append(request)
        offload.out = out
        spare = min(view.max_sequences, view.max_batch_tokens) - view.decoding + len(out)
        if room.free < 0 or spare < 0:
            relieve(view, offload, room, spare)

    def _make_room(
        self, view: BatchView, plan: Plan, offload: Offload, room: Room
    ) -> tuple[Sequence[RequestView], Sequence[int], int]:
        """Those on the host that stay there, what they read, and the blocks free there. Where their
        next tokens lack blocks, the worst rank is computed again; the last one goes on on the
        GPUs."""
        block = view.block_tokens
        free = view.host_blocks_free() - sum(map(view.blocks_held, offload.out))
        moved = offload.out
        hosted = [*moved, *view.hosted]
        reads = [*(request.kv_tokens + 1 for request in moved), *view.hosted_reads]
        gone, free = give_way(hosted, reads, max(1, len(moved)), block, free)
        plan.preempt = [*plan.preempt, *((request, "recompute") for request in gone)]
        if not moved and len(hosted) == 1:
            ((request,), (tokens,)) = hosted, reads
            if free < 1 and (tokens - 1) % block == 0:
                blocks = -(-tokens // block)
                if not room.size:
                    # KV of those that wait makes way for it there.
                    room.free -= blocks
                    room.evict_waiting()
                    room.free += blocks
                if blocks <= room.free:
                    room.free -= blocks
                    room.size += 1
                    offload.back = [request]
                    return (), (), free
        return hosted, reads, free

    def _evenly(
        self,
        view: BatchView,
        offload: Offload,
        hosted: Sequence[RequestView],
        reads: Sequence[int],
        prompts: Prompts,
        room: int,
    ) -> None:
        beside: list[RequestView] = []
        aside: list[RequestView] = []
        left = min(prompts.requests, prompts.tokens)
        second = False
        for request, tokens in zip(hosted, reads, strict=True):
            grows = (tokens - 1) % view.block_tokens == 0
            if left < 1 or (grows and room < 1):
                aside.append(request)
                continue
            left -= 1
            room -= grows
            if not second:
                beside.append(request)
            if self.halving == "symmetric":
                second = not second
        offload.split, offload.beside, offload.aside = True, beside, aside
