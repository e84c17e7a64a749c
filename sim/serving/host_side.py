"""The part of a replica whose KV, and whose decode attention, is on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from models.offload.offload_cost import OffloadCost
from models.offload.sub_batch import NOTHING, SubBatch
from models.step_cost import StepCost
from policies.batching.contract import Plan
from sim.core.errors import ConfigError, LawBroken
from sim.hardware.cpu import Cpu
from sim.hardware.device import DeviceGroup
from sim.hardware.run import Run
from sim.serving.facts import StageDone
from sim.serving.host_batch import HostBatch
from sim.serving.request import Request
from sim.serving.staged_run import StagedRun

if TYPE_CHECKING:
    from sim.serving.replica import Replica
    from sim.serving.use_log import UseLog


class HostSide:
    """Who decodes on the host, and what iterations cost in which they do.

    `batch`: them. `taking_part`, `read_tokens`: of the iteration under way, those of them that make
    a token, and the KV tokens that they read; `aside`: those that sit it out. `iterations`,
    `tokens`: made until now with a part of the host, and by those here; `busy_s`: seconds of the
    host's thread in them. With `shared`, or where GPUs or host are not as specified
    when it begins, an iteration's stages are events of their own, on devices that others may use;
    otherwise it is one event by the closed form.
    """

    def __init__(self, replica: Replica) -> None:
        self.cost: OffloadCost | None = None
        self.shared = False
        self.staged: StagedRun | None = None
        self.batch = HostBatch(replica.batch.block_tokens)
        self.taking_part = 0
        self.read_tokens = 0
        self.iterations = 0
        self.tokens = 0
        self.busy_s = 0.0
        self.aside: list[Request] = []
        self.meter: UseLog | None = None
        self._parts: tuple[SubBatch, SubBatch] | None = None
        # Iterations for which those that have left were here, less those before others joined.
        self._stays = 0
        self._replica = replica
        self._pool = replica.swap.pool
        self._stages = replica.simulation.listeners(StageDone)

    def equip(self, cost: OffloadCost, cpu: Cpu, tenant: str, shared: bool) -> None:
        """What the host computes, on which processors, and as whom; `shared`: see above."""
        replica = self._replica
        host, spec = cost.host, cpu.spec
        self.cost = cost
        self.shared = shared
        self._cpu = cpu
        self._meter = DeviceGroup([cpu], tenant=tenant)
        # Share of the power range that a second on one core draws, and one of reading KV.
        bandwidth = host.read_bytes_per_s / spec.memory_bandwidth_bytes_per_s
        self._cores = spec.cores
        self._reading = min(1.0, max(host.cores / spec.cores, bandwidth))
        self.staged = StagedRun(
            replica.group,
            host,
            cpu,
            tenant,
            replica.swap.copy,
            replica._boundary,
            replica._stopped,
            self._tell,
        )

    # Who is here

    def __iter__(self) -> Iterator[Request]:
        return iter(self.batch)

    @property
    def size(self) -> int:
        """Requests that decode here."""
        return self.batch.size

    @property
    def stalled(self) -> int:
        """Iterations that those here sat out, one by one."""
        return self._stays + self.batch.size * self._replica.iterations - self.tokens

    def expect(self, request: Request, blocks: int) -> None:
        """A prompt's KV will come to host memory as it is computed."""
        self._pool.take(blocks)
        request.swapped = True
        request.swapped_blocks += blocks

    def join(self, request: Request) -> None:
        """A request whose KV is here begins to decode."""
        if self.meter is not None:
            self.meter.join_host(request)
        self._stays -= self._replica.iterations
        self.batch.join(request)

    def leave(self, request: Request) -> None:
        """A request decodes here no more; its KV still is in host memory."""
        if request._batch is not self.batch:
            raise LawBroken(
                f"replica {self._replica.index}: {request!r} does not decode on the host"
            )
        self.batch.leave(request)
        self._left(request)

    def _left(self, request: Request) -> None:
        self._stays += self._replica.iterations
        if self.meter is not None:
            self.meter.leave_host(request)
        request.swapped_blocks = request.blocks
        request.blocks = 0

    # Iterations

    def begin(self, plan: Plan, decodes: int) -> StepCost:
        """What the iteration of a plan costs in which the host has a part, where nobody else wants
        host and link. Raises LawBroken where the plan names somebody who is not here."""
        first, second = self.sub_batches(plan, decodes)
        cost = self.cost or self._priced()
        if second is NOTHING:
            return cost.step_on_gpus(first)
        if not (self.taking_part or decodes or plan.chunks):
            raise LawBroken(f"replica {self._replica.index}: a plan for an iteration of nobody")
        if self._pool.free < self.taking_part:
            self._check_blocks()
        self._parts = first, second
        self._totals = cost.totals(first, second)
        seconds, gpu_active, _, _, _ = self._totals
        return StepCost(seconds, 0.0, 0.0, gpu_active)

    def start(self, run: Run, expected: StepCost, steps: int) -> Run:
        """Start the iteration of `begin`, or `steps` others, where `run` was under way, or is to
        be. Returns the run that is now."""
        staged, parts = self.staged, self._parts
        if staged is None or parts is None or not (self.shared or self._off_pace()):
            plain = self._replica.plain_run
            if run is staged and run.live:
                run.end()
            plain.begin(expected, steps)
            return plain
        if run.live and run is not staged:
            run.end()
        staged.start(self._priced().iteration(*parts), expected)
        return staged

    def _off_pace(self) -> bool:
        """Whether GPUs or host are not as specified now."""
        group, cpu = self._replica.group, self._cpu
        return group.slow != 1.0 or group.limit is not None or cpu.speed != 1.0 or not cpu.up

    def sub_batches(self, plan: Plan, decodes: int) -> tuple[SubBatch, SubBatch]:
        """The two parts of an iteration, as the cost model takes them."""
        replica = self._replica
        prompts, sampled, out = [], decodes, 0
        chunks: Sequence[tuple[Request, int]] = plan.chunks  # type: ignore[assignment]
        for request, tokens in chunks:
            kv = request._kv
            prompts.append((kv, tokens))
            sampled += kv + tokens >= request._given + request._generated
            if request.swapped:
                out += tokens
        offload = plan.offload
        context = replica.batch.context if decodes else 0
        if offload is None or not offload.split:
            self.aside = []
            self.taking_part = self.read_tokens = 0
            return SubBatch(prompts, decodes, context, 0, 0, out, sampled), NOTHING
        batch = self.batch
        named: list[Request] = [*offload.beside, *offload.aside]  # type: ignore[list-item]
        beside, rest = len(offload.beside), batch.size - len(named)
        self.aside = named[beside:]
        rest_tokens, beside_tokens = batch.context, 0
        if named:
            # Of those that decode here, KV tokens less steps.
            kept = [r._kv - r._joined for r in named if r._batch is batch]
            if len(kept) < len(named) or len(set(named)) < len(named):
                self._refuse(named)
            steps = batch.steps + 1
            beside_tokens = beside * steps + sum(kept[:beside])
            rest_tokens -= len(named) * steps + sum(kept)
        self.taking_part = beside + rest
        self.read_tokens = beside_tokens + rest_tokens
        return (
            SubBatch(prompts, decodes, context, beside, beside_tokens, out, sampled + beside),
            SubBatch((), 0, 0, rest, rest_tokens, 0, rest),
        )

    def account(self) -> None:
        """The iteration is done; those that took part made a token."""
        replica, batch, taking_part = self._replica, self.batch, self.taking_part
        _, _, thread_s, read_s, waits_s = self._totals
        self.busy_s += thread_s + read_s
        if replica.run is not self.staged:
            # In closed form, the host's energy too.
            self._meter.active_s += self._active_s(thread_s, read_s)
            if self._stages:
                self._tell_all(replica.run.start_s)
        else:
            waits_s = self.staged.waits_s
        if waits_s:
            replica.tally.wait(waits_s)
        self._parts = None
        replica.tally.settle()
        blocks = batch.advance_without(self.aside)
        self.aside = []
        if blocks:
            self._pool.take(blocks)
        self.iterations += 1
        self.tokens += taking_part
        replica.tally.output_tokens += taking_part
        self.taking_part = self.read_tokens = 0

    def ended(self) -> list[Request]:
        """Those that have all the tokens before their next call, or all; they have left."""
        if self.batch.steps < self.batch.next_end:
            return []
        over = self.batch.ended()
        for request in over:
            self._left(request)
        return over

    def cut_off(self, run: Run, now_s: float) -> None:
        """The iteration under way was stopped in the middle: the host has drawn its energy so far,
        in closed form the same part of it as of the time."""
        if self._parts is None:
            return
        if run is self.staged:
            self._replica.tally.wait(self.staged.waits_s)
            return
        part = (now_s - run.start_s) / (run.boundary(1) - run.start_s)
        _, _, thread_s, read_s, waits_s = self._totals
        self._meter.active_s += self._active_s(thread_s, read_s) * part
        self._replica.tally.wait(waits_s * part)

    def _active_s(self, thread_s: float, read_s: float) -> float:
        """Full-power-equivalent seconds of the host's thread, and of reading."""
        return thread_s / self._cores + read_s * self._reading

    def _tell(
        self, name: str, start_s: float, gpu_end_s: float, host_end_s: float, copy_end_s: float
    ) -> None:
        if self._stages:
            end_s = max(gpu_end_s, host_end_s, copy_end_s)
            index = self._replica.index
            fact = StageDone(start_s, end_s, index, name, gpu_end_s, host_end_s, copy_end_s)
            for listener in self._stages:
                listener(fact)

    def _tell_all(self, start_s: float) -> None:
        """The stages of the iteration, which was run in closed form."""
        assert self._parts is not None
        cost = self._priced()
        for stage in cost.iteration(*self._parts):
            gpu_s, host_s, copy_s = cost.ends_s(stage)
            self._tell(stage.name, start_s, start_s + gpu_s, start_s + host_s, start_s + copy_s)
            start_s += max(gpu_s, host_s, copy_s)

    def abandon(self) -> None:
        """The devices failed: the iteration under way will not end."""
        self.aside = []
        self._parts = None
        self.taking_part = self.read_tokens = 0

    def _refuse(self, named: list[Request]) -> None:
        """A plan names requests that do not decode here, or one twice."""
        here = sum([request._batch is self.batch for request in set(named)])
        raise LawBroken(
            f"replica {self._replica.index}: a plan names {len(named)} requests on the host, of "
            f"which {here} decode there, each once"
        )

    def _check_blocks(self) -> None:
        """Host memory has room for the iteration's tokens."""
        free = self._pool.free
        block = self.batch.block_tokens
        sitting = sum([request.kv_tokens % block == 0 for request in self.aside])
        need = self.batch.growth(1) - sitting
        if need > free:
            raise LawBroken(
                f"replica {self._replica.index}: decodes on the host need {need} blocks, {free} "
                "are free"
            )

    def _priced(self) -> OffloadCost:
        if self.cost is None:
            raise ConfigError(
                "host_attention: none, but the batching policy computes attention on the host; "
                "choose host_attention=cpu"
            )
        return self.cost
