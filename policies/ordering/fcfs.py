"""First come, first served."""

from __future__ import annotations

from policies.ordering.contract import FOREVER, OrderingView, RequestView


class Fcfs:
    """Requests in order of arrival; a preempted one returns to its place."""

    preemptive = False

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        return request.arrival_s

    def locked(self, request: RequestView, now_s: float) -> bool:
        return True

    def holds(self, view: OrderingView, now_s: float) -> int:
        return FOREVER
