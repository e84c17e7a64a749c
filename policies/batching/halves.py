"""Two sub-batches of an iteration, each of which the host attends for while the GPUs work on the
other."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from models.offload.profiled_times import ProfiledTimes
from policies.batching.contract import FOREVER, Offload
from policies.ordering.contract import RequestView


def blocks_next(reads: Sequence[int], block_tokens: int) -> int:
    """Blocks that requests need for their next tokens, which read so many KV tokens each."""
    return sum([(tokens - 1) % block_tokens == 0 for tokens in reads])


class Halves:
    """Two sub-batches, and what a predictor says of them, in seconds of one layer.

    The first has all prompts and all that decode on the GPUs, `width` tokens in all, and `beside`;
    the second has `second` requests; `aside` sit the iteration out. `size`: of those with their KV
    in host memory, how many take part. `gpu_s`: attention of the first on the GPUs. `host_0_s`,
    `host_1_s`: the host's attention for either.
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
