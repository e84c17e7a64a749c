"""What a replica writes down of its runs and requests, so that who used it can be told later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from models.step_cost import WithLast
from sim.serving.decode_batch import NEVER
from sim.serving.used import EASED, GIVEN, PIECE, RUN, STAY, Used

if TYPE_CHECKING:
    from sim.hardware.run import Run
    from sim.serving.replica import Replica
    from sim.serving.request import Request

#: Of a run: active seconds to each token computed, but for reading KV, and to prefill; seconds, and
#: the integral over them of its step's number; steps that power caps have saved the paying of, and
#: the sum of their numbers.
Sums: TypeAlias = tuple[float, float, float, float, float, float]
#: Length of the log of runs at which it is settled, so that it stays short.
_MANY = 1024 * RUN.size
#: Kinds of runs: of decodes on the GPUs alone; of pieces of prompts, and perhaps such; others.
DECODES, _PIECES, _FULL = 1, 2, 3

_run, _piece, _stay, _given, _eased = RUN.pack, PIECE.pack, STAY.pack, GIVEN.pack, EASED.pack


class UseLog:
    """The log of one replica: numbers of each run of iterations, of each piece of a prompt that is
    computed alone or beside decodes, and of each stay in the batch (`Used` says which, and what
    follows from them). What is rarer is shared out on the spot: runs with decodes on the host,
    under a power cap, or cut off in the middle of an iteration.

    Of an iteration's active seconds a decode on the GPUs takes those of reading its KV, at the
    marginal cost of a KV token, `per_kv_s`; the rest goes evenly to all tokens that the iteration
    computes. Under a power cap, and where it is cut off, an iteration goes to its requests in the
    same parts. A request holds memory while it is prefilled or decodes, as `Tally` counts it.

    A run is written down once, at its end, before anybody comes or goes at that boundary. `open`:
    the kind of one under way, or 0. `number_s`: of the last one, the integral of its step's number
    over time.
    """

    def __init__(self, replica: Replica) -> None:
        cost = replica.cost
        tokens = replica.pool.total_blocks * replica.batch.block_tokens
        # No more than leaves the iteration something for the rest, where cost grows ever slower.
        self._per_kv_s = min(
            cost.step(1, 1, (), 1).active_slope, cost.step(1, tokens, (), 1).active_first / tokens
        )
        self.used = Used(self._per_kv_s, tokens)
        self.open = 0
        self.number_s = 0.0
        # Packed, since millions of numbers that live on would push all else out of the cache.
        self._runs = bytearray()
        self._pieces = bytearray()
        self._stays = bytearray()
        self._given = bytearray()
        self._eased = bytearray()
        # Slot, id and kind of those that have all their tokens, and of others told.
        self._done: list[Any] = []
        self._undone: list[Any] = []
        # Active seconds for each token in which decodes on the host took part.
        self._host_s = 0.0
        self._replica = replica
        self._batch = batch = replica.batch
        self._steps_before = batch.steps
        self._plain_run = replica.plain_run
        self._on_end = replica.on_end
        # Who is prefilled in a run, tokens and the KV before.
        self._rows: Sequence[tuple[Request, int, int]] = ()
        # Of a run described in full: decodes, and the batch's steps and their context when it
        # began; tokens of the pieces; iterations of the first piece if it repeats, and tokens of
        # the last; decodes on the host that take part.
        self._decodes = self._steps = self._context = self._pieces_tokens = self._last = 0
        self._hosted = 0
        self._turn = NEVER
        replica.tally.runs = batch.meter = replica.host.meter = self
        replica.on_end = self._finish

    # Runs

    def begin(self, decodes: int, chunks: Sequence[tuple[Request, int]]) -> None:
        """A run begins that is not of decodes on the GPUs alone, or not all of the batch."""
        replica = self._replica
        prefilling = replica.prefilling
        if len(chunks) == 1 and len(prefilling) == 1:
            ((request, tokens),) = chunks
            self._rows = ((request, tokens, request._kv),)
            if request._use < 0:
                request._use = self._slot()
        else:
            pieces = {request.id: tokens for request, tokens in chunks}
            self._rows = [(r, pieces.get(r.id, 0), r._kv) for r in prefilling]
            for request in prefilling:
                if request._use < 0:
                    request._use = self._slot()
        if replica.split:
            self._describe(decodes, self._batch.steps, self._batch.context)
            self.open = _FULL
        else:
            self.open = _PIECES

    def advance(self) -> None:
        """Take in the run, all of whose iterations are done."""
        run = self._plain_run
        cost = run.cost
        if self.open is not DECODES or cost is not run.asked or run.drawn:
            self._advance_other()
            return
        self.open = 0
        batch = self._batch
        k = run.done
        self.number_s = number_s = run.step_number_s() if k > 1 else 0.0
        self._runs += _run(
            cost.active_first,
            cost.active_slope,
            k,
            batch.size,
            batch.context,
            self._replica._told_s - run.start_s,
            number_s,
            batch.steps,
        )

    def _advance_other(self) -> None:
        """The same where prompts are in it."""
        run = self._plain_run
        cost = run.cost
        if self.open is _FULL or cost is not run.asked or run.drawn:
            self._advance_full()
            return
        self.open = 0
        replica = self._replica
        batch = self._batch
        k = run.done
        at = len(self._runs)
        repeated = replica.repeats and k > cost.turn  # type: ignore[attr-defined]
        for request, tokens, kv in self._rows:
            last = 0
            last_s = 0.0
            if repeated and tokens:
                last = request._kv - kv - (k - 1) * tokens
                last_s = cost.last_active  # type: ignore[attr-defined]
            self._pieces += _piece(at, tokens, request._use, kv, last, last_s)
        self.number_s = number_s = run.step_number_s() if k > 1 else 0.0
        self._runs += _run(
            cost.active_first,
            cost.active_slope,
            k,
            batch.size if replica.decodes else 0,
            batch.context if replica.decodes else 0,
            replica._told_s - run.start_s,
            number_s,
            batch.steps,
        )

    def _advance_full(self) -> None:
        """The same with decodes on the host, and where the devices have or had a power cap."""
        run = self._replica.run
        self._describe_late(run)
        self.open = 0
        k = run.done
        self.number_s = number_s = run.step_number_s() if k > 1 else 0.0
        self._take(run, run.used_at(), k, 0.0, self._replica._told_s - run.start_s, number_s)

    def cut(self, run: Run, now_s: float) -> None:
        """It is over, perhaps in the middle of an iteration, which goes to its requests in part."""
        if not self.open:
            # Somebody came or went at a boundary just now.
            self.stand(now_s - self._replica._told_s)
            return
        k, part = run.progress(now_s)
        self._describe_late(run)
        self.open = 0
        lasted_s, number_s = now_s - run.start_s, run.step_number_s(now_s)
        self._take(run, run.used_at(now_s), k, part, lasted_s, number_s)
        if self._decodes and part:
            # Their stays will be told by whole steps.
            for request in self._batch:
                read = part * (request._kv + 1 + self._batch.steps - request._joined)
                self._given += _given(request._use, self._per_kv_s * read, 0.0)

    def stand(self, lasted_s: float) -> None:
        """The batch has stood for so long without a run."""
        if len(self._runs) > _MANY:
            self.settle(self._batch.steps, 0.0)
        self._write(0.0, lasted_s, 0.0, self._batch.steps)
        for request in self._replica.prefilling:
            if request._kv:
                self._give_piece(request, 0.0, request._kv * lasted_s)

    def so_far(self, run: Run, now_s: float) -> tuple[int, float, Sums]:
        """Take in a run under way until this moment. Returns the batch's steps and the part of
        one by now, and what is to be taken off at the start of another log, since at its end the
        run gives all that it has to give."""
        k, part = run.progress(now_s)
        self._describe_late(run)
        active_s, lasted_s = run.used_at(now_s), now_s - run.start_s
        sums = self._take(run, active_s, k, part, lasted_s, run.step_number_s(now_s))
        if not self._decodes:
            return self._steps, 0.0, sums
        return self._steps + k, part, sums

    def take_off(self, sums: Sums) -> None:
        """See `so_far`."""
        a, b, c, d, e, f = sums
        self._share((-a, -b, -c, -d, -e, -f))

    def _describe(self, decodes: int, steps: int, context: int) -> None:
        """What a run is made of, and where the batch stood when it began."""
        self._decodes = decodes
        self._steps = steps
        self._context = context if decodes else 0
        self._pieces_tokens = sum([tokens for _, tokens, _ in self._rows])
        self._hosted = self._replica.host.taking_part
        self._turn = NEVER

    def _describe_late(self, run: Run) -> None:
        """The same at some time in a run, for one that is described by what it works on."""
        kind = self.open
        if kind == _FULL:
            return
        if kind == DECODES:
            self._rows = ()
        replica = self._replica
        batch = self._batch
        decodes = batch.size if replica.decodes else 0
        done = run.done if decodes else 0
        self._describe(decodes, batch.steps - done, batch.context - done * decodes)
        if self._rows and replica.repeats:
            assert isinstance(run.asked, WithLast)
            self._turn = turn = run.asked.turn
            ((request, tokens, kv),) = [row for row in self._rows if row[1]]
            whole = request._given + request._generated
            if run.done > turn:
                whole = request._kv
            self._last = whole - kv - turn * tokens

    def _take(
        self, run: Run, active_s: float, k: int, part: float, lasted_s: float, number_s: float
    ) -> Sums:
        """Share out `k` iterations of a run and a part of one."""
        decodes, context, pieces, turn = (
            self._decodes,
            self._context,
            self._pieces_tokens,
            self._turn,
        )
        others = decodes + self._hosted
        paid, numbers = run.paid(k, part, active_s)
        read = paid * context + numbers * decodes
        read_last = last_s = 0.0
        if k >= turn:
            until_s = run.used_in(turn)
            last_s = active_s - until_s
            before, numbers_before = run.paid(turn, 0.0, until_s)
            read_last = (paid - before) * context + (numbers - numbers_before) * decodes
        each_s = (active_s - last_s - self._per_kv_s * (read - read_last)) / (others + pieces)
        prefill_s = each_s * pieces
        if last_s:
            more_s = (last_s - self._per_kv_s * read_last) / (others + self._last)
            each_s += more_s
            prefill_s += more_s * self._last
        saved = k + part - paid, k * (k - 1) // 2 + k * part - numbers
        sums = each_s, prefill_s, lasted_s, number_s, *saved
        self._share(sums)
        return sums

    def _share(self, sums: Sums) -> None:
        each_s, prefill_s, lasted_s, number_s, saved, numbers = sums
        steps = self._steps
        if self._decodes:
            if saved or numbers:
                before = steps - self._steps_before
                self._eased += _eased(len(self._runs), saved, before * saved + numbers)
            self._write(each_s, lasted_s, number_s, steps)
        else:
            self._write(0.0, lasted_s, 0.0, steps)
        pieces = self._pieces_tokens
        for request, tokens, kv in self._rows:
            share_s = prefill_s * tokens / pieces if tokens else 0.0
            self._give_piece(request, share_s, kv * lasted_s + tokens * number_s)
        if self._hosted:
            # Those who sit out get what all on the host get for a token: take it back.
            self._host_s += each_s
            for request in self._replica.host.aside:
                self._given += _given(request._use, -each_s, 0.0)

    def _write(self, each_s: float, lasted_s: float, number_s: float, steps: int) -> None:
        """Write down a run as what it gives to each decode."""
        self._runs += _run(each_s, 0.0, 1, 1, 1, lasted_s, number_s, steps + 1)

    def _give_piece(self, request: Request, active_s: float, held: float) -> None:
        self._given += _given(request._use, active_s, held)
        self.used.prefill_s += active_s
        self.used.prefill_held += held

    # Requests

    def join(self, request: Request) -> None:
        """A request begins to decode on the GPUs."""
        if self.open:
            self.advance()
        request._since = len(self._runs)

    def leave(self, request: Request) -> None:
        """A request is about to leave the batch on the GPUs."""
        if self.open:
            self.advance()
        self._stays += _stay(
            request._since,
            len(self._runs),
            request._kv,
            request._joined,
            self._batch.steps,
            request._use,
        )

    def join_host(self, request: Request) -> None:
        """A request begins to decode on the host."""
        if self.open:
            self.advance()
        request._since = self._host_s

    def leave_host(self, request: Request) -> None:
        """A request decodes on the host no more."""
        if self.open:
            self.advance()
        self._given += _given(request._use, self._host_s - request._since, 0.0)

    def lose(self, requests: Sequence[Request]) -> None:
        """The devices failed: these requests are here no more."""
        for request in requests:
            self.tell(request)

    def tell(self, request: Request) -> None:
        """A request has used what it has, and did not finish."""
        if request._use >= 0:
            self._undone += (request._use, request.id, request.kind)
            request._use = -1

    def _finish(self, request: Request) -> None:
        """A request has all its tokens."""
        self._done += (request._use, request.id, request.kind)
        self._on_end(request)

    # Settling

    def _slot(self) -> int:
        """A free slot; between two runs."""
        used = self.used
        if not used.free:
            # Who has ended has one until that is settled: do so, if there are many.
            if len(self._runs) > _MANY:
                self.settle(self._batch.steps, 0.0)
            if not used.free:
                used.grow()
        return used.free.pop()

    def settle(self, steps: int, part: float) -> None:
        """Share out all that is in the log, and begin another, where the batch has made so many
        steps and a part of one."""
        stays, given = self._stays, self._given
        end = len(self._runs)
        per_kv_s = self._per_kv_s
        carried = bytearray()
        for request in self._batch:
            kv, joined, slot = request._kv, request._joined, request._use
            stays += _stay(request._since, end, kv, joined, steps, slot)
            made = steps - joined
            read: float = made * (kv + 1) + made * (made - 1) // 2
            if part:
                given += _given(slot, per_kv_s * part * (kv + 1 + made), 0.0)
                read += part * (kv + 1 + made)
            # Its stay will be told with all that it has read since it joined.
            carried += _given(slot, -per_kv_s * read, 0.0)
            request._since = 0
        for request in self._replica.host:
            given += _given(request._use, self._host_s - request._since, 0.0)
            request._since = 0.0
        self._host_s = 0.0
        logs = self._runs, self._pieces, stays, given, self._eased
        self.used.settle(*logs, self._steps_before)
        for log in logs:
            log.clear()
        given += carried
        self._steps_before = steps
        self.tell_ended()

    def tell_ended(self) -> None:
        for ended, finished in ((self._done, True), (self._undone, False)):
            if ended:
                slots, ids, kinds = (ended[i::3] for i in range(3))
                self.used.end(slots, ids, kinds, finished)
                ended.clear()
