"""Who uses a replica: its GPUs' active seconds and its KV memory, by request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.step_cost import StepCost, WithLast
from sim.hardware.metering import Consumer, Part, StepUse
from sim.serving.decode_batch import NEVER
from sim.serving.tally import kv_tokens_in_batch
from sim.serving.used import Edge, Sums, Used

if TYPE_CHECKING:
    from sim.hardware.run import Run
    from sim.serving.replica import Replica
    from sim.serving.request import Request

_new = tuple.__new__  # makes a named tuple without the cost of its names


class RequestUse:
    """The meter of one replica (see `UseMeter`): accounts `prefill` and `decode`, and of memory
    also `waiting` and `calls`, for KV of requests that are not in the batch.

    Of an iteration's active seconds a decode on the GPUs takes those of reading its KV, at the
    marginal cost of a KV token; the rest goes to all tokens that the iteration computes, evenly.
    An iteration cut off goes to its requests in part. A request holds memory while it is
    prefilled or decodes, as `Tally` counts it: `held_s` is its tokens' share of the pool. One
    whose devices fail is told as unfinished, with no work.

    Nothing walks over the batch: a decode's share is the difference of sums between its leaving and
    its joining, the sums follow a run of iterations in closed form, and those at the ends of the
    meter's steps are kept.
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
        self._plain_run = replica.plain_run
        self._on_end = replica.on_end
        self.step = 0
        self._edges: list[Edge] = []
        self._ended: list[Consumer] = []
        self._sums: Sums = (0.0, 0.0, 0.0, 0.0)
        # Of all until now, what went to prefill: seconds, and KV tokens x seconds.
        self._prefill_s = self._prefill_held = 0.0
        # What had been used by the end of the last step.
        self._told = (replica.group.active_at(replica.simulation.now), 0.0, 0.0, 0.0, 0.0, 0.0)
        # Whether a run is under way that the sums do not contain, and whether it is of decodes on
        # the GPUs alone, or of one piece of a prompt and perhaps such. Of the last run that they do
        # contain, the integral of its step's number over time.
        self.open = False
        self._plain = True
        self._alone = False
        self._first_kv = 0
        self.number_s = 0.0
        # Of one of more than that: cost, decodes and their steps and context when it began; pieces
        # of prompts, the KV before each, their tokens; iterations of the first piece if it repeats,
        # and tokens of the last; decodes on the host that take part.
        self._cost = StepCost(0.0)
        self._decodes = self._steps = self._context = self._pieces = self._last = self._hosted = 0
        self._turn = NEVER
        self._chunks: Sequence[tuple[Request, int]] = ()
        self._kv: Sequence[int] = ()
        # What part of an iteration the sums contain since a run was cut.
        self._part = 0.0
        replica.tally.meter = replica.batch.meter = replica.host.meter = self
        replica.on_end = self._finish

    # Steps of the meter

    def close_step(self, now_s: float, last: bool = False) -> StepUse:
        """See `UseMeter`. Costs nothing for each request that decodes, unless this is the last."""
        replica = self._replica
        tally, run = replica.tally, replica.run
        sums, steps, part, held = self._sums, self._batch.steps, self._part, tally.kv_token_s
        each_s = prefill_s = number_s = 0.0
        if run.live:
            k, part = run.progress(now_s)
            number_s = run.step_number_s(now_s)
            self._describe_late(run)
            sums, each_s, prefill_s = self._reach(k, part, now_s - run.start_s, number_s)
            self._give(prefill_s, number_s, sums[1])
            self._take_back(each_s, sums)
            steps = self._steps + (k if self._decodes else 0)
            held += tally.held_in_run(run, now_s)
        elif replica.stands:
            lasted_s = now_s - replica._told_s
            gpu, clock_s, area, host = sums
            sums = gpu, clock_s + lasted_s, area + steps * lasted_s, host
            held += kv_tokens_in_batch(replica) * lasted_s
        for request in replica.prefilling:
            self._stand_by(request, sums[1])
        edge: Edge = (*sums, steps, part)
        if last:
            self._tell_unfinished(edge)
        waiting, calls = replica.held.area(now_s), replica.calls.held.area(now_s)
        active_s = replica.group.active_at(now_s)
        totals = active_s, self._prefill_s, held, self._prefill_held, waiting, calls
        active_s, given_s, held, prefill_held, waiting, calls = (
            now - before for now, before in zip(totals, self._told, strict=True)
        )
        capacity = self._capacity
        use = StepUse(
            {"prefill": given_s, "decode": active_s - given_s},
            {
                "prefill": prefill_held / capacity,
                "decode": (held - prefill_held) / capacity,
                "waiting": waiting / capacity,
                "calls": calls / capacity,
            },
            self._ended,
        )
        self._told = totals
        self._edges.append(edge)
        self._ended = []
        self.step += 1
        for request in replica.prefilling:
            if request._use is not None:
                request._use.turn(self.step, capacity)
        if run.live:
            # At its end the run gives all that it has to give: this is given already.
            self._give(-prefill_s, -number_s, sums[1])
            self._take_back(-each_s, sums)
        return use

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
                used.settle_host(self._edges, edge[:4], self._capacity)
            prompt = request.prompt_tokens
            if request.first_token_s < 0.0:
                prompt = min(prompt, request.kv_tokens)
            self._tell(request, prompt, request.generated_tokens, False)

    # The run

    def begin(self, decodes: int, chunks: Sequence[tuple[Request, int]], cost: StepCost) -> None:
        """A run begins that is not of decodes on the GPUs alone."""
        self._plain = False
        self._chunks = chunks
        self._alone = alone = len(chunks) == 1 and not self._replica.split
        if alone:
            self._first_kv = chunks[0][0]._kv
        else:
            self._describe(decodes, chunks, cost)

    def cut(self, run: Run, now_s: float) -> None:
        """It is over, perhaps in the middle of an iteration, which goes to its requests in part."""
        if not self.open:
            # Somebody came or went at a boundary just now.
            self.stand(now_s - self._replica._told_s)
            return
        k, self._part = run.progress(now_s)
        self._describe_late(run)
        self._settle_run(k, self._part, now_s - run.start_s, run.step_number_s(now_s))

    def stand(self, lasted_s: float) -> None:
        """The batch has stood for so long without a run."""
        gpu, clock_s, area, host = self._sums
        self._sums = gpu, clock_s + lasted_s, area + self._batch.steps * lasted_s, host

    def _describe(
        self, decodes: int, chunks: Sequence[tuple[Request, int]], cost: StepCost
    ) -> None:
        """What a run is made of."""
        replica = self._replica
        batch = self._batch
        self._cost = cost
        self._decodes = decodes
        self._steps = batch.steps
        self._context = batch.context if decodes else 0
        self._chunks = chunks
        self._pieces = replica.tally.kv_slope - decodes
        self._hosted = replica.host.taking_part
        self._turn = NEVER
        self._kv = [request._kv for request, _ in chunks]

    def _describe_late(self, run: Run) -> None:
        """The same at some time in a run, for one that is described by what it works on."""
        if not (self._plain or self._alone):
            return
        replica = self._replica
        batch = self._batch
        decodes = batch.size if replica.decodes else 0
        chunks = () if self._plain else self._chunks
        self._describe(decodes, chunks, run.cost)
        self._steps -= run.done if decodes else 0
        self._context -= run.done * decodes
        if chunks:
            ((request, tokens),) = chunks
            self._kv = (self._first_kv,)
            if replica.repeats:
                assert isinstance(run.cost, WithLast)
                self._turn = turn = run.cost.turn
                self._last = request._given + request._generated - self._first_kv - turn * tokens

    def advance(self) -> None:
        """Take in the run, all of whose iterations are done."""
        run = self._plain_run
        if not self._plain:
            if self._alone:
                self._advance_piece(run)
                return
            run = self._replica.run
            k = run.done
            self.number_s = number_s = run.step_number_s() if k > 1 else 0.0
            self._settle_run(k, 0.0, self._replica._told_s - run.start_s, number_s)
            return
        self.open = False
        batch = self._batch
        cost = run.cost
        gpu, clock_s, area, host = self._sums
        decodes = batch.size
        k = run.done
        pairs = k * (k - 1) // 2
        self.number_s = number_s = run.step_number_s() if pairs else 0.0
        lasted_s = self._replica._told_s - run.start_s
        # KV tokens that they have read: the context grew by theirs in each iteration.
        read = k * batch.context - decodes * (pairs + k)
        active_s = k * cost.active_first + pairs * cost.active_slope
        self._sums = (
            gpu + (active_s - self._per_kv_s * read) / decodes,
            clock_s + lasted_s,
            area + (batch.steps - k) * lasted_s + number_s,
            host,
        )

    def _advance_piece(self, run: Run) -> None:
        """The same for one piece of a prompt, which may repeat, alone or beside decodes: what
        `_settle_run` does, with less work, since most runs but those of decodes are such."""
        self.open = False
        self._plain = True
        gpu, clock_s, area, host = self._sums
        ((request, tokens),) = self._chunks
        replica = self._replica
        batch = self._batch
        cost = run.cost
        per_kv_s = self._per_kv_s
        kv = self._first_kv
        k = whole = run.done
        lasted_s = replica._told_s - run.start_s
        self.number_s = number_s = run.step_number_s() if k > 1 else 0.0
        clock_s += lasted_s
        last = 0
        if replica.repeats and k > cost.turn:  # type: ignore[attr-defined]
            whole = k - 1
            last = request._kv - kv - whole * tokens
        pairs = whole * (whole - 1) // 2
        active_s = whole * cost.active_first + pairs * cost.active_slope
        if replica.decodes:
            decodes = batch.size
            context = batch.context - k * decodes
            each_s = active_s - per_kv_s * (whole * context + decodes * pairs)
            each_s /= decodes + tokens
            prefill_s = each_s * tokens
            if last:
                more_s = cost.active_step(whole) - per_kv_s * (context + whole * decodes)
                more_s /= decodes + last
                each_s += more_s
                prefill_s += more_s * last
            gpu += each_s
            area += (batch.steps - k) * lasted_s + number_s
        else:
            prefill_s = active_s + cost.active_step(whole) if last else active_s
            area += batch.steps * lasted_s
        self._sums = gpu, clock_s, area, host
        used = request._use
        assert used is not None
        held = kv * (clock_s - used.since_s) + tokens * number_s
        used.active_s += prefill_s
        used.held += held
        used.since_s = clock_s
        self._prefill_s += prefill_s
        self._prefill_held += held

    def _settle_run(self, k: int, part: float, lasted_s: float, number_s: float) -> None:
        """A run is over after `k` iterations and a part of one."""
        self._sums, each_s, prefill_s = self._reach(k, part, lasted_s, number_s)
        self._give(prefill_s, number_s, self._sums[1])
        self._take_back(each_s, self._sums)
        self.open = False
        self._plain = True

    def _reach(
        self, k: int, part: float, lasted_s: float, number_s: float
    ) -> tuple[Sums, float, float]:
        """The sums after `k` iterations of a run and a part of one. Also, of the run's active
        seconds but for reading KV, what went to each token computed, and what to prefill."""
        gpu, clock_s, area, host = self._sums
        decodes, context, pieces, turn = self._decodes, self._context, self._pieces, self._turn
        others = decodes + self._hosted
        cost = self._cost
        per_kv_s = self._per_kv_s
        if k > turn:
            k, part = turn, 1.0
        read = k * context + decodes * (k * (k - 1) // 2)
        active_s = cost.active_total(k)
        each_s = (active_s - per_kv_s * read) / (others + pieces)
        prefill_s = each_s * pieces
        if part:
            if k == turn:
                pieces = self._last
            rest_s = cost.active_step(k) - per_kv_s * (context + k * decodes)
            more_s = part * rest_s / (others + pieces)
            each_s += more_s
            prefill_s += more_s * pieces
        area += self._steps * lasted_s
        if decodes:
            gpu += each_s
            area += number_s
        if self._hosted:
            host += each_s
        return (gpu, clock_s + lasted_s, area, host), each_s, prefill_s

    def _give(self, prefill_s: float, number_s: float, clock_s: float) -> None:
        """Give the pieces of prompts their active seconds, and their memory until now."""
        self._prefill_s += prefill_s
        pieces = self._pieces
        for (request, tokens), kv in zip(self._chunks, self._kv, strict=True):
            used = request._use
            assert used is not None
            held = kv * (clock_s - used.since_s) + tokens * number_s
            used.active_s += prefill_s * tokens / pieces
            used.held += held
            used.since_s = clock_s
            self._prefill_held += held

    def _take_back(self, each_s: float, sums: Sums) -> None:
        """Take from those on the host who sit out what all there get for a token."""
        if self._hosted:
            for request in self._replica.host.aside:
                used = request._use
                assert used is not None
                if used.step != self.step:
                    used.settle_host(self._edges, sums, self._capacity)
                used.active_s -= each_s

    # Requests

    def admit(self, request: Request) -> None:
        """A request begins to be prefilled, or goes on."""
        if self.open:
            self.advance()
        used = request._use
        if used is None:
            request._use = used = Used()
            used.step = self.step
        elif used.step != self.step:
            used.turn(self.step, self._capacity)
        used.since_s = self._sums[1]

    def withdraw(self, request: Request) -> None:
        """A request goes back to the queue whose prompt is not complete."""
        if self.open:
            self.advance()
        self._stand_by(request, self._sums[1])

    def join(self, request: Request) -> None:
        """A request begins to decode, on the GPUs or on the host."""
        if self.open:
            self.advance()
        used = request._use
        assert used is not None
        if used.step != self.step:
            used.turn(self.step, self._capacity)
        used.sums = self._sums

    def leave(self, request: Request) -> None:
        """A request is about to leave the batch on the GPUs."""
        if self.open:
            self.advance()
        used = request._use
        assert used is not None
        if used.step != self.step or self._part:
            self._settle(request, used, (*self._sums, self._batch.steps, self._part))
            return
        gpu, clock_s, area, _ = used.sums
        now_gpu, now_s, now_area, _ = self._sums
        kv = request._kv
        joined = request._joined
        made = self._batch.steps - joined
        read = made * (kv + 1) + made * (made - 1) // 2
        used.active_s += now_gpu - gpu + self._per_kv_s * read
        used.held += (kv - joined) * (now_s - clock_s) + now_area - area

    def leave_host(self, request: Request) -> None:
        """A request decodes on the host no more."""
        if self.open:
            self.advance()
        assert request._use is not None
        request._use.settle_host(self._edges, self._sums, self._capacity)

    def settle(self) -> None:
        """At a boundary, before something about the run is forgotten."""
        if self.open:
            self.advance()

    def lose(self, requests: Sequence[Request]) -> None:
        """The devices failed: these requests are here no more."""
        self._part = 0.0
        for request in self._replica.prefilling:
            if request._use is not None:
                self._stand_by(request, self._sums[1])
        for request in requests:
            self._tell(request, 0, 0, False)

    def _finish(self, request: Request) -> None:
        """A request has all its tokens."""
        used = request._use
        prompt, output = request.prompt_tokens, request._output_tokens
        if used is None or used.parts is not None or used.step != self.step:
            self._tell(request, prompt, output, True)
        else:
            request._use = None
            part = _new(Part, (self.step, used.active_s, used.held / self._capacity))
            told = (request.id, request.kind, (part,), prompt, output, True)
            self._ended.append(_new(Consumer, told))
        self._on_end(request)

    def _tell(self, request: Request, prompt: int, output: int, finished: bool) -> None:
        used, request._use = request._use, None
        if used is not None:
            used.turn(self.step, self._capacity)
        elif not finished:
            return
        parts = used.parts or () if used is not None else ()
        self._ended.append(Consumer(request.id, request.kind, parts, prompt, output, finished))

    def _settle(self, request: Request, used: Used, end: Edge) -> None:
        """Settle one that decodes on the GPUs."""
        kv, joined = request._kv, request._joined
        used.settle(kv, joined, self._per_kv_s, self._edges, end, self._capacity)

    def _stand_by(self, request: Request, clock_s: float) -> None:
        """Settle the memory of one that is prefilled."""
        used = request._use
        assert used is not None
        if used.step != self.step:
            used.turn(self.step, self._capacity)
        held = request._kv * (clock_s - used.since_s)
        used.held += held
        self._prefill_held += held
        used.since_s = clock_s
