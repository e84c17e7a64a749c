"""Shortest job first."""

from __future__ import annotations

from collections.abc import Iterable

from policies.ordering.contract import FOREVER, OrderingView, Place, RequestView


class ShortestJobFirst:
    """The waiting request with the shortest predicted output first; running ones run on."""

    preemptive = False

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        return request.predicted_output_tokens

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        return ()

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        return FOREVER
