"""Shortest (predicted) remaining processing time."""

from __future__ import annotations

from collections.abc import Iterable

from policies.ordering.contract import FOREVER, OrderingView, Place, RequestView


class ShortestRemaining:
    """The request with the fewest predicted output tokens left first, displacing running ones.

    With a prediction that never changes, a running request's rank only falls while it waits for
    nobody, so an order stays until something arrives.
    """

    preemptive = True

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        return request.predicted_output_tokens - request.generated_tokens

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        return [(self.rank(r, view, now_s), r.id, r) for r in view.running]

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        return FOREVER
