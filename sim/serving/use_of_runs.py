"""What runs of iterations give to the requests in them: sums, and shares of pieces of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.step_cost import WithLast
from sim.serving.decode_batch import NEVER
from sim.serving.used import Edge, Sums

if TYPE_CHECKING:
    from sim.hardware.run import Run
    from sim.serving.replica import Replica
    from sim.serving.request import Request


class RunUse:
    """The sums of one replica, from whose differences follows what a decode has used.

    Of an iteration's active seconds a decode on the GPUs takes those of reading its KV, at the
    marginal cost of a KV token, `per_kv_s`; the rest goes evenly to all tokens that the iteration
    computes. An iteration cut off goes to its requests in part.

    A run is taken in once, at its end, before anybody comes or goes at that boundary, and in closed
    form. `open`: whether one is under way that the sums do not contain. `number_s`: of the last one
    that they do, the integral of its step's number over time. `part`: what part of an iteration
    they contain since a run was cut. `prefill_s`, `prefill_held`: what has gone to prefill, seconds
    and KV tokens x seconds. `edges`: the sums at the ends of the meter's steps. `capacity`: tokens
    of the pool.
    """

    def __init__(self, replica: Replica) -> None:
        cost = replica.cost
        self.capacity = tokens = replica.pool.total_blocks * replica.batch.block_tokens
        # No more than leaves the iteration something for the rest, where cost grows ever slower.
        self.per_kv_s = min(
            cost.step(1, 1, (), 1).active_slope, cost.step(1, tokens, (), 1).active_first / tokens
        )
        self.open = False
        self.number_s = 0.0
        self.part = 0.0
        self.sums: Sums = (0.0, 0.0, 0.0, 0.0)
        self.prefill_s = self.prefill_held = 0.0
        self.edges: list[Edge] = []
        self._replica = replica
        self._batch = replica.batch
        self._plain_run = replica.plain_run
        # Whether the run is of decodes on the GPUs alone, or of one piece of a prompt, which may
        # repeat, and perhaps such; that piece, or all, and the KV before.
        self._plain = True
        self._alone = False
        self._chunks: Sequence[tuple[Request, int]] = ()
        self._first_kv = 0
        # Of a run described in full: decodes and their steps and context when it began;
        # tokens of the pieces, the KV before each; iterations of the first piece if it repeats, and
        # tokens of the last; decodes on the host that take part.
        self._decodes = self._steps = self._context = self._pieces = self._last = self._hosted = 0
        self._turn = NEVER
        self._kv: Sequence[int] = ()
        # For each token, to prefill, and the number's integral, until the last `so_far`.
        self._given = (0.0, 0.0, 0.0)

    def begin(self, decodes: int, chunks: Sequence[tuple[Request, int]]) -> None:
        """A run begins that is not of decodes on the GPUs alone."""
        self._plain = False
        self._chunks = chunks
        self._alone = alone = len(chunks) == 1 and not self._replica.split
        if alone:
            self._first_kv = chunks[0][0]._kv
        else:
            self._describe(decodes, chunks)

    def cut(self, run: Run, now_s: float) -> None:
        """It is over, perhaps in the middle of an iteration, which goes to its requests in part."""
        if not self.open:
            # Somebody came or went at a boundary just now.
            self.stand(now_s - self._replica._told_s)
            return
        k, self.part = run.progress(now_s)
        self._describe_late(run)
        lasted_s, number_s = now_s - run.start_s, run.step_number_s(now_s)
        self._settle_run(run, run.used_at(now_s), k, self.part, lasted_s, number_s)

    def stand(self, lasted_s: float) -> None:
        """The batch has stood for so long without a run."""
        gpu, clock_s, area, host = self.sums
        self.sums = gpu, clock_s + lasted_s, area + self._batch.steps * lasted_s, host

    def so_far(self, run: Run, now_s: float) -> Edge:
        """Settle pieces of prompts, and those who sit out, until this moment of a run. Returns
        the sums now."""
        k, part = run.progress(now_s)
        number_s = run.step_number_s(now_s)
        self._describe_late(run)
        active_s, lasted_s = run.used_at(now_s), now_s - run.start_s
        sums, each_s, prefill_s = self._reach(run, active_s, k, part, lasted_s, number_s)
        self._give(prefill_s, number_s, sums[1])
        self._take_back(each_s, sums)
        steps = self._steps + (k if self._decodes else 0)
        self._given = each_s, prefill_s, number_s
        return (*sums, steps, part)

    def go_on(self, edge: Edge) -> None:
        """Another step of the meter begins in a run. Since at its end the run gives all that it
        has to give, take off now what it has given already."""
        each_s, prefill_s, number_s = self._given
        self._give(-prefill_s, -number_s, edge[1])
        self._take_back(-each_s, edge[:4])

    def _describe(self, decodes: int, chunks: Sequence[tuple[Request, int]]) -> None:
        """What a run is made of."""
        replica = self._replica
        batch = self._batch
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
        self._describe(decodes, chunks)
        self._steps -= run.done if decodes else 0
        self._context -= run.done * decodes
        if chunks:
            ((request, tokens),) = chunks
            self._kv = (self._first_kv,)
            if replica.repeats:
                assert isinstance(run.asked, WithLast)
                self._turn = turn = run.asked.turn
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
            lasted_s = self._replica._told_s - run.start_s
            self._settle_run(run, run.used_at(), k, 0.0, lasted_s, number_s)
            return
        self.open = False
        batch = self._batch
        gpu, clock_s, area, host = self.sums
        decodes = batch.size
        k = run.done
        pairs = k * (k - 1) // 2
        self.number_s = number_s = run.step_number_s() if pairs else 0.0
        lasted_s = self._replica._told_s - run.start_s
        # KV tokens that they have read: the context grew by theirs in each iteration.
        read = k * batch.context - decodes * (pairs + k)
        active_s = run.used_at()
        self.sums = (
            gpu + (active_s - self.per_kv_s * read) / decodes,
            clock_s + lasted_s,
            area + (batch.steps - k) * lasted_s + number_s,
            host,
        )

    def _advance_piece(self, run: Run) -> None:
        """The same for one piece of a prompt, which may repeat, alone or beside decodes: what
        `_settle_run` does, with less work, since most runs but those of decodes are such."""
        self.open = False
        self._plain = True
        gpu, clock_s, area, host = self.sums
        ((request, tokens),) = self._chunks
        replica = self._replica
        batch = self._batch
        per_kv_s = self.per_kv_s
        kv = self._first_kv
        k = whole = run.done
        lasted_s = replica._told_s - run.start_s
        self.number_s = number_s = run.step_number_s() if k > 1 else 0.0
        clock_s += lasted_s
        last = 0
        active_s = run.used_at()
        last_s = 0.0
        if replica.repeats and k > run.asked.turn:  # type: ignore[attr-defined]
            whole = k - 1
            last = request._kv - kv - whole * tokens
            last_s = run.cost.active_step(whole)
            active_s -= last_s
        pairs = whole * (whole - 1) // 2
        if replica.decodes:
            decodes = batch.size
            context = batch.context - k * decodes
            each_s = active_s - per_kv_s * (whole * context + decodes * pairs)
            each_s /= decodes + tokens
            prefill_s = each_s * tokens
            if last:
                more_s = last_s - per_kv_s * (context + whole * decodes)
                more_s /= decodes + last
                each_s += more_s
                prefill_s += more_s * last
            gpu += each_s
            area += (batch.steps - k) * lasted_s + number_s
        else:
            prefill_s = active_s + last_s
            area += batch.steps * lasted_s
        self.sums = gpu, clock_s, area, host
        used = request._use
        assert used is not None
        held = kv * (clock_s - used.since_s) + tokens * number_s
        used.active_s += prefill_s
        used.held += held
        used.since_s = clock_s
        self.prefill_s += prefill_s
        self.prefill_held += held

    def _settle_run(
        self, run: Run, active_s: float, k: int, part: float, lasted_s: float, number_s: float
    ) -> None:
        """A run is over after `k` iterations and a part of one."""
        self.sums, each_s, prefill_s = self._reach(run, active_s, k, part, lasted_s, number_s)
        self._give(prefill_s, number_s, self.sums[1])
        self._take_back(each_s, self.sums)
        self.open = False
        self._plain = True

    def _reach(
        self, run: Run, active_s: float, k: int, part: float, lasted_s: float, number_s: float
    ) -> tuple[Sums, float, float]:
        """The sums after `k` iterations of a run and a part of one, which came to `active_s`. Also,
        of these but for reading KV, what went to each token computed, and what to prefill."""
        gpu, clock_s, area, host = self.sums
        decodes, context, pieces, turn = self._decodes, self._context, self._pieces, self._turn
        others = decodes + self._hosted
        last_s = 0.0
        if k >= turn:
            last_s = (part if k == turn else 1.0) * run.cost.active_step(turn)
        if k > turn:
            k, part = turn, 1.0
        read: float = k * context + decodes * (k * (k - 1) // 2)
        read_last = part * (context + k * decodes)
        if k < turn:
            read, read_last = read + read_last, 0.0
        each_s = (active_s - last_s - self.per_kv_s * read) / (others + pieces)
        prefill_s = each_s * pieces
        if last_s:
            more_s = (last_s - self.per_kv_s * read_last) / (others + self._last)
            each_s += more_s
            prefill_s += more_s * self._last
        area += self._steps * lasted_s
        if decodes:
            gpu += each_s
            area += number_s
        if self._hosted:
            host += each_s
        return (gpu, clock_s + lasted_s, area, host), each_s, prefill_s

    def _give(self, prefill_s: float, number_s: float, clock_s: float) -> None:
        """Give the pieces of prompts their active seconds, and their memory until now."""
        self.prefill_s += prefill_s
        pieces = self._pieces
        for (request, tokens), kv in zip(self._chunks, self._kv, strict=True):
            used = request._use
            assert used is not None
            held = kv * (clock_s - used.since_s) + tokens * number_s
            used.active_s += prefill_s * tokens / pieces
            used.held += held
            used.since_s = clock_s
            self.prefill_held += held

    def _take_back(self, each_s: float, sums: Sums) -> None:
        """Take from those on the host who sit out what all there get for a token."""
        if self._hosted:
            for request in self._replica.host.aside:
                used = request._use
                assert used is not None
                if used.step != len(self.edges):
                    used.settle_host(self.edges, sums, self.capacity)
                used.active_s -= each_s
