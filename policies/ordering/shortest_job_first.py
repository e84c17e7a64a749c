"""Shortest job first."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from models.errors import ConfigError
from policies.ordering.contract import FOREVER, OrderingView, Place, RequestView


class ShortestJobFirst:
    """The waiting request with the shortest predicted output first; running ones run on.

    `iteration_s`: rank by seconds with the next call instead, tokens at so many seconds each (the
    segment at hand and the one after its call, as LAMPS ranks); None: by the whole output alone.
    Both are examples of what LAMPS improves on (Shahout et al., arXiv 2410.18248).
    """

    preemptive = False

    def __init__(self, iteration_s: float | None = None) -> None:
        if iteration_s is not None and not (isfinite(iteration_s) and iteration_s > 0.0):
            raise ConfigError(f"iteration_s: {iteration_s!r} must be finite and > 0")
        self.iteration_s = iteration_s

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        if self.iteration_s is None:
            return request.predicted_output_tokens
        tokens = request.predicted_segment_tokens + request.predicted_next_segment_tokens
        return self.iteration_s * tokens + (request.predicted_call_s or 0.0)

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        return ()

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        return FOREVER
