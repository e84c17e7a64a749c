"""Least memory over time first: LAMPS."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from models.errors import ConfigError
from models.tool_calls.forward_time import Forward
from models.tool_calls.memory_time import Segment, memory_time
from models.tool_calls.released_score import ReleasedScore
from policies.ordering.contract import FOREVER, OrderingView, Place, RequestView


class MemoryTime:
    """Requests by the predicted area under their memory over time, the smallest first.

    Shahout et al., "Fast Inference for Augmented Large Language Models" (LAMPS, arXiv 2410.18248).
    The area is that of the segment at hand: up to its next call, the call itself as the tools
    policy is foreseen to handle it, the return and the segment after it, counted by the passes that
    the engine will make; `released` scores as the authors' release does instead. `forward` prices
    prefills and, at the batch of the moment, an iteration; `swap_s_per_token`: one way. It orders
    admission alone.

    A request that has waited for `starvation_iterations` iterations since it began to wait goes
    before all that have not, in the order in which they reached it, until it ends (None: never);
    `starving`: whether "all" that wait count their iterations (the paper's text) or only those
    that have "begun" before (the authors' release). Ranks of those that wait are made anew every
    `refresh_iterations` iterations (None: only at each return).

    `lock_share`: as in TRAIL, a waiting request displaces running ones of a larger remaining area
    until they have made this share of their first predicted length (None: nobody is displaced,
    LAMPS). Ranks of running requests then change at every token, and while requests wait every
    iteration is an event.
    """

    def __init__(
        self,
        forward: Forward,
        swap_s_per_token: float,
        released: ReleasedScore | None = None,
        starvation_iterations: int | None = 100,
        starving: Literal["all", "begun"] = "all",
        refresh_iterations: int | None = None,
        lock_share: float | None = None,
    ) -> None:
        if lock_share is not None and not 0.0 <= lock_share <= 1.0:
            raise ConfigError(f"lock_share: {lock_share!r} is not a share from 0 to 1")
        self.lock_share = lock_share
        self.preemptive = lock_share is not None
        for key, value in (
            ("starvation_iterations", starvation_iterations),
            ("refresh_iterations", refresh_iterations),
        ):
            if value is not None and (isinstance(value, bool) or value < 1):
                raise ConfigError(f"{key}: {value!r} is not a whole number >= 1")
        if starving not in ("all", "begun"):
            raise ConfigError(f"starving: {starving!r} is not all or begun")
        self.begun = starving == "begun"
        self.forward = forward
        self.swap_s_per_token = swap_s_per_token
        self.released = released
        self.starvation_iterations = starvation_iterations
        self.refresh_iterations = refresh_iterations
        self._refreshed = 0
        # Who waits since which iteration, in order; those that no longer do are found out later.
        self._line: deque[tuple[int, RequestView]] = deque()
        self._lined: dict[int, int] = {}
        self._starving: dict[int, int] = {}

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        place = self._starving.get(request.id)
        if place is not None:
            return place - 1e15
        since = request.waits_since
        counts = since >= 0 and (not self.begun or request.generated_tokens > 0)
        if counts and self._lined.get(request.id) != since:
            self._lined[request.id] = since
            self._line.append((since, request))
        return self._score(request, view)

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        share = self.lock_share
        if share is None:
            return ()
        return [
            (self.rank(request, view, now_s), request.id, request)
            for _, _, request in view.young(share)
        ]

    def reorder(self, view: OrderingView, now_s: float) -> Iterable[RequestView]:
        """Those whose rank is another now: the starving, and at a refresh all."""
        iterations = view.iterations
        changed: Iterable[RequestView] = ()
        limit = self.starvation_iterations
        if limit is not None:
            starved = []
            while self._stale() or (self._line and iterations - self._line[0][0] >= limit):
                since, request = self._first()
                if request.waits_since == since and request.id not in self._starving:
                    self._starving[request.id] = len(self._starving)
                    starved.append(request)
            changed = starved
        every = self.refresh_iterations
        if every is not None and iterations - self._refreshed >= every:
            self._refreshed = iterations
            changed = list(view.waiting)
        return changed

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        least = 1 if places else FOREVER
        iterations = view.iterations
        if self.starvation_iterations is not None:
            while self._stale():
                self._first()
            if self._line:
                starves = self._line[0][0] + self.starvation_iterations - iterations
                least = min(least, starves)
        if self.refresh_iterations is not None:
            least = min(least, self._refreshed + self.refresh_iterations - iterations)
        return max(1, least)

    def _stale(self) -> bool:
        """Whether the first in line no longer waits as it did."""
        return bool(self._line) and self._line[0][1].waits_since != self._line[0][0]

    def _first(self) -> tuple[int, RequestView]:
        """Take the first out of the line."""
        since, request = self._line.popleft()
        if self._lined.get(request.id) == since:
            del self._lined[request.id]
        return since, request

    def _score(self, request: RequestView, view: OrderingView) -> float:
        handling = request.handling
        prompt = request.context_tokens
        before = request.predicted_segment_remaining_tokens
        call_s = (request.predicted_call_s or 0.0) if handling else 0.0
        returned = request.predicted_returned_tokens if handling else 0.0
        if self.released is not None:
            return self.released.score(
                prompt, before, returned, call_s, handling or "preserve", batch_tokens=view.decoding
            )
        segment = Segment(
            prompt,
            before,
            call_s,
            returned,
            request.predicted_next_segment_tokens,
            request.kv_tokens,
        )
        step_s = self.forward(max(view.decoding, 1))
        areas = memory_time(
            segment.computed, handling or "preserve", self.forward, step_s, self.swap_s_per_token
        )
        return areas.total if handling else areas.before
