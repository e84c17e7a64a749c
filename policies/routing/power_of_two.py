"""Power of two choices."""

from __future__ import annotations

import numpy as np

from policies.routing.contract import Arrival, RoutingView
from policies.routing.draws import Draws


class PowerOfTwo:
    """The less loaded (in outstanding tokens) of two different replicas drawn at random.

    Mitzenmacher, "The power of two choices in randomized load balancing" (IEEE TPDS 2001).
    """

    def __init__(self) -> None:
        self._draws = Draws()

    def choose(
        self, request: Arrival, view: RoutingView, rng: np.random.Generator, now_s: float
    ) -> int:
        up = view.up
        n = len(up)
        if n == 1:
            return up[0]
        i = self._draws.below(n, rng)
        j = self._draws.below(n - 1, rng)
        if j >= i:
            j += 1
        a, b = up[i], up[j]
        loads = view.outstanding_tokens
        return b if loads[b] < loads[a] else a
