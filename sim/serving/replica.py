"""One replica: iterations of a continuous batch over a paged KV cache."""

from __future__ import annotations

from collections.abc import Callable

import simpy
from sortedcontainers import SortedList

from models.step_cost import IterationCost
from policies.batching.contract import CARRY_ON, Batching, Fate, Plan
from policies.ordering.contract import Ordering
from sim.core.environment import PLAN
from sim.core.errors import LawBroken
from sim.core.simulation import Simulation
from sim.hardware.device import DeviceGroup
from sim.hardware.memory import BlockPool
from sim.hardware.run import Run
from sim.serving.decode_batch import DecodeBatch
from sim.serving.facts import Iterations, RequestPreempted, Swapped
from sim.serving.limits import EngineLimits
from sim.serving.request import Request
from sim.serving.swap import SwapSpace
from sim.serving.tally import Tally
from sim.serving.view import ReplicaView

#: Steps of a run that nothing bounds but an end.
_FAR = 1 << 40


class Replica:
    """A model on a group of GPUs.

    At every boundary between iterations the finished requests leave, the policies are asked for
    a change, and the next run of iterations starts, as long as nothing can change: one event for
    all of them in jump mode, one event for each in step mode.
    """

    def __init__(
        self,
        simulation: Simulation,
        index: int,
        group: DeviceGroup,
        cost: IterationCost,
        pool: BlockPool,
        ordering: Ordering,
        batching: Batching,
        limits: EngineLimits,
        swap: SwapSpace,
        on_end: Callable[[Request], None],
    ) -> None:
        self.simulation = simulation
        self.index = index
        self.group = group
        self.cost = cost
        self.pool = pool
        self.ordering = ordering
        self.batching = batching
        self.limits = limits
        self.swap = swap
        self.batch = DecodeBatch(limits.block_tokens)
        self.waiting: SortedList = SortedList()
        self.prefilling: list[Request] = []
        self.holders = 0
        self.tally = Tally()
        self.view = ReplicaView(self)
        self._priority = PLAN + group.priority
        self._on_end = on_end
        self._incoming: list[Request] = []
        self._run: Run | None = None
        self._chunks: list[tuple[Request, int]] = []
        self._decodes = False
        self._changed = False
        self._open = True
        self._planning = False
        self._moving = False
        self._planned: Plan | None = None
        self._told_s = 0.0
        self._iterations = simulation.listeners(Iterations)
        self._preemptions = simulation.listeners(RequestPreempted)

    # What the gateway calls

    def submit(self, request: Request) -> None:
        """A request arrives here."""
        request.replica = self.index
        request.replica_s = self.simulation.env.now
        run = self._run
        if run is None or not self.limits.async_scheduling:
            self._enqueue(request)
        else:
            self._incoming.append(request)
        if self._planning or self._moving:
            return
        if run is None:
            if self.group.up:
                self._plan_soon()
        elif self._open and (self._incoming or self.waiting[0][2] is request):
            run.cut()

    def busy(self) -> bool:
        """Whether it has unfinished requests."""
        return bool(self.waiting or self.prefilling or self.batch.size or self._incoming)

    @property
    def queued(self) -> int:
        """Requests that wait here, those not yet visible to the policies among them."""
        return len(self.waiting) + len(self._incoming)

    def requests(self) -> list[Request]:
        """All unfinished requests here."""
        waiting = [entry[2] for entry in self.waiting]
        return [*self.prefilling, *self.batch, *waiting, *self._incoming]

    def wake(self) -> None:
        """The devices are back: plan, if there is work."""
        if self._run is None and not self._planning and self.busy():
            self._plan_soon()

    def drain(self) -> list[Request]:
        """Give up all unfinished requests (a device failed): their KV is lost."""
        lost = self.requests()
        for request in list(self.batch):
            self.batch.leave(request)
        for request in lost:
            self._forget_kv(request)
        self.prefilling.clear()
        self._incoming.clear()
        self._chunks = []
        self._planning = self._moving = False
        self.waiting.clear()
        self.holders = 0
        self.pool.release(self.pool.private)
        return sorted(lost, key=lambda request: request.id)

    def close(self) -> None:
        """The simulation is over: account for the steps done."""
        steps = self.steps_under_way()
        if self._run is not None:
            self._run.done += steps
            if steps:
                self._account(steps)
            self._end_run()

    # What policies see

    @property
    def host_blocks_free(self) -> int:
        """Free blocks of swap space."""
        return self.swap.pool.free

    def blocks_held(self, request: Request) -> int:
        """KV blocks that a request holds on the GPU."""
        if request._batch is None:
            return request.blocks
        return -(-request.kv_tokens // self.batch.block_tokens)

    def blocks_to_admit(self, request: Request) -> int:
        """Blocks that must be free to admit or resume a waiting request."""
        tokens = request._kv + (request.prefill_tokens or 1)
        return -(-tokens // self.batch.block_tokens) - request.blocks

    # What observers read

    def steps_under_way(self) -> int:
        """Iterations done since the last boundary told (0 in step mode)."""
        run = self._run
        return 0 if run is None else run.steps_done(self.simulation.env.now) - run.done

    def kv_blocks_used(self) -> int:
        """KV blocks in use now, the present iteration's among them."""
        if not self._decodes or self._run is None:
            return self.pool.used
        batch = self.batch
        return self.pool.used + batch.growth(batch.steps + 1, self.steps_under_way())

    def output_tokens_made(self) -> int:
        """Output tokens made until now."""
        if not self._decodes:
            return self.tally.output_tokens
        return self.tally.output_tokens + self.batch.size * self.steps_under_way()

    def kv_tokens_settled(self) -> int:
        """Tokens whose KV lies on the GPU, as of the last boundary told."""
        tokens = self.batch.context - self.batch.size
        for request in self.prefilling:
            tokens += request._kv
        if self.holders:
            tokens += sum(entry[2]._kv for entry in self.waiting if entry[2].blocks)
        return tokens

    def energy_j(self, now_s: float) -> float:
        """Energy that its devices have drawn."""
        return sum(device.meter.energy_j(now_s) for device in self.group.devices)

    # Steps

    def _plan_soon(self) -> None:
        self._planning = True
        self.simulation.at(self.simulation.env.now, self._plan_now, self._priority)

    def _boundary(self, steps: int) -> None:
        """`steps` iterations are done: account for them, then plan the next."""
        self._account(steps)
        self._planning = True
        env = self.simulation.env
        if env.quiet():
            self._plan_now(None)
        else:
            self.simulation.at(env.now, self._plan_now, self._priority)

    def _account(self, steps: int) -> None:
        now = self.simulation.env.now
        batch = self.batch
        if self._iterations:
            self._tell(steps, now)
        self._told_s = now
        if self._decodes:
            if steps > 1:
                self._take(batch.growth(batch.steps + 1, steps - 1))
            batch.advance(steps)
            self.tally.output_tokens += steps * batch.size
        for request, tokens in self._chunks:
            request._kv += tokens * steps
            self.tally.prefill_tokens += tokens * steps
            if request._kv >= request.prompt_tokens + request._generated:
                self._prefilled(request, now)
        if self._decodes:
            for request in batch.ended():
                self._changed = True
                self._finish(request, now)

    def _tell(self, steps: int, now_s: float) -> None:
        batch = self.batch
        assert self._run is not None
        fact = Iterations(
            self._told_s,
            now_s,
            self.index,
            steps,
            batch.size if self._decodes else 0,
            batch.context if self._decodes else 0,
            sum([tokens for _, tokens in self._chunks]),
            self._run.done - steps,
        )
        for listener in self._iterations:
            listener(fact)

    def _prefilled(self, request: Request, now_s: float) -> None:
        """A prompt is complete: it yields a token, and decodes on if it needs more."""
        self.prefilling.remove(request)
        self._changed = True
        request._generated += 1
        self.tally.output_tokens += 1
        if request.first_token_s < 0.0:
            request.first_token_s = now_s
        if request._generated >= request._output_tokens:
            self._finish(request, now_s)
        else:
            self.batch.join(request)

    def _finish(self, request: Request, now_s: float) -> None:
        self.pool.release(request.blocks)
        request.blocks = 0
        request.finish_s = now_s
        self._on_end(request)

    def _plan_now(self, _: simpy.Event | None) -> None:
        """Ask for the next change and start what follows from it."""
        self._planning = False
        if not self.group.up:
            return
        now = self.simulation.env.now
        run = self._run
        if self._incoming and run is None:
            self._take_in(now)
        elif self._incoming:
            assert run is not None
            self._take_in(run.boundary(run.done - 1) if run.done else run.start_s)
        plan = self.batching.plan(self.view, now)
        moved_bytes = self._apply(plan, now)
        if moved_bytes is not None:
            self._end_run()
            self._moving = True
            self._planned = plan
            self._told_s = now
            self.swap.move(*moved_bytes, self._moved)
            return
        self._start(plan)

    def _moved(self, out_bytes: float, in_bytes: float) -> None:
        """Swaps are done: the iteration that waited for them begins."""
        if not self._moving:
            return
        self._moving = False
        self.simulation.facts.emit(
            Swapped(self._told_s, self.simulation.now, self.index, out_bytes, in_bytes)
        )
        assert self._planned is not None
        self._start(self._planned)

    def _start(self, plan: Plan) -> None:
        """Start, or go on with, the run that the plan asks for."""
        batch = self.batch
        decodes = batch.size if plan.decode else 0
        chunks = self._chunks
        if not decodes and not chunks:
            self._end_run()
            if self._incoming:
                self._take_in(self.simulation.env.now)
                self._plan_soon()
            return
        steps = plan.steps
        if decodes:
            end = batch.steps_to_end()
            if end < steps:
                steps = end
            free = self.pool.free
            if steps * decodes > free * batch.block_tokens - decodes * batch.block_tokens:
                steps = batch.headroom(free, steps)
                if steps < 1:
                    raise LawBroken(
                        f"replica {self.index}: the plan decodes {decodes} requests, which needs "
                        f"{batch.growth(batch.steps, 1)} KV blocks where {free} are free"
                    )
            self._take(batch.next_growth())
        if self._incoming:
            steps = 1
        if steps >= _FAR:
            raise LawBroken(f"replica {self.index}: a plan without decodes holds for ever")
        self._open = plan.arrivals == "head"
        run = self._run
        if run is not None and not self._changed and self._decodes == (plan.decode and decodes > 0):
            run.hold(steps)
            return
        self._end_run()
        self._decodes = decodes > 0
        self._changed = False
        env = self.simulation.env
        self._told_s = env.now
        if chunks:
            pieces = [(request._kv, tokens) for request, tokens in chunks]
            prefill = 0
            sampled = decodes
            for request, tokens in chunks:
                prefill += tokens
                if request._kv + tokens >= request.prompt_tokens + request._generated:
                    sampled += 1
            cost = self.cost.step(decodes, batch.context if decodes else 0, pieces, sampled)
        else:
            prefill = 0
            cost = self.cost.step(decodes, batch.context, (), decodes)
        if self.prefilling or self.holders:
            kv_tokens = self.kv_tokens_settled()
        else:
            kv_tokens = batch.context - batch.size
        self.tally.begin(decodes, prefill, kv_tokens)
        self._run = self.group.run(cost, steps, self._boundary, self._failed)

    def _end_run(self) -> None:
        run = self._run
        if run is not None:
            self._run = None
            run.end()
            self.tally.end(run, self.simulation.env.now)

    def _failed(self, steps: int) -> None:
        """A device failed under a run, `steps` iterations after the last boundary told."""
        if steps:
            self._account(steps)
        run = self._run
        assert run is not None
        self._run = None
        self.tally.end(run, self.simulation.env.now)

    # Changes

    def _apply(self, plan: Plan, now_s: float) -> tuple[float, float] | None:
        """Check the plan and carry it out. Returns bytes swapped (out, in), None without swaps."""
        if plan is CARRY_ON:
            if self._chunks:
                self._chunks = []
                self._changed = True
            return None
        out_blocks = in_blocks = 0
        for request, fate in plan.preempt:
            out_blocks += self._preempt(request, fate, now_s)  # type: ignore[arg-type]
        for request, fate in plan.evict:
            out_blocks += self._evict(request, fate)  # type: ignore[arg-type]
        for request in plan.resume:
            in_blocks += self._resume(request, now_s)  # type: ignore[arg-type]
        chunks: list[tuple[Request, int]] = plan.chunks  # type: ignore[assignment]
        for request, tokens in chunks:
            if request not in self.prefilling:
                in_blocks += self._admit(request, now_s)
            if not 0 < tokens <= request.prefill_tokens:
                raise LawBroken(
                    f"replica {self.index}: a piece of {tokens} tokens for {request!r}, which "
                    f"has {request.prefill_tokens} to prefill"
                )
        if chunks != self._chunks or len(chunks) > 1:
            self._changed = True
            self._chunks = chunks
        elif chunks and chunks[0][0].prefill_tokens <= chunks[0][1]:
            self._changed = True
        if self.batch.size + len(self.prefilling) > self.limits.max_sequences:
            raise LawBroken(
                f"replica {self.index}: {self.batch.size + len(self.prefilling)} requests in the "
                f"batch, max_sequences is {self.limits.max_sequences}"
            )
        if out_blocks or in_blocks:
            return out_blocks * self.swap.block_bytes, in_blocks * self.swap.block_bytes
        return None

    def _take_in(self, until_s: float) -> None:
        """Arrivals up to that time become visible to the policies."""
        late = [request for request in self._incoming if request.replica_s > until_s]
        for request in self._incoming:
            if request.replica_s <= until_s:
                self._enqueue(request)
        self._incoming = late

    def _enqueue(self, request: Request) -> None:
        request.rank = self.ordering.rank(request, self.view, self.simulation.env.now)
        self.waiting.add((request.rank, request.id, request))
        if request.blocks:
            self.holders += 1

    def _dequeue(self, request: Request) -> None:
        try:
            self.waiting.remove((request.rank, request.id, request))
        except ValueError:
            raise LawBroken(
                f"replica {self.index}: a plan takes in {request!r}, which is not waiting"
            ) from None
        if request.blocks:
            self.holders -= 1

    def _take(self, blocks: int) -> None:
        pool = self.pool
        pool.take(blocks)
        used = pool.total_blocks - pool.free
        if used > self.tally.peak_kv_blocks:
            self.tally.peak_kv_blocks = used

    def _take_blocks(self, request: Request, now_s: float) -> int:
        """A waiting request enters the batch. Returns blocks that come back from the host."""
        self._dequeue(request)
        blocks = self.blocks_to_admit(request)
        self._take(blocks)
        request.blocks += blocks
        if request.scheduled_s < 0.0:
            request.scheduled_s = now_s
        self._changed = True
        return self.swap.bring_back(request) if request.swapped else 0

    def _admit(self, request: Request, now_s: float) -> int:
        returned = self._take_blocks(request, now_s)
        self.prefilling.append(request)
        return returned

    def _resume(self, request: Request, now_s: float) -> int:
        if request.prefill_tokens:
            raise LawBroken(f"replica {self.index}: {request!r} cannot decode without prefill")
        # The step that follows takes the block that its next token may need.
        self._dequeue(request)
        if request.scheduled_s < 0.0:
            request.scheduled_s = now_s
        self._changed = True
        held = -(-request._kv // self.batch.block_tokens)
        self._take(held - request.blocks)
        request.blocks = held
        returned = self.swap.bring_back(request) if request.swapped else 0
        self.batch.join(request)
        return returned

    def _preempt(self, request: Request, fate: Fate, now_s: float) -> int:
        """A running request leaves the batch. Returns blocks that go to the host."""
        if request._batch is self.batch:
            self.batch.leave(request)
        elif request in self.prefilling:
            self.prefilling.remove(request)
        else:
            raise LawBroken(f"replica {self.index}: a plan preempts {request!r}, not running")
        self._changed = True
        request.preemptions += 1
        self.tally.preemptions += 1
        out = self._dispose(request, fate)
        self._enqueue(request)
        if self._preemptions:
            fact = RequestPreempted(now_s, request, fate)
            for listener in self._preemptions:
                listener(fact)
        return out

    def _evict(self, request: Request, fate: Fate) -> int:
        """A waiting request loses its KV on the GPU. Returns blocks that go to the host."""
        if not request.blocks or fate == "keep":
            raise LawBroken(f"replica {self.index}: nothing to evict of {request!r} ({fate})")
        self._dequeue(request)
        out = self._dispose(request, fate)
        self._enqueue(request)
        return out

    def _dispose(self, request: Request, fate: Fate) -> int:
        if fate == "keep":
            return 0
        blocks = request.blocks
        if fate == "swap":
            out = self.swap.put_out(request)
            self.pool.release(blocks)
            request.blocks = 0
            return out
        self.pool.release(blocks)
        self._forget_kv(request)
        return 0

    def _forget_kv(self, request: Request) -> None:
        request.recomputed_tokens += request._kv
        self.tally.recomputed_tokens += request._kv
        request._kv = 0
        request.blocks = 0
        if request.swapped:
            self.swap.drop(request)
