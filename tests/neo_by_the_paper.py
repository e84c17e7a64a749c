"""NEO's decision at the start of an iteration, step by step on plain lists: what `Neo` must decide.

After Jiang et al. (MLSys 2025, arXiv 2411.01142, section 3.2) and its release, but for what is
marked "here": the simulated engine keeps its queues in rank order in place of moving requests in
lists, bounds host memory, and lets nobody wait for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from models.offload.profiled_times import ProfiledTimes


@dataclass
class Asker:
    """A request as a policy sees it: `kv` tokens held; a prompt while it waits."""

    id: int
    prompt: int = 0
    kv: int = 0
    swapped: bool = False

    @property
    def rank(self) -> float:
        return float(self.id)

    @property
    def prefill_tokens(self) -> int:
        return self.prompt

    @property
    def kv_tokens(self) -> int:
        return self.kv

    @property
    def n(self) -> int:
        """Its length: prompt and tokens made; KV of the last is written in the next iteration."""
        return self.kv + 1 if self.kv else self.prompt


@dataclass
class State:
    """Who is where, in rank order, and how much there may be."""

    waiting: list[Asker]
    gpu_run: list[Asker]
    cpu_run: list[Asker]
    gpu_blocks: int
    cpu_blocks: int
    block: int
    most_requests: int
    most_tokens: int

    def blocks(self, tokens: int) -> int:
        return -(-tokens // self.block)


@dataclass
class Decision:
    """What comes out."""

    out: list[int] = field(default_factory=list)
    recomputed: list[int] = field(default_factory=list)
    back: list[int] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    to_host: list[int] = field(default_factory=list)
    # Sub-batches of an iteration of two; None: the GPUs alone.
    halves: tuple[list[int], list[int]] | None = None
    # By prediction: requests a second of the choice and of the alternative, and R of the choice.
    rate: float = 0.0
    other_rate: float = 0.0
    slacks: tuple[float, float] = (0.0, 0.0)
    width: int = 0
    served: int = 0
    # Who sat out as he reads no less than one who did not fit, and prompts that the host needs.
    passed_over: int = 0
    needed: int = 0


class Predicted:
    """Two sub-batches as lists, and what the predictor says of a layer of them."""

    def __init__(self, times: ProfiledTimes) -> None:
        self.times = times
        self.prompts: list[Asker] = []
        self.gpu: list[Asker] = []
        self.cpu: tuple[list[Asker], list[Asker]] = ([], [])

    def width(self, i: int) -> int:
        if i == 1:
            return len(self.cpu[1])
        return sum(r.prompt for r in self.prompts) + len(self.gpu) + len(self.cpu[0])

    def linear(self, i: int) -> float:
        return self.times.linear[self.width(i)]

    def gpu_attention(self) -> float:
        prompts_s = sum([self.times.prefill[r.prompt] for r in self.prompts])
        return prompts_s + self.times.attention(sum(r.n for r in self.gpu))

    def cpu_attention(self, i: int) -> float:
        return self.times.host_attention(len(self.cpu[i]), sum(r.n for r in self.cpu[i]))

    def slacks(self) -> tuple[float, float]:
        launch_s = self.times.launch_s
        return (
            self.linear(1) + self.gpu_attention() - (self.cpu_attention(0) + launch_s),
            self.linear(0) - (self.cpu_attention(1) + launch_s),
        )

    def seconds(self) -> float:
        return self.linear(0) + self.linear(1) + self.gpu_attention()

    @property
    def requests(self) -> int:
        return len(self.prompts) + len(self.gpu) + len(self.cpu[0]) + len(self.cpu[1])


def decide(
    state: State, times: ProfiledTimes, saturation: int = 128, swap_in_share: float = 0.95
) -> Decision:
    """The procedure."""
    done = Decision()
    blocks = state.blocks
    g, c = state.gpu_blocks, state.cpu_blocks
    gpu_run, cpu_run = list(state.gpu_run), list(state.cpu_run)
    # 1 GPU decodes
    need = sum(blocks(r.n) for r in gpu_run)
    requests_left = state.most_requests - len(gpu_run)
    tokens_left = state.most_tokens - len(gpu_run)
    # 2 swap out. Here: only as far as host memory holds them, others are computed again; the last
    # one stays.
    cpu_free = c - sum(blocks(r.kv) for r in cpu_run)
    moved: list[Asker] = []
    while (min(requests_left, tokens_left) < 0 or need > g) and len(gpu_run) > 1:
        victim = gpu_run.pop()
        need -= blocks(victim.n)
        requests_left += 1
        tokens_left += 1
        if blocks(victim.n) <= cpu_free:
            cpu_free -= blocks(victim.n)
            moved.insert(0, victim)
            done.out.append(victim.id)
        else:
            done.recomputed.append(victim.id)
    cpu_run = moved + cpu_run
    # 3 swap in. Here: idle GPUs may be filled to the last block.
    while cpu_run and not done.out and not done.recomputed:
        first = cpu_run[0]
        threshold = round(swap_in_share * g) if gpu_run else g
        if need + blocks(first.n) > threshold or min(requests_left, tokens_left) < 1:
            break
        gpu_run.append(cpu_run.pop(0))
        done.back.append(first.id)
        need += blocks(first.n)
        requests_left -= 1
        tokens_left -= 1
    # 4 tentative prefills. Here: what host memory holds is counted without next tokens; while
    # nobody decodes there the GPUs may take what host memory could not; a prompt over the budget of
    # any iteration may be the first.
    b0 = Predicted(times)
    in_passing = 0
    cpu_need = sum(blocks(r.kv) for r in cpu_run)
    to_gpu: list[Asker] = []
    to_cpu: list[Asker] = []
    hosted = bool(state.cpu_run or moved)
    for r in state.waiting:
        room = in_passing + blocks(r.n) <= g and cpu_need + blocks(r.n) <= c - g
        overlong = r.prompt > state.most_tokens and not to_gpu and not to_cpu
        if min(requests_left, tokens_left) < 1 or (r.prompt > tokens_left and not overlong):
            break
        fits_gpu = not to_cpu and need + blocks(r.n) <= g
        if not room and (hosted or not fits_gpu):
            break
        requests_left -= 1
        tokens_left -= r.prompt
        if fits_gpu:
            to_gpu.append(r)
            need += blocks(r.n)
        else:
            to_cpu.append(r)
            cpu_need += blocks(r.n)
            in_passing += blocks(r.n)
    # 5 sub-batches and mode
    b0.prompts, b0.gpu = to_gpu + to_cpu, gpu_run
    seq = Predicted(times)
    seq.prompts, seq.gpu = list(b0.prompts), gpu_run
    if not b0.width(0):
        return done
    if b0.width(0) > times.max_batch_tokens:
        # Here: nothing is known of a prompt beyond the profile; it passes alone.
        done.prompts = [r.id for r in b0.prompts]
        done.to_host = [r.id for r in to_cpu]
        return done
    while len(seq.prompts) > len(to_gpu) and seq.width(0) - seq.prompts[-1].prompt >= saturation:
        seq.prompts.pop()
    target, cutoff = 1, 1 << 60
    # Here: a token that needs a block of host memory needs a free one.
    spare = c - sum(blocks(r.kv) for r in [*state.cpu_run, *moved]) - in_passing
    for r in cpu_run:
        if min(requests_left, tokens_left) < 1:
            break
        if r.n >= cutoff:
            done.passed_over += 1
            continue
        grows = r.kv % state.block == 0
        if grows and spare < 1:
            continue
        spare -= grows
        b0.cpu[target].append(r)
        r_0, r_1 = b0.slacks()
        if min(r_0, r_1) < 0.0:
            b0.cpu[target].pop()
            cutoff = r.n
        else:
            requests_left -= 1
            tokens_left -= 1
            target = 1 if r_1 > r_0 else 0
    chosen = seq
    done.rate = seq.requests / seq.seconds()
    if b0.cpu[1]:
        while len(b0.prompts) > len(to_gpu) and b0.width(0) - b0.prompts[-1].prompt >= saturation:
            dropped = b0.prompts.pop()
            if min(b0.slacks()) < 0.0:
                b0.prompts.append(dropped)
                done.needed += 1
                break
        done.other_rate = b0.requests / b0.seconds()
        if done.rate < done.other_rate:
            chosen = b0
            done.halves = [r.id for r in b0.cpu[0]], [r.id for r in b0.cpu[1]]
            done.rate, done.other_rate = done.other_rate, done.rate
            done.slacks = b0.slacks()
    done.prompts = [r.id for r in chosen.prompts]
    done.to_host = [r.id for r in chosen.prompts if r in to_cpu]
    done.width, done.served = chosen.width(0) + chosen.width(1), chosen.requests
    return done


class StateView:
    """A state as a batching policy sees it."""

    ordering_preemptive = ordering_takes_kv = False
    reserve_blocks = 0
    swapped_out = iterations = 0
    prefilling: Sequence[Any] = ()
    holders: Sequence[Any] = ()

    def __init__(self, state: State) -> None:
        self.state = state
        self.block_tokens = state.block
        self.max_sequences, self.max_batch_tokens = state.most_requests, state.most_tokens
        self.total_blocks, self.host_blocks = state.gpu_blocks, state.cpu_blocks
        self.waiting, self.running = state.waiting, state.gpu_run
        self.queued, self.batch_size = len(state.waiting), len(state.gpu_run)
        self.decoding, self.hosted_size = len(state.gpu_run), len(state.cpu_run)
        self.context_tokens = sum(r.n for r in state.gpu_run)
        self.hosted, self.hosted_reads = state.cpu_run, [r.n for r in state.cpu_run]
        self.free_blocks = state.gpu_blocks - sum(state.blocks(r.kv) for r in state.gpu_run)

    @property
    def steady(self) -> bool:
        return not self.waiting and self.growth(1) <= self.free_blocks

    def growth(self, steps: int) -> int:
        assert steps == 1
        return sum(r.kv % self.block_tokens == 0 for r in self.running)

    def blocks_to_admit(self, request: Asker) -> int:
        return self.state.blocks(request.prompt)

    def blocks_held(self, request: Asker) -> int:
        return 0 if request.swapped else self.state.blocks(request.kv)

    def blocks_next(self, request: Asker) -> int:
        return int(request.kv % self.block_tokens == 0)

    def host_blocks_free(self) -> int:
        return self.host_blocks - sum(self.state.blocks(r.kv) for r in self.state.cpu_run)

    def rank(self, request: Asker) -> float:
        return request.rank

    def order_holds(self, places: object) -> int:
        return 1 << 40
