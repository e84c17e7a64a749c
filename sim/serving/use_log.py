"""What a replica writes down of its runs and requests, so that who used it can be told later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from models.step_cost import WithLast
from sim.serving.decode_batch import NEVER
from sim.serving.used import RUN, Used

if TYPE_CHECKING:
    from sim.hardware.run import Run
    from sim.serving.replica import Replica
    from sim.serving.request import Request

#: Of a run: active seconds to each token computed, but for reading KV, and to prefill; seconds, and
#: the integral over them of its step's number.
Sums: TypeAlias = tuple[float, float, float, float]
#: Runs in the log at which it is settled, so that it stays short.
_MANY = 2048 * RUN
#: Kinds of runs: of decodes on the GPUs alone; of one piece of a prompt, which may repeat, and
#: perhaps such; others.
DECODES, _PIECE, _FULL = 1, 2, 3


class UseLog:
    """The log of one replica: numbers of each run of iterations, of each piece of a prompt that is
    computed alone or beside decodes, and of each stay in the batch (`Used` says which, and what
    follows from them). What is rarer is shared out on the spot: runs of other pieces, or with
    decodes on the host, or cut off in the middle of an iteration.

    Of an iteration's active seconds a decode on the GPUs takes those of reading its KV, at the
    marginal cost of a KV token without a power cap, `per_kv_s`; the rest goes evenly to all tokens
    that the iteration computes. An iteration cut off goes to its requests in part. A request holds
    memory while it is prefilled or decodes, as `Tally` counts it.

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
        self._runs: list[float] = []
        self._pieces: list[float] = []
        self._stays: list[float] = []
        self._given: list[float] = []
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
        # The one piece of a prompt that a run is of, and the KV before.
        self._piece: Sequence[tuple[Request, int]] = ()
        self._first_kv = 0
        # Of a run described in full: decodes, and the batch's steps and their context when it
        # began; tokens of the pieces; iterations of the first piece if it repeats, and tokens of
        # the last; decodes on the host that take part; who is prefilled, tokens and the KV before.
        self._decodes = self._steps = self._context = self._pieces_tokens = self._last = 0
        self._hosted = 0
        self._turn = NEVER
        self._rows: Sequence[tuple[Request, int, int]] = ()
        replica.tally.runs = batch.meter = replica.host.meter = self
        replica.on_end = self._finish

    # Runs

    def begin(self, decodes: int, chunks: Sequence[tuple[Request, int]]) -> None:
        """A run begins that is not of decodes on the GPUs alone, or not all of the batch."""
        replica = self._replica
        if len(chunks) != 1 or replica.split or len(replica.prefilling) != 1:
            self._describe(decodes, chunks)
            self.open = _FULL
            return
        self._piece = chunks
        request = chunks[0][0]
        self._first_kv = request._kv
        if request._use < 0:
            if not self.used.free:
                self._make_room()
            request._use = self.used.free.pop()
        self.open = _PIECE

    def advance(self) -> None:
        """Take in the run, all of whose iterations are done."""
        run = self._plain_run
        kind = self.open
        cost = run.cost
        if kind is _FULL or cost is not run.asked or run.drawn:
            self._advance_full()
            return
        self.open = 0
        replica = self._replica
        batch = self._batch
        decodes = batch.size
        context = batch.context
        k = run.done
        if kind is _PIECE:
            ((request, tokens),) = self._piece
            kv = self._first_kv
            last = 0
            last_s = 0.0
            if replica.repeats and k > cost.turn:  # type: ignore[attr-defined]
                last = request._kv - kv - (k - 1) * tokens
                last_s = cost.last_active  # type: ignore[attr-defined]
            self._pieces += (len(self._runs), tokens, request._use, kv, last, last_s)
            if not replica.decodes:
                decodes = context = 0
        self.number_s = number_s = run.step_number_s() if k > 1 else 0.0
        self._runs += (
            cost.active_first,
            cost.active_slope,
            k,
            decodes,
            context,
            replica._told_s - run.start_s,
            number_s,
            batch.steps,
        )

    def _advance_full(self) -> None:
        """The same for others, and where the devices' speed or power cap was not as specified."""
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
                self._given += (request._use, self._per_kv_s * read, 0.0)

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
        number_s = run.step_number_s(now_s)
        self._describe_late(run)
        active_s, lasted_s = run.used_at(now_s), now_s - run.start_s
        each_s, prefill_s = self._take(run, active_s, k, part, lasted_s, number_s)
        if not self._decodes:
            return self._steps, 0.0, (each_s, prefill_s, lasted_s, number_s)
        return self._steps + k, part, (each_s, prefill_s, lasted_s, number_s)

    def take_off(self, sums: Sums) -> None:
        """See `so_far`."""
        each_s, prefill_s, lasted_s, number_s = sums
        self._share(-each_s, -prefill_s, -lasted_s, -number_s)

    def _describe(self, decodes: int, chunks: Sequence[tuple[Request, int]]) -> None:
        """What a run is made of."""
        replica = self._replica
        batch = self._batch
        if not self.open and len(self._runs) > _MANY:
            self.settle(batch.steps, 0.0)
        self._decodes = decodes
        self._steps = batch.steps
        self._context = batch.context if decodes else 0
        self._pieces_tokens = sum([tokens for _, tokens in chunks])
        self._hosted = replica.host.taking_part
        self._turn = NEVER
        pieces = {request.id: tokens for request, tokens in chunks}
        self._rows = [(r, pieces.get(r.id, 0), r._kv) for r in replica.prefilling]
        for request in replica.prefilling:
            if request._use < 0:
                if not self.used.free:
                    self.used.grow()
                request._use = self.used.free.pop()

    def _describe_late(self, run: Run) -> None:
        """The same at some time in a run, for one that is described by what it works on."""
        if self.open == _FULL:
            return
        piece = self.open == _PIECE
        replica = self._replica
        decodes = self._batch.size if replica.decodes else 0
        self._describe(decodes, self._piece if piece else ())
        self._steps -= run.done if decodes else 0
        self._context -= run.done * decodes
        if piece:
            ((request, tokens),) = self._piece
            self._rows = ((request, tokens, self._first_kv),)
            if replica.repeats:
                assert isinstance(run.asked, WithLast)
                self._turn = turn = run.asked.turn
                whole = request._given + request._generated
                if run.done > turn:
                    whole = request._kv
                self._last = whole - self._first_kv - turn * tokens

    def _take(
        self, run: Run, active_s: float, k: int, part: float, lasted_s: float, number_s: float
    ) -> tuple[float, float]:
        """Share out `k` iterations of a run and a part of one. Returns what went to each token
        computed but for reading KV, and to prefill."""
        decodes, context, pieces, turn = (
            self._decodes,
            self._context,
            self._pieces_tokens,
            self._turn,
        )
        others = decodes + self._hosted
        last_s = 0.0
        if k >= turn:
            last_s = active_s - run.used_in(turn)
        if k > turn:
            k, part = turn, 1.0
        read: float = k * context + decodes * (k * (k - 1) // 2)
        read_last = part * (context + k * decodes)
        if k < turn:
            read, read_last = read + read_last, 0.0
        each_s = (active_s - last_s - self._per_kv_s * read) / (others + pieces)
        prefill_s = each_s * pieces
        if last_s:
            more_s = (last_s - self._per_kv_s * read_last) / (others + self._last)
            each_s += more_s
            prefill_s += more_s * self._last
        self._share(each_s, prefill_s, lasted_s, number_s)
        return each_s, prefill_s

    def _share(self, each_s: float, prefill_s: float, lasted_s: float, number_s: float) -> None:
        if self._decodes:
            self._write(each_s, lasted_s, number_s, self._steps)
        else:
            self._write(0.0, lasted_s, 0.0, self._steps)
        pieces = self._pieces_tokens
        for request, tokens, kv in self._rows:
            share_s = prefill_s * tokens / pieces if tokens else 0.0
            self._give_piece(request, share_s, kv * lasted_s + tokens * number_s)
        if self._hosted:
            # Those who sit out get what all on the host get for a token: take it back.
            self._host_s += each_s
            for request in self._replica.host.aside:
                self._given += (request._use, -each_s, 0.0)

    def _write(self, each_s: float, lasted_s: float, number_s: float, steps: int) -> None:
        """Write down a run as what it gives to each decode."""
        self._runs += (each_s, 0.0, 1, 1, 1, lasted_s, number_s, steps + 1)

    def _give_piece(self, request: Request, active_s: float, held: float) -> None:
        self._given += (request._use, active_s, held)
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
        self._stays += (
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
        self._given += (request._use, self._host_s - request._since, 0.0)

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

    def _make_room(self) -> None:
        """No slot is free, between two runs: settle who has ended, if there are many."""
        if len(self._runs) > _MANY:
            self.settle(self._batch.steps, 0.0)
        if not self.used.free:
            self.used.grow()

    def settle(self, steps: int, part: float) -> None:
        """Share out all that is in the log, and begin another, where the batch has made so many
        steps and a part of one."""
        stays, given = self._stays, self._given
        end = len(self._runs)
        per_kv_s = self._per_kv_s
        carried: list[float] = []
        for request in self._batch:
            kv, joined, slot = request._kv, request._joined, request._use
            stays += (request._since, end, kv, joined, steps, slot)
            made = steps - joined
            read: float = made * (kv + 1) + made * (made - 1) // 2
            if part:
                given += (slot, per_kv_s * part * (kv + 1 + made), 0.0)
                read += part * (kv + 1 + made)
            # Its stay will be told with all that it has read since it joined.
            carried += (slot, -per_kv_s * read, 0.0)
            request._since = 0
        for request in self._replica.host:
            given += (request._use, self._host_s - request._since, 0.0)
            request._since = 0.0
        self._host_s = 0.0
        self.used.settle(self._runs, self._pieces, stays, given, self._steps_before)
        for log in (self._runs, self._pieces, stays, given):
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
