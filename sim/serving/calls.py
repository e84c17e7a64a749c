"""Requests of one replica that wait for tool calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from policies.tools.contract import Handling, Tools
from sim.core.environment import Alarm
from sim.core.errors import ConfigError, LawBroken
from sim.core.level import Level
from sim.serving.facts import CallBegan, CallEnded, CallSwapped
from sim.serving.request import Request

if TYPE_CHECKING:
    from sim.serving.replica import Replica


class Calls:
    """Pauses requests for their calls, and does with their KV what the tools policy says.

    Swaps for calls move behind the iterations at the pace of the link (InferCept's budget: what
    moves while an iteration lasts is free); the blocks are free at the first boundary after the
    last byte has left. At the return swapped KV comes back the same way where blocks are free, and
    otherwise when the request is admitted, which then waits for it. Memory changes at boundaries
    alone. `paused`: those in a call, by id; `fetched`: those whose KV is on its way back. `held`:
    KV tokens on the GPUs of both. `handled`: calls that have returned by what became of the KV
    (those after the last token left out).
    """

    def __init__(self, replica: Replica, tools: Tools | None) -> None:
        self._policy = tools
        self.paused: dict[int, Request] = {}
        self.fetched: dict[int, Request] = {}
        self.held = Level(replica.simulation.now)
        self.swapping_tokens = 0
        # Whether there may be anything to review.
        self.any = False
        self.handled = {"preserve": 0, "discard": 0, "swap": 0}
        self.on_return: Callable[[Request], None]
        # Those whose KV has left, and those swapped whose call has returned, since the last
        # boundary.
        self._gone: list[Request] = []
        self._returned: list[Request] = []
        self._replica = replica
        self._env = replica.simulation.env
        self._facts = replica.simulation.facts
        # Wakes the replica when the policy may have to let somebody go.
        self._alarm = Alarm(self._env, self._look)

    def foresee(self, request: Request) -> None:
        """Ask how the next call of a request that has come, or come back, will be handled."""
        if not request._fresh:
            return
        request._fresh = False
        left = request._calls[request._call :]
        if left and left[0].after_tokens < request._output_tokens:
            now = self._env.now
            request.handling = self.tools.foresee(request, self._replica.view, now)
        else:
            request.handling = None

    def rank(self, request: Request, now_s: float) -> float:
        """What the ordering says of one that waits; but where nobody is displaced, a request back
        from a call with its KV on the GPUs runs on, before all that need memory first (InferCept,
        LAMPS)."""
        replica = self._replica
        if request.blocks and request._call and not replica.ordering.preemptive:
            return -inf
        return replica.ordering.rank(request, replica.view, now_s)

    def begin(self, request: Request, now_s: float) -> None:
        """A request has made the tokens before its call."""
        replica = self._replica
        call = request._calls[request._call]
        request.called_s = now_s
        request._ready = False
        request.rank = inf
        self.paused[request.id] = request
        self.any = True
        if request.blocks:
            self.held.change(request._kv, now_s)
        handling: Handling = "discard"
        if request._generated < request._output_tokens:
            handling = self.tools.begin(request, replica.view, now_s)
            if request.swapped and handling == "preserve":
                # It decoded on the host: its KV is there already.
                handling = "swap"
            request.handling = handling
            self._facts.emit(CallBegan(now_s, request, handling))
            if request.swapped:
                if handling == "discard":
                    replica.changes.forget(request)
            elif handling != "preserve":
                self.let_go(request, handling)
        else:
            # Nothing comes after this call: its KV is done with.
            if request.swapped:
                replica.swap.drop(request)
            replica.pool.release(request.blocks)
            self._off(request, now_s)
            request.blocks = 0
        replica.simulation.at(now_s + call.duration_s, partial(self._ended, request))

    @property
    def tools(self) -> Tools:
        """The policy. Raises ConfigError where there is none."""
        if self._policy is None:
            raise ConfigError("tools: none, but a request calls tools; choose preserve, discard...")
        return self._policy

    def review(self, now_s: float) -> None:
        """At a boundary: take in what has happened since the last, and ask whether anybody in a
        call loses his place on the GPUs."""
        for request in self._gone:
            self._stay(request)
            self._off(request, now_s)
            self._replica.pool.release(request.blocks)
            request.blocks = 0
        self._gone.clear()
        returned, self._returned = self._returned, []
        for request in returned:
            self._fetch(request, now_s)
        self.any = bool(self.paused)
        if not self.paused:
            return
        changes, again_s = self.tools.review(self._replica.view, now_s)
        for caller, handling in changes:
            if caller.id not in self.paused:
                raise LawBroken(f"tools: {caller!r} is in no call")
            self.let_go(self.paused[caller.id], handling)
        if again_s < inf:
            self._alarm.ring(max(again_s, now_s))

    def let_go(self, request: Request, handling: Handling) -> int:
        """A paused request's KV leaves the GPUs. Returns the blocks that are free at once."""
        replica = self._replica
        blocks = request.blocks
        if not blocks or (request._leaving and handling != "discard"):
            raise LawBroken(f"tools: nothing on the GPU to {handling} of {request!r}")
        if request._leaving:
            self._keep(request)
        request.handling = handling
        if handling == "swap":
            replica.swap.put_out(request)
            request._leaving = True
            self.swapping_tokens += request._kv
            self._tell_swap(blocks, 0)
            replica.swap.move(blocks, 0, partial(self._left, request, request.called_s))
            return 0
        if handling != "discard":
            raise LawBroken(f"tools: {handling!r} lets nothing go of {request!r}")
        self._off(request, self._env.now)
        replica.pool.release(blocks)
        replica.changes.forget(request)
        return blocks

    def requests(self) -> list[Request]:
        """Those in a call and those whose KV is on its way back."""
        return [*self.paused.values(), *self.fetched.values(), *self._returned]

    def call_off(self, request: Request) -> None:
        """The blocks that a request's KV was coming back to are needed: it stays in host memory,
        and the request waits like others."""
        self._off(request, self._env.now)
        del self.fetched[request.id]
        self._replica.pool.release(request.blocks)
        request.blocks = 0
        self._replica.enqueue(request)

    def holders(self) -> Iterator[Request]:
        """Those whose blocks may be taken from them, in the order in which they go."""
        yield from list(self.fetched.values())[::-1]
        yield from self.preserved()[::-1]
        yield from [request for request in self.paused.values() if request._leaving]

    def preserved(self) -> list[Request]:
        """Those in a call whose KV lies on the GPUs and does not leave, by id."""
        found = [r for r in self.paused.values() if r.blocks and not r._leaving]
        return sorted(found, key=lambda request: request.id)

    def lose(self) -> list[Request]:
        """The devices failed: all KV is lost. Calls go on; returns those that were on the way
        back from one."""
        for request in [*self.paused.values(), *self.fetched.values()]:
            self._off(request, self._env.now)
            self._stay(request)
            request.replica = -1
            if request._generated < request._output_tokens:
                request.handling = "discard"
                self._replica.changes.forget(request)
        back = [*self.fetched.values(), *self._returned]
        if self._replica.batch.meter is not None:
            # After a last call nothing is lost: it ends here when that returns.
            gone = [*self.paused.values(), *back]
            self._replica.batch.meter.lose([r for r in gone if r._generated < r._output_tokens])
        for request in self._returned:
            self._replica.changes.forget(request)
        self.fetched.clear()
        self._returned.clear()
        self._gone.clear()
        return back

    def _off(self, request: Request, now_s: float) -> None:
        """A request's KV no longer counts as held here."""
        if request.blocks:
            self.held.change(-request._kv, now_s)

    def _stay(self, request: Request) -> None:
        """A transfer out of the GPUs does not matter any more."""
        if request._leaving:
            request._leaving = False
            self.swapping_tokens -= request._kv

    def _keep(self, request: Request) -> None:
        """A transfer to the host is called off: the KV on the GPUs is the one that counts."""
        self._stay(request)
        self._gone = [other for other in self._gone if other is not request]
        self._replica.swap.drop(request)

    def _left(self, request: Request, called_s: float, out_bytes: float, in_bytes: float) -> None:
        """A transfer to the host is done, unless the call was over before."""
        if request._leaving and request.called_s == called_s:
            self._gone.append(request)
            self._replica.stir()

    def _ended(self, request: Request, _: object) -> None:
        """A call returns."""
        now = self._env.now
        call = request._calls[request._call]
        del self.paused[request.id]
        request.call_s += call.duration_s
        request.ready_s = now
        self._facts.emit(CallEnded(request.called_s, now, request))
        if request._generated < request._output_tokens:
            self.handled[request.handling or "preserve"] += 1
        else:
            request._call += 1
            self._replica.finish(request, now)
            return
        request.answer(call)
        if request._leaving:
            # Its blocks are not free yet, so its KV stays.
            self._keep(request)
        # What the policy sees of the others may have changed.
        self._replica.stir()
        if request.swapped:
            self._returned.append(request)
            return
        self._off(request, now)
        self.on_return(request)

    def _fetch(self, request: Request, now_s: float) -> None:
        """A call has returned to a request in host memory."""
        replica = self._replica
        blocks = request.swapped_blocks
        view = replica.view
        if blocks > replica.pool.free - view.growth(1) - view.reserve_blocks:
            replica.enqueue(request)
            return
        replica.pool.take(blocks)
        request.blocks = blocks
        self.fetched[request.id] = request
        self.held.change(request._kv, now_s)
        self._tell_swap(0, blocks)
        replica.swap.move(0, blocks, partial(self._back, request, request.ready_s))

    def _back(self, request: Request, since_s: float, out_bytes: float, in_bytes: float) -> None:
        """A transfer back is done, unless it was called off."""
        if request.id not in self.fetched or request.ready_s != since_s:
            return
        del self.fetched[request.id]
        self._off(request, self._env.now)
        self._replica.swap.drop(request)
        self._replica.stir()
        self.on_return(request)

    def _tell_swap(self, out_blocks: int, in_blocks: int) -> None:
        size = self._replica.swap.block_bytes
        self._facts.emit(
            CallSwapped(self._env.now, self._replica.index, out_blocks * size, in_blocks * size)
        )

    def _look(self, _: object) -> None:
        self._replica.stir()
