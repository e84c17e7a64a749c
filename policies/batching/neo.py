"""NEO: a part of the requests decodes with its KV, and its attention, on the host."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import CARRY_ON, BatchView, Offload, Plan
from policies.batching.halves import Halves
from policies.batching.host_sides import (
    Prompts,
    context_after,
    cover,
    relieve,
)
from policies.batching.memory import Room
from policies.batching.swiftllm import SwiftLlm
from policies.ordering.contract import RequestView


class Neo:
    """Load-aware scheduling of asymmetric pipelines (Jiang et al., MLSys 2025, arXiv 2411.01142,
    section 3.2; details as in the authors' release).

    Memory of the GPUs is filled first. Each iteration is either of the GPUs alone, in which those
    with their KV in host memory make no token, or of two sub-batches through all layers: the first
    has the prompts and all that decode on the GPUs, the second, with a few beside the first, as
    many of the others as the GPUs' work hides. Of the two the one with more requests a second, as
    predicted by `times`, is run.

    `times`: NEO's profile. `saturation_tokens`: width to which a prompt bound for the host is worth
    computing now. `swap_in_share`: share of the GPUs' blocks up to which requests come back from
    host memory. `gpu_only`: SwiftLLM's rule, always. The order of the waiting requests, and who is
    moved to the host, is the ordering's; nobody who runs is displaced for his rank. So that nobody
    waits for ever, idle GPUs take requests back to the last block, those for which host memory is
    too small are computed again or stay on the GPUs, and one whose next token lacks a block there
    sits out (see also `Prompts`).
    """

    layer_buffer = True

    def __init__(
        self,
        times: ProfiledTimes,
        saturation_tokens: int = 128,
        swap_in_share: float = 0.95,
        gpu_only: bool = False,
    ) -> None:
        if not 0.0 < swap_in_share <= 1.0:
            raise ConfigError(f"swap_in_share: {swap_in_share!r} is not a share in (0, 1]")
        if saturation_tokens < 0:
            raise ConfigError(f"saturation_tokens: {saturation_tokens!r} must be >= 0")
        self.times = times
        self.saturation_tokens = saturation_tokens
        self.swap_in_share = swap_in_share
        self._alone = SwiftLlm() if gpu_only else None
        self._covered = False
        # Blocks of the GPUs that who comes back from the host leaves free.
        self._keep = 0

    def plan(self, view: BatchView, now_s: float) -> Plan:
        if self._alone is not None:
            return self._alone.plan(view, now_s)
        size = view.hosted_size
        if not size and view.steady:
            return CARRY_ON
        if not self._covered:
            cover(self.times, view)
            self._keep = view.total_blocks - round(self.swap_in_share * view.total_blocks)
            self._covered = True
        plan = Plan()
        offload = Offload()
        room = Room(view, plan, "swap")
        decodes = view.decoding
        spare = min(view.max_sequences, view.max_batch_tokens) - decodes
        if room.free < 0 or spare < 0:
            relieve(view, offload, room, spare)
        hosted: Sequence[RequestView] = view.hosted if size else ()
        reads: Sequence[int] = view.hosted_reads if size else ()
        if size and not offload.out and not plan.preempt:
            self.come_back(view, offload, room, spare, hosted, reads)
        decodes += len(offload.back) - len(offload.out) - len(plan.preempt)
        prompts = Prompts(
            view.max_sequences - decodes, view.max_batch_tokens - decodes, view.block_tokens
        )
        prompts.choose(view, room, offload)
        if offload.back:
            hosted, reads = hosted[len(offload.back) :], reads[len(offload.back) :]
        if offload.out:
            # Those that leave the GPUs now come first, the best rank first.
            out = offload.out[::-1]
            hosted, reads = [*out, *hosted], [*(r.kv_tokens + 1 for r in out), *reads]
        self._form(view, plan, offload, prompts, hosted, reads, decodes)
        if offload.split or offload.to_host or offload.out or offload.back:
            plan.offload = offload
        if hosted or plan.offload or plan.chunks or plan.resume or room.gone:
            plan.steps = 1
        else:
            plan.steps = room.order_holds()
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
        """The best ranks come back from the host while the GPUs have room."""
        back: list[RequestView] = []
        for request, tokens in zip(hosted, reads, strict=True):
            blocks = -(-tokens // view.block_tokens)
            # On idle GPUs nothing else would ever make room.
            least = self._keep if room.size else 0
            if room.free - blocks < least or spare < 1:
                break
            room.free -= blocks
            room.size += 1
            spare -= 1
            back.append(request)
        offload.back = back

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
        """Put an iteration into the plan; `decodes` will decode on the GPUs."""
        times = self.times
        width = decodes + prompts.width
        if not 0 < width < len(times.linear):
            # Nothing that the GPUs could begin with, or a prompt that is longer than any budget.
            prompts.put(plan, offload, len(prompts.chosen))
            return
        attention_s = times.attention(context_after(view, plan, offload, prompts))
        each_s = [times.prefill[size] for size in prompts.sizes]
        alone, alone_width = self._saturating(prompts, width)
        halves = Halves(times, width, attention_s + sum(each_s))
        left = min(prompts.requests, prompts.tokens)
        room = self._host_room(view, offload, prompts.blocks)
        halves.spread(hosted, reads, left, room, view.block_tokens, hidden=True)
        if halves.second:
            both = self._hiding(halves, prompts, each_s)
            alone_s = times.linear[alone_width] + sum(each_s[:alone]) + attention_s
            served = decodes + both + halves.size
            if (decodes + alone) * halves.gpus_s() < served * alone_s:
                prompts.put(plan, offload, both)
                halves.put(offload)
                return
        prompts.put(plan, offload, alone)

    def _saturating(self, prompts: Prompts, width: int) -> tuple[int, int]:
        """Prompts for the GPUs alone, and the width with them: those bound for the host only to
        what saturates the GPUs."""
        count = len(prompts.chosen)
        while count > prompts.here and width - prompts.sizes[count - 1] >= self.saturation_tokens:
            count -= 1
            width -= prompts.sizes[count]
        return count, width

    def _hiding(self, halves: Halves, prompts: Prompts, each_s: list[float]) -> int:
        """Prompts for two sub-batches: those bound for the host only to what saturates the GPUs and
        hides the host."""
        count = len(prompts.chosen)
        while count > prompts.here:
            size, size_s = prompts.sizes[count - 1], each_s[count - 1]
            if halves.width + len(halves.beside) - size < self.saturation_tokens:
                break
            halves.drop(size, size_s)
            if halves.slack() < 0.0:
                halves.drop(-size, -size_s)
                break
            count -= 1
        return count

    def _host_room(self, view: BatchView, offload: Offload, prompts: int) -> int:
        """Blocks of host memory for the next tokens of those that decode there; `prompts`: blocks
        of prompts."""
        free = view.host_blocks_free() - prompts
        if offload.out:
            free -= sum(map(view.blocks_held, offload.out))
        return free
