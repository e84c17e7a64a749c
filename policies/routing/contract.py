"""The contract of routing policies: they choose a replica for a request that has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class RoutingView(Protocol):
    """What a router sees. Sequences are indexed by replica and live: read, do not keep."""

    @property
    def up(self) -> Sequence[int]:
        """Indices of the replicas that serve, ascending; never empty."""
        ...

    @property
    def outstanding_tokens(self) -> Sequence[float]:
        """Prompt plus predicted output tokens of each replica's unfinished requests (prompt alone
        where there is no predictor), updated when a request arrives and when it ends."""
        ...

    @property
    def outstanding_requests(self) -> Sequence[int]:
        """Unfinished requests of each replica, waiting or running."""
        ...


class Arrival(Protocol):
    """What a router sees of the request."""

    @property
    def id(self) -> int: ...

    @property
    def prompt_tokens(self) -> int: ...


class Routing(Protocol):
    """Chooses a replica. Draws random numbers from `rng` alone."""

    def choose(
        self, request: Arrival, view: RoutingView, rng: np.random.Generator, now_s: float
    ) -> int:
        """Index of the replica that gets the request."""
        ...
