"""Multilevel feedback: those that have been served least go first."""

from __future__ import annotations

from collections.abc import Iterable

from models.errors import ConfigError
from policies.ordering.contract import FOREVER, OrderingView, Place, RequestView


class MultilevelFeedback:
    """A request sinks from level to level as it makes tokens, displacing and displaced.

    Level 0 are the first `first_tokens` tokens of a request, and each level lasts `factor` times
    as long as the one above; within a level requests go in order of arrival. Needs no predictions
    (in the manner of FastServe, Wu et al. 2023, without its jump over levels by prompt length).
    """

    preemptive = True

    def __init__(self, first_tokens: int = 16, factor: int = 2) -> None:
        for key, value, least in (("first_tokens", first_tokens, 1), ("factor", factor, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{key}: {value!r} is not a whole number >= {least}")
        self.first_tokens = first_tokens
        self.factor = factor

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        return self._level(request.generated_tokens)[0]

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        return [(self.rank(r, view, now_s), r.id, r) for r in view.running]

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        """Until the first running request that ranks before the first waiting one sinks."""
        first = view.first
        if first is None:
            return FOREVER
        least = FOREVER
        for rank, number, request in places:
            if (rank, number) < (first.rank, first.id):
                least = min(least, self._level(request.generated_tokens)[1])
        return least

    def _level(self, age: int) -> tuple[int, int]:
        """Level at that age, and tokens until the next."""
        level, end, length = 0, self.first_tokens, self.first_tokens
        while age >= end:
            level += 1
            length *= self.factor
            end += length
        return level, end - age
