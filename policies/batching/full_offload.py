"""All decode attention on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import CARRY_ON, BatchView, Fate, Plan, Split
from policies.batching.host_sides import Halves, Prompts
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
            held = view.total_blocks * view.block_tokens
            self.times.cover(held, view.host_blocks * view.block_tokens, view.block_tokens)
            self._covered = True
        if not view.hosted_size and view.steady:
            return CARRY_ON
        plan = Plan()
        plan.steps = 1
        hosted = self._make_room(view, plan)
        prompts = Prompts(view.max_sequences, view.max_batch_tokens, view.block_tokens)
        room = Room(view, plan, "swap")
        prompts.choose(view, room, gpu=False)
        prompts.put(plan, len(prompts.chosen))
        taken = sum(map(view.blocks_to_admit, prompts.chosen))
        free = view.host_blocks_free() - taken - sum(map(view.blocks_held, plan.out))
        if not hosted and not plan.chunks:
            return plan
        if self.halving == "balanced":
            attention_s = sum([self.times.prefill[size] for size in prompts.sizes])
            halves = Halves(self.times, sum(prompts.sizes), attention_s)
            halves.spread(hosted, prompts, free, hidden=False)
            plan.split = halves.split()
        else:
            plan.split = self._evenly(view, hosted, prompts, free)
        return plan

    def _make_room(self, view: BatchView, plan: Plan) -> Sequence[tuple[RequestView, int]]:
        """Those on the host that stay there: where their next tokens lack blocks, the worst rank
        is computed again. Those that decode on the GPUs (they have come back from a call) move to
        the host."""
        block = view.block_tokens
        free = view.host_blocks_free()
        out: list[RequestView] = []
        for request in view.running:
            held = view.blocks_held(request) + 1
            if held <= free:
                free -= held
                out.append(request)
        plan.out = out
        hosted = [*((request, request.kv_tokens + 1) for request in out), *view.hosted]
        need = sum([(tokens - 1) % block == 0 for _, tokens in hosted])
        preempt: list[tuple[RequestView, Fate]] = []
        while need > free and len(hosted) > 1:
            request, tokens = hosted.pop()
            preempt.append((request, "recompute"))
            need -= (tokens - 1) % block == 0
            free += -(-(tokens - 1) // block)
        plan.preempt = preempt
        return hosted

    def _evenly(
        self,
        view: BatchView,
        hosted: Sequence[tuple[RequestView, int]],
        prompts: Prompts,
        room: int,
    ) -> Split:
        beside: list[RequestView] = []
        aside: list[RequestView] = []
        left = min(prompts.requests, prompts.tokens)
        second = False
        for request, tokens in hosted:
            grows = (tokens - 1) % view.block_tokens == 0
            if not left or (grows and not room):
                aside.append(request)
                continue
            left -= 1
            room -= grows
            if not second:
                beside.append(request)
            if self.halving == "symmetric":
                second = not second
        return Split(beside, aside)
