"""Who uses a replica: its GPUs' active seconds and its KV memory, by request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from models.step_cost import StepCost, WithLast
from sim.hardware.metering import Consumer, Part, StepUse
from sim.serving.decode_batch import NEVER
from sim.serving.tally import kv_tokens_in_batch

if TYPE_CHECKING:
    from sim.hardware.run import Run
    from sim.serving.replica import Replica
    from sim.serving.request import Request

#: Active seconds for each token of the iterations in which the GPUs' decodes took part; seconds in
#: which the batch held KV; integral over these of the number of the batch's step; active seconds
#: for each token of the iterations in which decodes on the host took part. All since the start.
Sums: TypeAlias = tuple[float, float, float, float]
#: Sums at a step's end, the batch's steps by then, and what part of the next one was done.
Edge: TypeAlias = tuple[float, float, float, float, int, float]
#: Of a request that ended in the step in which it began: id, kind, tokens, use.
Brief: TypeAlias = tuple[int, str, int, int, float, float]


class Used:
    """What a request has used here.

    `active_s`, `held`: in step `step`, until it was last settled (held: KV tokens x seconds);
    `parts`: in the steps before. While it is prefilled, it has held `kv` tokens since `since_s` of
    the meter's clock; while it decodes, `sums` are those of when it began to.
    """

    __slots__ = ("active_s", "held", "kv", "parts", "since_s", "step", "sums")
    sums: Sums

    def __init__(self, step: int) -> None:
        self.step = step
        self.active_s = self.held = self.since_s = 0.0
        self.kv = 0
        self.parts: list[Part] = []


class RequestUse:
    """The meter of one replica (see `UseMeter`): accounts `prefill` and `decode`, and of memory
    also `waiting` and `calls`, for KV of requests that are not in the batch.

    Of an iteration's active seconds a decode on the GPUs takes those of reading its KV, at the
    marginal cost of a KV token; the rest goes to all tokens that the iteration computes, evenly.
    An iteration cut off goes to its requests in part. A request holds memory while it is
    prefilled or decodes, as `Tally` counts it: `held_s` is its tokens' share of the pool.

    Nothing walks over the batch: a decode's share is the difference of sums between its leaving and
    its joining, the sums follow a run of iterations in closed form, and those at the ends of the
    meter's steps are kept. A request whose devices fail is told as unfinished, with no work.
    """

    def __init__(self, replica: Replica) -> None:
        cost = replica.cost
        tokens = replica.pool.total_blocks * replica.batch.block_tokens
        # No more than leaves the iteration something for the rest, where cost grows ever slower.
        self._per_kv_s = min(
            cost.step(1, 1, (), 1).active_slope, cost.step(1, tokens, (), 1).active_first / tokens
        )
        self._capacity = tokens
        self._replica = replica
        self._batch = replica.batch
        self.step = 0
        self.sums: Sums = (0.0, 0.0, 0.0, 0.0)
        self._edges: list[Edge] = []
        self._ended: list[Brief | Consumer] = []
        # Until the run under way began: the sums, and of both accounts what went to prefill.
        self._before = self.sums
        self._prefill_s = self._prefill_held = 0.0
        # The run: its iterations that the sums contain, and what it is made of.
        self._done = 0
        self._part = 0.0
        self._cost = StepCost(0.0)
        self._chunks: Sequence[tuple[Request, int]] = ()
        self._decodes = self._hosted = self._pieces = self._context = self._steps = 0
        self._turns = NEVER
        self._last = 0
        self._prefilling_kv = 0
        self._plain = True
        # What it has given by the last time anybody's share was settled: for each token, to
        # prefill, and the integral of the step's number.
        self._each_s = self._given_s = self._number_s = 0.0
        self._run_prefill_s = self._run_prefill_held = 0.0
        # What had been used at the end of the last step.
        now = replica.simulation.now
        self._told = (replica.group.active_at(now), 0.0, 0.0, 0.0, 0.0, 0.0)
        replica.tally.meter = replica.batch.meter = replica.host.meter = self
        replica.on_end = self.before(replica.on_end)

    def before(self, on_end: Callable[[Request], None]) -> Callable[[Request], None]:
        """What to call with a request that has all its tokens: `on_end`, but tell of it first."""

        def ended(request: Request) -> None:
            self._finish(request)
            on_end(request)

        return ended

    # Steps of the meter

    def close_step(self, now_s: float, last: bool = False) -> StepUse:
        """See `UseMeter`. Costs nothing for each request that decodes, unless this is the last."""
        replica = self._replica
        batch, tally, run = replica.batch, replica.tally, replica.run
        sums, steps, part = self.sums, batch.steps, self._part
        prefill_s, prefill_held, held = self._prefill_s, self._prefill_held, tally.kv_token_s
        if run.live:
            sums, done, part = self._reach(run, now_s)
            if self._decodes:
                steps = self._steps + done
            prefill_s += self._run_prefill_s
            prefill_held += self._run_prefill_held
            held += tally.held_in_run(run, now_s)
        elif replica.stands:
            lasted_s = now_s - replica._told_s
            gpu, clock_s, area, host = sums
            sums = gpu, clock_s + lasted_s, area + steps * lasted_s, host
            kv = kv_tokens_in_batch(replica)
            held += kv * lasted_s
            prefill_held += (kv - batch.context + batch.size) * lasted_s
        for request in replica.prefilling:
            self._stand_by(request, sums[1])
        edge = (*sums, steps, part)
        if last:
            self._tell_unfinished(edge)
        waiting, calls = replica.held.area(now_s), replica.calls.held.area(now_s)
        totals = replica.group.active_at(now_s), prefill_s, held, prefill_held, waiting, calls
        active, prefill, held, held_prefill, waiting, calls = (
            now - before for now, before in zip(totals, self._told, strict=True)
        )
        capacity = self._capacity
        use = StepUse(
            {"prefill": prefill, "decode": active - prefill},
            {
                "prefill": held_prefill / capacity,
                "decode": (held - held_prefill) / capacity,
                "waiting": waiting / capacity,
                "calls": calls / capacity,
            },
            self._consumers(),
        )
        self._told = totals
        self._edges.append(edge)
        self._ended = []
        self.step += 1
        return use

    def _consumers(self) -> list[Consumer]:
        """Those that have ended in the step."""
        step, capacity = self.step, self._capacity
        found = []
        for entry in self._ended:
            if type(entry) is tuple:
                number, kind, prompt, output, active_s, held = entry
                part = Part(step, active_s, held / capacity)
                found.append(Consumer(number, kind, (part,), prompt, output))
            else:
                found.append(entry)
        return found

    def _tell_unfinished(self, edge: Edge) -> None:
        """The run is over for those that are still here."""
        replica = self._replica
        for request in replica.requests():
            used = request._use
            if used is None:
                continue
            if request._batch is replica.batch:
                self._settle(request, used, edge)
            elif request._batch is not None:
                self._settle_host(used, edge[:4])
            prompt = request.prompt_tokens
            if request.first_token_s < 0.0:
                prompt = min(prompt, request.kv_tokens)
            self._tell(request, prompt, request.generated_tokens, False)

    # The run

    def begin(self, decodes: int, chunks: Sequence[tuple[Request, int]], cost: StepCost) -> None:
        """A run of iterations begins."""
        replica = self._replica
        batch = self._batch
        tally = replica.tally
        self._done = 0
        self._part = 0.0
        self._cost = cost
        self._decodes = decodes
        self._context = batch.context
        self._steps = batch.steps
        kv = tally.first_kv - batch.context + batch.size
        hosted = replica.host.taking_part
        if not (chunks or kv or hosted):
            self._plain = True
            return
        self._plain = False
        self._chunks = chunks
        self._hosted = hosted
        self._pieces = tally.kv_slope - decodes
        self._prefilling_kv = kv
        self._each_s = self._given_s = self._number_s = 0.0
        self._run_prefill_s = self._run_prefill_held = 0.0
        self._turns = NEVER
        if isinstance(cost, WithLast):
            ((request, tokens),) = chunks
            self._turns = cost.turn
            self._last = request.prefill_tokens - cost.turn * tokens

    def end(self, run: Run) -> None:
        """It is over, at a boundary."""
        if run.done != self._done:
            self._advance(run)
        self._over()

    def cut(self, run: Run, now_s: float) -> None:
        """It is over, perhaps in the middle of an iteration, which goes to its requests in part."""
        self._done = run.done
        self.sums, _, self._part = self._reach(run, now_s)
        self._over()

    def stand(self, batch_kv: int, lasted_s: float) -> None:
        """The batch, with so many KV tokens, has stood for so long without a run."""
        gpu, clock_s, area, host = self.sums
        batch = self._batch
        self._before = self.sums = gpu, clock_s + lasted_s, area + batch.steps * lasted_s, host
        self._prefill_held += (batch_kv - batch.context + batch.size) * lasted_s

    def _advance(self, run: Run) -> None:
        """Take in the iterations that are done."""
        self._done = k = run.done
        lasted_s = self._replica._told_s - run.start_s
        number_s = run.step_number_s() if k > 1 else 0.0
        if not self._plain:
            self.sums = self._mixed(k, 0.0, lasted_s, number_s)
            return
        decodes = self._decodes
        gpu, clock_s, area, host = self._before
        read = k * self._context + decodes * (k * (k - 1) // 2)
        self.sums = (
            gpu + (self._cost.active_total(k) - self._per_kv_s * read) / decodes,
            clock_s + lasted_s,
            area + self._steps * lasted_s + number_s,
            host,
        )

    def _reach(self, run: Run, now_s: float) -> tuple[Sums, int, float]:
        """The sums at this moment of a run, its iterations done, and what part of the next one. All
        but decodes are settled."""
        k, part = run.progress(now_s)
        return self._mixed(k, part, now_s - run.start_s, run.step_number_s(now_s)), k, part

    def _mixed(self, k: int, part: float, lasted_s: float, number_s: float) -> Sums:
        """The sums after `k` iterations of any run and a part of one; all but decodes are
        settled."""
        decodes = self._decodes
        each_s, prefill_s = self._shares(k, part)
        gpu, clock_s, area, host = self._before
        clock_s += lasted_s
        area += self._steps * lasted_s
        if decodes:
            gpu += each_s
            area += number_s
        if self._plain:
            return gpu, clock_s, area, host
        pieces = self._pieces
        self._run_prefill_s = prefill_s
        self._run_prefill_held = self._prefilling_kv * lasted_s + pieces * number_s
        for request, tokens in self._chunks:
            used = request._use
            if used is not None:
                if used.step != self.step:
                    self._turn(used, self.step)
                used.active_s += (prefill_s - self._given_s) * tokens / pieces
                used.held += used.kv * (clock_s - used.since_s)
                used.held += tokens * (number_s - self._number_s)
                used.since_s = clock_s
        sums = gpu, clock_s, area, host
        if self._hosted:
            sums = gpu, clock_s, area, host + each_s
            for request in self._replica.host.aside:
                used = request._use
                assert used is not None
                if used.step != self.step:
                    self._settle_host(used, sums)
                used.active_s -= each_s - self._each_s
        self._each_s, self._given_s, self._number_s = each_s, prefill_s, number_s
        return sums

    def _shares(self, k: int, part: float) -> tuple[float, float]:
        """Active seconds that the run has given to each token computed, but for reading KV, and
        those to prefill."""
        cost, context, decodes, turn = self._cost, self._context, self._decodes, self._turns
        pieces = self._pieces
        others = decodes + self._hosted
        per_kv_s = self._per_kv_s if decodes else 0.0
        if k > turn:
            k, part = turn, 1.0
        read = k * context + decodes * (k * (k - 1) // 2)
        each_s = (cost.active_total(k) - per_kv_s * read) / (others + pieces)
        prefill_s = each_s * pieces
        if part:
            if k == turn:
                pieces = self._last
            rest_s = cost.active_step(k) - per_kv_s * (context + k * decodes)
            more_s = part * rest_s / (others + pieces)
            each_s += more_s
            prefill_s += more_s * pieces
        return each_s, prefill_s

    def _over(self) -> None:
        self._before = self.sums
        if self._plain:
            return
        self._prefill_s += self._run_prefill_s
        self._prefill_held += self._run_prefill_held
        for request, _ in self._chunks:
            used = request._use
            if used is not None:
                used.kv = request._kv
        self._plain = True
        self._chunks = ()
        self._hosted = self._pieces = 0
        self._turns = NEVER

    # Requests

    def admit(self, request: Request) -> None:
        """A request begins to be prefilled, or goes on."""
        run = self._replica.run
        if run.done != self._done:
            self._advance(run)
        used = request._use
        if used is None:
            request._use = used = Used(self.step)
        elif used.step != self.step:
            self._turn(used, self.step)
        used.kv = request._kv
        used.since_s = self.sums[1]

    def withdraw(self, request: Request) -> None:
        """A request goes back to the queue whose prompt is not complete."""
        run = self._replica.run
        if run.done != self._done:
            self._advance(run)
        self._stand_by(request, self.sums[1])

    def join(self, request: Request) -> None:
        """A request begins to decode, on the GPUs or on the host."""
        run = self._replica.run
        if run.done != self._done:
            self._advance(run)
        used = request._use
        assert used is not None
        if used.step != self.step:
            self._turn(used, self.step)
        used.sums = self.sums

    def leave(self, request: Request) -> None:
        """A request is about to leave the batch on the GPUs."""
        run = self._replica.run
        if run.done != self._done:
            self._advance(run)
        used = request._use
        assert used is not None
        if used.step != self.step or self._part:
            self._settle(request, used, (*self.sums, self._batch.steps, self._part))
            return
        gpu, clock_s, area, _ = used.sums
        now_gpu, now_s, now_area, _ = self.sums
        kv = request._kv
        joined = request._joined
        made = self._batch.steps - joined
        read = made * (kv + 1) + made * (made - 1) // 2
        used.active_s += now_gpu - gpu + self._per_kv_s * read
        used.held += (kv - joined) * (now_s - clock_s) + now_area - area

    def leave_host(self, request: Request) -> None:
        """A request decodes on the host no more."""
        run = self._replica.run
        if run.done != self._done:
            self._advance(run)
        assert request._use is not None
        self._settle_host(request._use, self.sums)

    def sit_out(self) -> None:
        """The iteration is done in which some on the host had no part."""
        run = self._replica.run
        if run.done != self._done:
            self._advance(run)

    def lose(self, requests: Sequence[Request]) -> None:
        """The devices failed: these requests are here no more."""
        self._part = 0.0
        for request in self._replica.prefilling:
            if request._use is not None:
                self._stand_by(request, self.sums[1])
        for request in requests:
            self._tell(request, 0, 0, False)

    def _finish(self, request: Request) -> None:
        run = self._replica.run
        if run.done != self._done:
            self._advance(run)
        used = request._use
        if used is None or used.parts or used.step != self.step:
            self._tell(request, request.prompt_tokens, request._output_tokens, True)
            return
        request._use = None
        self._ended.append(
            (
                request.id,
                request.kind,
                request.prompt_tokens,
                request._output_tokens,
                used.active_s,
                used.held,
            )
        )

    def _tell(self, request: Request, prompt: int, output: int, finished: bool) -> None:
        used, request._use = request._use, None
        if used is not None:
            self._turn(used, self.step)
        elif not finished:
            return
        parts = used.parts if used is not None else []
        self._ended.append(Consumer(request.id, request.kind, parts, prompt, output, finished))

    def _turn(self, used: Used, step: int) -> None:
        """What it has used was of the step in which it was last settled; go on to this one."""
        if used.active_s or used.held:
            used.parts.append(Part(used.step, used.active_s, used.held / self._capacity))
            used.active_s = used.held = 0.0
        used.step = step

    def _stand_by(self, request: Request, clock_s: float) -> None:
        """Settle the memory of one that is prefilled."""
        used = request._use
        assert used is not None
        if used.step != self.step:
            self._turn(used, self.step)
        used.held += used.kv * (clock_s - used.since_s)
        used.since_s = clock_s

    def _settle(self, request: Request, used: Used, end: Edge) -> None:
        """Settle one that decodes on the GPUs, over the ends of steps since it joined."""
        kv = request._kv
        joined = request._joined
        gpu, clock_s, area, _ = used.sums
        read = 0.0
        for edge in [*self._edges[used.step :], end]:
            edge_gpu, edge_s, edge_area, _, steps, part = edge
            made = steps - joined
            edge_read = made * (kv + 1) + made * (made - 1) // 2 + part * (kv + 1 + made)
            used.active_s += edge_gpu - gpu + self._per_kv_s * (edge_read - read)
            used.held += (kv - joined) * (edge_s - clock_s) + edge_area - area
            gpu, clock_s, area, read = edge_gpu, edge_s, edge_area, edge_read
            if edge is not end:
                self._turn(used, used.step + 1)

    def _settle_host(self, used: Used, end: Sums) -> None:
        """Settle one that decodes on the host."""
        host = used.sums[3]
        for edge in self._edges[used.step :]:
            used.active_s += edge[3] - host
            host = edge[3]
            self._turn(used, used.step + 1)
        used.active_s += end[3] - host
        used.sums = end
