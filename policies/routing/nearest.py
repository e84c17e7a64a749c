"""The nearest site."""

from __future__ import annotations

import numpy as np

from policies.routing.contract import Arrival, RoutingView


class Nearest:
    """The replica with the shortest round trip from the request's origin; of equals the one with
    the fewest outstanding requests, then the first. It knows nothing of carbon or capacity."""

    among_sites = True

    def choose(
        self, request: Arrival, view: RoutingView, rng: np.random.Generator, now_s: float
    ) -> int:
        origin, loads = request.origin, view.outstanding_requests
        return min(view.up, key=lambda i: (view.round_trip_s(origin, i), loads[i], i))
