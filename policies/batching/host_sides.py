"""What policies share that keep KV on both sides: admission, and who leaves for want of memory."""

from __future__ import annotations

from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import BatchView, Offload, Plan
from policies.batching.halves import blocks_next
from policies.batching.memory import Room
from policies.ordering.contract import RequestView


class Prompts:
    """Prompts of an iteration, strictly in rank order: first those whose KV stays on the GPUs, then
    those whose KV goes to host memory.

    `requests`, `tokens`: left of the budgets. `sizes`: of the prompts, 0 where a request decodes on
    without one; `here` of them stay. `width`: tokens fed to the linear operators. `blocks`: of host
    memory, for the others.
    """

    __slots__ = ("block_tokens", "blocks", "chosen", "here", "requests", "sizes", "tokens", "width")

    def __init__(self, requests: int, tokens: int, block_tokens: int) -> None:
        self.requests = requests
        self.tokens = tokens
        self.block_tokens = block_tokens
        self.chosen: list[RequestView] = []
        self.sizes: list[int] = []
        self.here = self.width = self.blocks = 0

    def choose(self, view: BatchView, room: Room, offload: Offload, *, gpu: bool = True) -> None:
        """Take waiting requests as long as budgets and memory of both sides last; `gpu`: whether
        KV may stay on the GPUs, other than that for which host memory is too small.

        Host memory keeps free as much as the GPUs hold, so that all can move there, or else nobody
        is admitted; but while nobody decodes there, the GPUs may take what they can. A request that
        has KV already can only go on on the GPUs, and does not come from the host while others move
        there; where nothing runs, others that wait lose their KV until the first can. A prompt
        longer than the budget of an iteration is the only one in it.
        """
        if not view.queued:
            return
        buffer = view.total_blocks
        limit = view.host_blocks - buffer
        used = view.host_blocks - view.host_blocks_free()
        most = view.max_batch_tokens
        if offload.out:
            used += sum(map(view.blocks_held, offload.out))
        if offload.back:
            used -= sum([-(-request.kv_tokens // self.block_tokens) for request in offload.back])
        occupied = view.hosted_size > 0 or offload.out
        for request in view.waiting:
            if request.id in room.gone or (request.swapped and offload.out):
                return
            size = request.prefill_tokens
            blocks = view.blocks_to_admit(request)
            # One longer than any budget may only be the first.
            fits = size <= self.tokens or (size > most and not self.chosen)
            if self.requests < 1 or self.tokens < 1 or not fits:
                return
            bound = request.kv_tokens > 0
            fits_there = blocks <= buffer and used + blocks <= limit and not bound
            may_stay = gpu or bound or blocks > limit
            if may_stay and self.here == len(self.chosen) and blocks <= room.free:
                if not fits_there and occupied and not bound:
                    return
                room.free -= blocks
                room.size += 1
                self.here += 1
            elif fits_there:
                buffer -= blocks
                used += blocks
                self.blocks += blocks
            elif not self.chosen and room.empty_out(request, blocks):
                room.free -= blocks
                room.size += 1
                self.here += 1
            else:
                return
            self.requests -= 1
            self.tokens -= size or 1
            self.width += size or 1
            self.chosen.append(request)
            self.sizes.append(size)

    def left(self, count: int) -> int:
        """Requests that decode on the host which may join the first `count` of them."""
        fewer = len(self.chosen) - count
        return min(self.requests + fewer, self.tokens + sum([n or 1 for n in self.sizes[count:]]))

    def put(self, plan: Plan, offload: Offload, count: int) -> None:
        """Let the first `count` of them into the plan."""
        if not count:
            return
        chunks = list(zip(self.chosen[:count], self.sizes[:count], strict=True))
        if 0 in self.sizes:
            plan.resume = [request for request, size in chunks if not size]
            chunks = [(request, size) for request, size in chunks if size]
        plan.chunks = chunks
        if self.here < count:
            offload.to_host = self.chosen[self.here : count]


def cover(times: ProfiledTimes, view: BatchView) -> None:
    """Profile attention up to the KV of both sides. Raises ConfigError where the profile does not
    cover the engine's limits, and where the host has no room for any KV."""
    if not view.host_blocks:
        raise ConfigError(
            "engine.host_swap_bytes: no block of KV fits into host memory, but the batching policy "
            f"keeps some there; give it more than the {view.total_blocks} blocks of the GPUs, so "
            "that all can move there, or choose batching=swiftllm"
        )
    for key in ("max_sequences", "max_batch_tokens"):
        covered, asked = getattr(times, key), getattr(view, key)
        if covered < asked:
            raise ConfigError(
                f"batching.times.{key} = {covered} does not cover engine.{key} = {asked}"
            )
    block = view.block_tokens
    times.cover(view.total_blocks * block, view.host_blocks * block, block)


def relieve(view: BatchView, offload: Offload, room: Room, spare: int) -> None:
    """Those of the worst rank leave the GPUs while blocks, or the `spare` places of an iteration,
    are short: to decode on the host where its memory has room, else to be computed again."""
    room.evict_waiting()
    gone = {request.id for request in offload.out}
    free = view.host_blocks_free() - sum(map(view.blocks_held, offload.out))
    out = list(offload.out)
    for victim in sorted(view.running, key=lambda r: (view.rank(r), r.id), reverse=True):
        if (room.free >= 0 and spare >= 0) or room.size == 1:
            break
        if victim.id in gone:
            continue
        held, grows = view.blocks_held(victim), view.blocks_next(victim)
        if held + grows <= free:
            free -= held + grows
            out.append(victim)
            room.free += held + grows
            room.size -= 1
        else:
            room.preempt(victim, "recompute")
        spare += 1
    offload.out = out


def context_after(view: BatchView, plan: Plan, offload: Offload, prompts: Prompts) -> int:
    """KV tokens that those read who decode on the GPUs once the plan's moves are made."""
    context = view.context_tokens
    if not (offload.back or offload.out or plan.preempt or 0 in prompts.sizes):
        return context
    for request in offload.back:
        context += request.kv_tokens + 1
    for request, size in zip(prompts.chosen, prompts.sizes, strict=True):
        context += 0 if size else request.kv_tokens + 1
    for request in offload.out:
        context -= request.kv_tokens + 1
    for request, _ in plan.preempt:
        # Those on the host are none of them.
        context -= 0 if request.swapped else request.kv_tokens + 1
    return context


def give_way(
    hosted: list[RequestView], reads: list[int], keep: int, block_tokens: int, room: int
) -> tuple[list[RequestView], int]:
    """Those of the worst ranks leave `hosted` and `reads`, all but the first `keep` if need be,
    until the rest have blocks for their next tokens: who leaves, and the blocks of `room` then."""
    need = blocks_next(reads, block_tokens)
    gone: list[RequestView] = []
    while need > room and len(hosted) > keep:
        gone.append(hosted.pop())
        tokens = reads.pop()
        need -= (tokens - 1) % block_tokens == 0
        room += -(-(tokens - 1) // block_tokens)
    return gone, room
