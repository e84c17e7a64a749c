"""Least outstanding tokens."""

from __future__ import annotations

import numpy as np

from policies.routing.contract import Arrival, RoutingView
from policies.routing.draws import Draws


class LeastOutstanding:
    """The replica with the fewest outstanding tokens; ties are broken at random."""

    def __init__(self) -> None:
        self._draws = Draws()

    def choose(
        self, request: Arrival, view: RoutingView, rng: np.random.Generator, now_s: float
    ) -> int:
        loads = view.outstanding_tokens
        up = view.up
        if len(up) < len(loads):
            least = min([loads[i] for i in up])
            ties = [i for i in up if loads[i] == least]
        else:
            least = min(loads)
            first = loads.index(least)
            if loads.count(least) == 1:
                return first
            ties = [i for i, load in enumerate(loads) if load == least]
        return ties[self._draws.below(len(ties), rng)] if len(ties) > 1 else ties[0]
