"""First come, first served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from models.errors import ConfigError
from policies.ordering.contract import FOREVER, OrderingView, Place, RequestView


class Fcfs:
    """Requests in order of arrival; a preempted one returns to its place.

    `after_call`: where a request stands whose tool call has returned, in its old "place" or at
    the "tail", like one that has just come (what a server does that takes a call for the end of a
    request).
    """

    preemptive = False

    def __init__(self, after_call: Literal["place", "tail"] = "place") -> None:
        if after_call not in ("place", "tail"):
            raise ConfigError(f"after_call: {after_call!r} is not place or tail")
        self.tail = after_call == "tail"

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        return request.ready_s if self.tail else request.arrival_s

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        return ()

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        return FOREVER
