"""Who uses a replica: its GPUs' active seconds and its KV memory, by request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.hardware.metering import Consumer, Part, StepUse
from sim.serving.tally import kv_tokens_in_batch
from sim.serving.use_of_runs import RunUse
from sim.serving.used import Edge, Used

if TYPE_CHECKING:
    from sim.serving.replica import Replica
    from sim.serving.request import Request

_new = tuple.__new__  # makes a named tuple without the cost of its names


class RequestUse:
    """The meter of one replica (see `UseMeter`): accounts `prefill` and `decode`, and of memory
    also `waiting` and `calls`, for KV of requests that are not in the batch.

    How active seconds are shared, `RunUse` says. A request holds memory while it is prefilled or
    decodes, as `Tally` counts it: `held_s` is its tokens' share of the pool. One whose devices fail
    is told as unfinished, with no work.

    Nothing walks over the batch: a decode's share is the difference of sums between its leaving and
    its joining, over those kept at the ends of the meter's steps.
    """

    def __init__(self, replica: Replica) -> None:
        self.step = 0
        self._replica = replica
        self._batch = replica.batch
        self._on_end = replica.on_end
        self._ended: list[Consumer] = []
        # What had been used by the end of the last step.
        self._told = (replica.group.active_at(replica.simulation.now), 0.0, 0.0, 0.0, 0.0, 0.0)
        self._runs = replica.tally.runs = RunUse(replica)
        replica.batch.meter = replica.host.meter = self
        replica.on_end = self._finish

    # Steps of the meter

    def close_step(self, now_s: float, last: bool = False) -> StepUse:
        """See `UseMeter`. Costs nothing for each request that decodes, unless this is the last."""
        replica = self._replica
        tally, run = replica.tally, replica.run
        runs, held = self._runs, tally.kv_token_s
        if run.live:
            edge = runs.so_far(run, now_s)
            held += tally.held_in_run(run, now_s)
        else:
            gpu, clock_s, area, host = runs.sums
            steps = self._batch.steps
            if replica._planned is not None:
                lasted_s = now_s - replica._told_s
                clock_s += lasted_s
                area += steps * lasted_s
                held += kv_tokens_in_batch(replica) * lasted_s
            edge = gpu, clock_s, area, host, steps, runs.part
        for request in replica.prefilling:
            self._stand_by(request, edge[1])
        if last:
            self._tell_unfinished(edge)
        waiting, calls = replica.held.area(now_s), replica.calls.held.area(now_s)
        active_s = replica.group.active_at(now_s)
        totals = active_s, runs.prefill_s, held, runs.prefill_held, waiting, calls
        active_s, given_s, held, prefill_held, waiting, calls = (
            now - before for now, before in zip(totals, self._told, strict=True)
        )
        capacity = runs.capacity
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
        runs.edges.append(edge)
        self._ended = []
        self.step += 1
        for request in replica.prefilling:
            if request._use is not None:
                request._use.turn(self.step, capacity)
        if run.live and not last:
            runs.go_on(edge)
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
                used.settle_host(self._runs.edges, edge[:4], self._runs.capacity)
            prompt = request.prompt_tokens
            if request.first_token_s < 0.0:
                prompt = min(prompt, request.kv_tokens)
            self._tell(request, prompt, request.generated_tokens, False)

    # Requests

    def admit(self, request: Request) -> None:
        """A request begins to be prefilled, or goes on."""
        runs = self._runs
        if runs.open:
            runs.advance()
        used = request._use
        if used is None:
            request._use = used = Used()
            used.step = self.step
        elif used.step != self.step:
            used.turn(self.step, self._runs.capacity)
        used.since_s = runs.sums[1]

    def withdraw(self, request: Request) -> None:
        """A request goes back to the queue whose prompt is not complete."""
        runs = self._runs
        if runs.open:
            runs.advance()
        self._stand_by(request, runs.sums[1])

    def join(self, request: Request) -> None:
        """A request begins to decode, on the GPUs or on the host."""
        runs = self._runs
        if runs.open:
            runs.advance()
        used = request._use
        assert used is not None
        if used.step != self.step:
            used.turn(self.step, self._runs.capacity)
        used.sums = runs.sums

    def leave(self, request: Request) -> None:
        """A request is about to leave the batch on the GPUs."""
        runs = self._runs
        if runs.open:
            runs.advance()
        used = request._use
        assert used is not None
        if used.step != self.step or runs.part:
            self._settle(request, used, (*runs.sums, self._batch.steps, runs.part))
            return
        gpu, clock_s, area, _ = used.sums
        now_gpu, now_s, now_area, _ = runs.sums
        kv = request._kv
        joined = request._joined
        made = self._batch.steps - joined
        read = made * (kv + 1) + made * (made - 1) // 2
        used.active_s += now_gpu - gpu + self._runs.per_kv_s * read
        used.held += (kv - joined) * (now_s - clock_s) + now_area - area

    def leave_host(self, request: Request) -> None:
        """A request decodes on the host no more."""
        runs = self._runs
        if runs.open:
            runs.advance()
        assert request._use is not None
        request._use.settle_host(self._runs.edges, runs.sums, self._runs.capacity)

    def lose(self, requests: Sequence[Request]) -> None:
        """The devices failed: these requests are here no more."""
        runs = self._runs
        runs.part = 0.0
        for request in self._replica.prefilling:
            if request._use is not None:
                self._stand_by(request, runs.sums[1])
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
            part = _new(Part, (self.step, used.active_s, used.held / self._runs.capacity))
            told = (request.id, request.kind, (part,), prompt, output, True)
            self._ended.append(_new(Consumer, told))
        self._on_end(request)

    def _tell(self, request: Request, prompt: int, output: int, finished: bool) -> None:
        used, request._use = request._use, None
        if used is not None:
            used.turn(self.step, self._runs.capacity)
        elif not finished:
            return
        parts = used.parts or () if used is not None else ()
        self._ended.append(Consumer(request.id, request.kind, parts, prompt, output, finished))

    def _settle(self, request: Request, used: Used, end: Edge) -> None:
        """Settle one that decodes on the GPUs."""
        kv, joined = request._kv, request._joined
        used.settle(kv, joined, self._runs.per_kv_s, self._runs.edges, end, self._runs.capacity)

    def _stand_by(self, request: Request, clock_s: float) -> None:
        """Settle the memory of one that is prefilled."""
        used = request._use
        assert used is not None
        if used.step != self.step:
            used.turn(self.step, self._runs.capacity)
        held = request._kv * (clock_s - used.since_s)
        used.held += held
        self._runs.prefill_held += held
        used.since_s = clock_s
