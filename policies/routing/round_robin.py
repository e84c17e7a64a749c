"""One replica after the other."""

from __future__ import annotations

import numpy as np

from policies.routing.contract import Arrival, RoutingView


class RoundRobin:
    """Replicas in turn, those that are down left out."""

    def __init__(self) -> None:
        self._next = 0

    def choose(
        self, request: Arrival, view: RoutingView, rng: np.random.Generator, now_s: float
    ) -> int:
        up = view.up
        chosen = up[self._next % len(up)]
        self._next += 1
        return chosen
