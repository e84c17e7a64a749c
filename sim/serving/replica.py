"""One replica: iterations of a continuous batch over a paged KV cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import simpy

from models.step_cost import IterationCost
from policies.batching.contract import CARRY_ON, Batching, Plan
from policies.ordering.contract import Ordering
from policies.tools.contract import Tools
from sim.core.environment import PLAN
from sim.core.level import Level
from sim.core.simulation import Simulation
from sim.hardware.device import DeviceGroup
from sim.hardware.memory import BlockPool
from sim.hardware.run import Run
from sim.serving.calls import Calls
from sim.serving.changes import Changes
from sim.serving.decode_batch import DecodeBatch
from sim.serving.facts import Iterations, Swapped
from sim.serving.host_side import HostSide
from sim.serving.limits import EngineLimits
from sim.serving.plan_steps import goes_on, steps_possible
from sim.serving.pricing import check_step, price
from sim.serving.rank_queue import RankQueue
from sim.serving.request import Request
from sim.serving.swap import SwapSpace
from sim.serving.tally import Tally, iterations_done
from sim.serving.view import ReplicaView


class Replica:
    """A model on a group of GPUs.

    At every boundary between iterations the finished requests leave, the policies are asked for
    a change, and the next run of iterations starts, as long as nothing can change: one event for
    all of them in jump mode, one event for each in step mode. `on_end` is called with each
    request that has all its tokens.
    """

    __slots__ = (
        "_changed", "_env", "_incoming", "_iterations", "_missed", "_open", "_planned",
        "_planning", "_reorder", "_told_s", "batch", "batching", "calls", "changes", "chunks",
        "cost", "decodes", "group", "held", "holders", "host", "index", "iterations", "limits",
        "on_end", "ordering", "plain_run", "pool", "prefilling", "repeats", "run", "simulation",
        "split", "swap", "swapped_out", "tally", "view", "waiting",
    )  # fmt: skip
    on_end: Callable[[Request], None]

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
        tools: Tools | None,
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
        self.waiting = RankQueue()
        self.prefilling: list[Request] = []
        # Requests that wait with KV in host memory, and those with KV on the GPUs, and how much.
        self.swapped_out = self.holders = 0
        self.held = Level(simulation.now)
        self.tally = Tally()
        self.host = HostSide(self)
        self.view = ReplicaView(self)
        self._incoming: list[Request] = []
        self._env = simulation.env
        self.changes = Changes(self)
        self.calls = Calls(self, tools)
        self._reorder = getattr(ordering, "reorder", None)
        self.iterations = 0
        self.run = self.plain_run = Run(group, self._boundary, self._stopped)
        self.chunks: Sequence[tuple[Request, int]] = ()
        # Of the run: one chunk that repeats until the prompt is complete; decodes; on the host.
        self.repeats = self.decodes = self.split = self._changed = self._planning = False
        self._open = True
        self._missed = False  # a request arrived during swaps, after the plan was made
        self._planned: Plan | None = None  # waits for swaps
        self._told_s = 0.0
        self._iterations = simulation.listeners(Iterations)

    def submit(self, request: Request, more: bool = False) -> None:
        """A request arrives here; `more`: others follow at this instant, unscheduled."""
        request.replica = self.index
        request.replica_s = self._env.now
        run = self.run
        if request.blocks or not (run.live and self.limits.async_scheduling):
            self.enqueue(request)
        else:
            self._incoming.append(request)
        if self._planning:
            return
        if self._planned is not None:
            self._missed = True
            return
        if not run.live:
            if self.group.up:
                if not more and self._env.quiet():
                    self._plan(self._env.now)
                else:
                    self._plan_soon()
        elif self._incoming:
            if self._open or self._reorder is not None or request._calls:
                run.cut()
        elif self._open and self.waiting.head is request:
            run.cut()

    def busy(self) -> bool:
        """Whether it has unfinished requests."""
        running = self.prefilling or self.batch.size or self.host.size
        return bool(running or self.waiting.size or self._incoming)

    @property
    def queued(self) -> int:
        """Requests that wait here, those not yet visible to the policies among them."""
        return self.waiting.size + len(self._incoming)

    def requests(self) -> list[Request]:
        """All unfinished requests here."""
        return [*self._ready(), *self.calls.requests()]

    def _ready(self) -> list[Request]:
        return [*self.prefilling, *self.batch, *self.host, *self.waiting, *self._incoming]

    def wake(self) -> None:
        """The devices are back: plan, if there is work."""
        if self.busy():
            self.stir()

    def stir(self) -> None:
        """Something has changed that the policies may want to look at."""
        if self._planned is not None:
            self._missed = True
        elif self.run.live:
            self.run.cut()
        elif self.group.up and not self._planning:
            self._plan_soon()

    def drain(self) -> list[Request]:
        """A device failed: give up all unfinished requests but those in a call, and their KV."""
        self.tally.stand(self, self._env.now)
        lost = self.changes.lose(self._ready()) + self.calls.lose()
        self.prefilling.clear()
        self._incoming.clear()
        self.chunks = ()
        self._planning = self._missed = False
        self._planned = None
        self.waiting.clear()
        self.holders = self.swapped_out = 0
        self.held.change(-self.held.value, self._env.now)
        self.pool.release(self.pool.private)
        return sorted(lost, key=lambda request: request.id)

    def close(self) -> None:
        """The simulation is over: account for the steps done and the part of one."""
        self.tally.stand(self, self._env.now)
        if self.run.live:
            self._stopped(self.run.halt(), begun=True)

    def steps_under_way(self) -> int:
        """Iterations done since the last boundary told (0 in step mode)."""
        run = self.run
        return run.steps_done(self._env.now) - run.done if run.live else 0

    def _plan_soon(self) -> None:
        self._planning = True
        self.simulation.at(self._env.now, self._plan_now, PLAN + self.group.priority)

    def _boundary(self, steps: int) -> None:
        """`steps` iterations are done: account for them, then plan the next."""
        env = self._env
        now = env.now
        self._account(steps, now)
        if env.quiet():
            self._plan(now)
        else:
            self._plan_soon()

    def _account(self, steps: int, now: float) -> None:
        batch = self.batch
        if self._iterations:
            fact = iterations_done(self, self._told_s, now, steps)
            for listener in self._iterations:
                listener(fact)
        self._told_s = now
        self.iterations += steps
        if self.decodes:
            self.tally.output_tokens += steps * batch.size
            blocks = batch.advance(steps)
            if blocks:
                self.pool.take(blocks)
        if self.split:
            self.host.account()
        for request, tokens in self.chunks:
            tokens *= steps
            left = request._given + request._generated - request._kv
            if tokens > left:
                tokens = left
            request._kv += tokens
            self.tally.prefill_tokens += tokens
            if tokens == left:
                self._prefilled(request, now)
        if self.decodes and batch.steps >= batch.next_end:
            for request in batch.ended():
                self._changed = True
                self._leave(request, now)
        if self.split:
            for request in self.host.ended():
                self._leave(request, now)

    def _prefilled(self, request: Request, now_s: float) -> None:
        """A prompt is complete: it yields a token, and decodes on if it needs more."""
        self.prefilling.remove(request)
        self._changed = True
        request._generated += 1
        self.tally.output_tokens += 1
        if request.first_token_s < 0.0:
            request.first_token_s = now_s + request.back_s
        if request._generated >= request._stop:
            self.tally.settle()
            self._leave(request, now_s)
        else:
            (self.host if request.swapped else self.batch).join(request)

    def _leave(self, request: Request, now_s: float) -> None:
        """A request has made the tokens before its next call, or all."""
        if request._call < len(request._calls):
            self.calls.begin(request, now_s)
        else:
            self.finish(request, now_s)

    def finish(self, request: Request, now_s: float) -> None:
        """A request has all its tokens, and the answers to its calls."""
        self.pool.release(request.blocks)
        request.blocks = 0
        if request.swapped:
            self.swap.drop(request)
        request.finish_s = now_s + request.back_s
        self.on_end(request)

    def _plan_now(self, _: simpy.Event | None) -> None:
        """Plan, unless the reason to has gone."""
        if self._planning:
            self._planning = False
            if self.group.up:
                self._plan(self._env.now)

    def _plan(self, now: float) -> None:
        """Ask for the next change and start what follows from it."""
        if self._incoming:
            run = self.run
            past = run.boundary(run.done - 1) if run.done else run.start_s
            self._take_in(past if run.live else now)
        if self.calls.any:
            self.calls.review(now)
        if self._reorder is not None and self.waiting.size:
            for request in list(self._reorder(self.view, now)):
                if self.waiting.remove(request):  # else it waits elsewhere since a failure
                    request.rank = self.calls.rank(request, now)
                    self.waiting.add(request)
        plan = self.batching.plan(self.view, now)
        if plan is not CARRY_ON and (
            plan.chunks or plan.preempt or plan.evict or plan.resume or plan.offload
        ):
            if self._apply(plan, now):
                return
        elif self.chunks:
            self.chunks = ()
            self._changed = True
        self._start(plan)

    def _apply(self, plan: Plan, now_s: float) -> bool:
        """Carry out the plan's changes. Returns whether the iteration waits for swaps."""
        queued = self.waiting.size
        out_blocks, in_blocks = self.changes.apply(plan, now_s)
        moved = plan.preempt or plan.resume or plan.offload or queued != self.waiting.size
        if self._changed or moved or not goes_on(self, plan):
            self._changed = True
            self.chunks = plan.chunks  # type: ignore[assignment]
        if not (out_blocks or in_blocks):
            return False
        self._missed = bool(in_blocks)  # others in a call may go where these have been
        self._end_run()
        self._planned = plan
        self._told_s = now_s
        self.swap.move(out_blocks, in_blocks, self._moved)
        return True

    def _moved(self, out_bytes: float, in_bytes: float) -> None:
        """Swaps are done: the iteration that waited for them begins."""
        now = self._env.now
        fact = Swapped(self._told_s, now, self.index, out_bytes, in_bytes)
        self.tally.stand(self, now)
        self.simulation.facts.emit(fact)
        plan, self._planned = self._planned, None
        assert plan is not None
        self._start(plan)

    def _start(self, plan: Plan) -> None:
        """Start, or go on with, the run that the plan asks for."""
        batch = self.batch
        decodes = batch.size if plan.decode else 0
        chunks = self.chunks
        offload = plan.offload
        split = offload is not None and offload.split
        if not decodes and not chunks and not split:
            self._end_run()
            if self._incoming:
                self._take_in(self._env.now)
                self._plan_soon()
            return
        steps = steps_possible(self, plan, decodes)
        if split or self._incoming or self._missed:
            steps = 1
            self._missed = False
        self._open = plan.arrivals == "head"
        run = self.run
        if run.live:
            same = not (self._changed or offload or self.split)
            if same and self.decodes == (decodes > 0):
                if self.group.stepwise:
                    alone = price(self.cost, decodes, batch.context, plan.chunks)  # type: ignore[arg-type]
                    check_step(run, alone)
                run.hold(steps)
                return
            self.tally.end(run, self._env.now)
        self.decodes = decodes > 0
        self.split = split
        self._changed = False
        if split or (offload is not None and offload.to_host):
            self.repeats = False
            cost = self.host.begin(plan, decodes)
        elif chunks:
            self.repeats = plan.steps > 1
            cost = price(self.cost, decodes, batch.context, chunks, self.repeats)
        else:
            self.repeats = False
            cost = self.cost.step(decodes, batch.context, (), decodes)
        self.tally.begin(self, decodes, chunks)
        self._told_s = self._env.now
        if split or run is not self.plain_run:
            self.run = self.host.start(run, cost, steps)
        else:
            run.begin(cost, steps)

    def _end_run(self) -> None:
        if self.run.live:
            self.run.end()
            self.tally.end(self.run, self._env.now)

    def _stopped(self, steps: int, begun: bool = False) -> None:
        """The run was stopped, `steps` iterations after the last boundary told; `begun`: even at
        a boundary the next iteration has begun (a fault comes before it, the end after it)."""
        run, now = self.run, self._env.now
        if steps:
            self._account(steps, run.boundary(run.done))
        # The iteration under way has its blocks.
        if self.decodes and (begun or run.boundary(run.done) < now):
            self.pool.take(self.batch.growth(1))
        self.tally.cut(run, now)
        self.host.cut_off(run, now)

    def enqueue(self, request: Request) -> None:
        """A request joins the waiting queue at its rank."""
        if request._calls:
            self.calls.foresee(request)
        if self._reorder is not None and request.waits_since < 0:
            request.waits_since = self.iterations + self.steps_under_way()
        request.rank = self.calls.rank(request, self._env.now)
        self.waiting.add(request)
        if request.swapped:
            self.swapped_out += 1
        if request.blocks:
            self.holders += 1
            self.held.change(request._kv, self._env.now)

    def _take_in(self, until_s: float) -> None:
        """Arrivals up to that time become visible to the policies."""
        late = [request for request in self._incoming if request.replica_s > until_s]
        for request in self._incoming:
            if request.replica_s <= until_s:
                self.enqueue(request)
        self._incoming = late
