"""Shortest job first."""

from __future__ import annotations

from policies.ordering.contract import FOREVER, OrderingView, RequestView


class ShortestJobFirst:
    """The waiting request with the shortest predicted output first; running ones run on."""

    preemptive = False

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        return request.predicted_output_tokens

    def locked(self, request: RequestView, now_s: float) -> bool:
        return True

    def holds(self, view: OrderingView, now_s: float) -> int:
        return FOREVER
