"""What policies share that keep KV on both sides: admission, and the two sub-batches."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from models.errors import ConfigError
from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import FOREVER, BatchView, Offload, Plan
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
    cover the engine's limits."""
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


def blocks_next(reads: Sequence[int], block_tokens: int) -> int:
    """Blocks that requests need for their next tokens, which read so many KV tokens each."""
    return sum([(tokens - 1) % block_tokens == 0 for tokens in reads])


class Halves:
    """Two sub-batches, and what a predictor says of them, in seconds of one layer.

    The first has all prompts and all that decode on the GPUs, `width` tokens in all, and `beside`;
    the second has `second` requests; `aside` sit the iteration out. `size`: of those with their KV
    in host memory, how many take part. `gpu_s`: attention of the first
    on the GPUs. `host_0_s`, `host_1_s`: the host's attention for either.
    """

    __slots__ = (
        "aside",
        "beside",
        "gpu_s",
        "host_0_s",
        "host_1_s",
        "second",
        "size",
        "times",
        "width",
    )

    def __init__(self, times: ProfiledTimes, width: int, gpu_s: float) -> None:
        self.times = times
        self.width = width
        self.gpu_s = gpu_s
        self.second = self.size = 0
        self.beside: list[RequestView] = []
        self.aside: list[RequestView] = []
        self.host_0_s = self.host_1_s = 0.0

    def gpus_s(self) -> float:
        """The GPUs' work: the iteration's time a layer if the host is hidden."""
        linear = self.times.linear
        return linear[self.width + len(self.beside)] + linear[self.second] + self.gpu_s

    def slack(self) -> float:
        """What the GPUs' work leaves beside the host's thread while that attends for the first, or
        for the second, whichever is less (R of NEO, arXiv 2411.01142, section 3.2)."""
        times = self.times
        linear = times.linear
        return min(
            linear[self.second] + self.gpu_s - self.host_0_s - times.launch_s,
            linear[self.width + len(self.beside)] - self.host_1_s - times.launch_s,
        )

    def stages_s(self) -> float:
        """The time of a layer, whether the host is hidden or not (ibid.)."""
        times = self.times
        linear = times.linear
        return max(linear[self.width + len(self.beside)], times.launch_s + self.host_1_s) + max(
            linear[self.second] + self.gpu_s, times.launch_s + self.host_0_s
        )

    def drop(self, tokens: int, attention_s: float) -> None:
        """Take a prompt out of the first."""
        self.width -= tokens
        self.gpu_s -= attention_s

    def spread(
        self,
        hosted: Sequence[RequestView],
        reads: Sequence[int],
        left: int,
        room: int,
        block_tokens: int,
        *,
        hidden: bool = False,
        work_s: float = 0.0,
        token_s: float = 0.0,
    ) -> None:
        """Put requests, which read so many KV tokens each, one after the other into the sub-batch
        whose host work has more slack, at most `left`; `room`: blocks of host memory, of
        `block_tokens`, for their new tokens.

        With `hidden` only while both slacks stay >= 0; else only while work by time does not fall,
        where each is worth `token_s` beside `work_s` of the others (by default all get in). One for
        which that would not hold sits out, and so does every later one that reads as many KV tokens
        or more.
        """
        times = self.times
        linear = times.linear
        lines = times.host_lines
        last = len(lines) - 1
        launch_s = times.launch_s
        gpu_s = self.gpu_s
        # Whether budgets or blocks may not last for all.
        short = min(left, room) < len(hosted)
        cutoff = FOREVER
        beside, aside = self.beside, self.aside
        # The sub-batch whose turn it is: how many are taken into it and the KV tokens that they
        # read, the number of the line of host attention around these and the line, the width
        # without them, and the layer's times: linear operators, the host's. Then the other one.
        second = True
        count, read, at = self._lead(reads, min(left, room))
        high, fixed, per_token = lines[at]
        before = 0
        linear_s = linear[count]
        host_s = fixed[count] + per_token[count] * read if count else 0.0
        left -= count
        if short:
            room -= blocks_next(reads[:count], block_tokens)
        own_gpu_s, other_gpu_s = 0.0, gpu_s
        other_linear_s = linear[self.width]
        other = 0, 0, 0, self.width, 0.0
        # What the GPUs' work leaves beside the host, for the one whose turn it is but for its own
        # host work, and for the other one but for its linear operators.
        own_left_s = other_linear_s + own_gpu_s - launch_s
        other_left_s = other_gpu_s - launch_s
        # The fewest KV tokens that one reads after the first who sits out.
        least = -1
        for request, tokens in zip(hosted[count:], reads[count:], strict=True):
            if tokens >= cutoff:
                aside.append(request)
                continue
            if short:
                grows = (tokens - 1) % block_tokens == 0
                if left < 1 or (grows and room < 1):
                    aside.append(request)
                    continue
                room -= grows
            more = read + tokens
            while more > high:
                if at == last:
                    times.host_line(more)
                at += 1
                high, fixed, per_token = lines[at]
            more_s = fixed[count + 1] + per_token[count + 1] * more
            wider_s = linear[before + count + 1]
            own_s = own_left_s - more_s
            other_s = other_left_s + wider_s
            if own_s < 0.0 or other_s < 0.0:
                worth = not hidden
                if worth and work_s:
                    now_s = max(other_linear_s + own_gpu_s, launch_s + host_s) + max(
                        linear_s + other_gpu_s, launch_s + other[4]
                    )
                    then_s = max(other_linear_s + own_gpu_s, launch_s + more_s) + max(
                        wider_s + other_gpu_s, launch_s + other[4]
                    )
                    done_s = work_s + (count + other[0]) * token_s
                    worth = (done_s + token_s) * now_s >= done_s * then_s
                if not worth:
                    cutoff = tokens
                    aside.append(request)
                    seen = count + other[0] + len(aside)
                    if least < 0:
                        least = min(reads[seen:], default=cutoff)
                    if least >= cutoff:
                        aside += hosted[seen:]
                        break
                    continue
            count += 1
            read = more
            host_s, linear_s = more_s, wider_s
            left -= 1
            if not second:
                beside.append(request)
            if own_s <= other_s and (second or own_s < other_s):
                second = not second
                now = count, read, at, before, host_s
                count, read, at, before, host_s = other
                other = now
                high, fixed, per_token = lines[at]
                linear_s, other_linear_s = other_linear_s, linear_s
                own_gpu_s, other_gpu_s = other_gpu_s, own_gpu_s
                own_left_s = other_linear_s + own_gpu_s - launch_s
                other_left_s = other_gpu_s - now[4] - launch_s
        if second:
            self.second, self.host_1_s, self.host_0_s = count, host_s, other[4]
        else:
            self.second, self.host_1_s, self.host_0_s = other[0], other[4], host_s
        self.size = len(beside) + self.second

    def _lead(self, reads: Sequence[int], most: int) -> tuple[int, int, int]:
        """How many of the first `most` requests get into the second before the turn of the first
        comes, the KV tokens that they read, and the number of their line of host attention.

        With each, the slack of the second falls and that of the first rises, where times rise with
        what is done: so the number is found by halving steps. Else, and where the first has no
        slack, it is 0.
        """
        times = self.times
        linear, lines, highs = times.linear, times.host_lines, times.highs
        own_left_s = linear[self.width] - times.launch_s
        other_left_s = self.gpu_s - times.launch_s
        count = read = at = 0
        most = min(most, len(reads))
        if most < 2 or not times.rising or other_left_s + linear[1] < 0.0:
            return 0, 0, 0
        step = 1 << (most.bit_length() - 1)
        while step:
            number = count + step
            step >>= 1
            if number > most:
                continue
            tokens = read + sum(reads[count:number])
            i = bisect_left(highs, tokens)
            if i == len(highs):
                continue
            _, fixed, per_token = lines[i]
            host_s = fixed[number] + per_token[number] * tokens
            if own_left_s - host_s > other_left_s + linear[number]:
                count, read, at = number, tokens, i
        return count, read, at

    def put(self, offload: Offload) -> None:
        """Let them into the plan."""
        offload.split = True
        offload.beside = self.beside
        offload.aside = self.aside
