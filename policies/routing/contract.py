"""The contract of routing policies: they choose a replica for a request that has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from models.carbon.clock import Clock
from policies.shifting.contract import ForecastView


class SiteView(Protocol):
    """What a router sees of the place where a replica stands."""

    @property
    def name(self) -> str: ...

    @property
    def clock(self) -> Clock | None:
        """The time of its day at 0 of the run; None where it knows of none."""
        ...

    @property
    def forecast(self) -> ForecastView:
        """The carbon intensity to come."""
        ...

    @property
    def effective(self) -> ForecastView:
        """Carbon intensity x PUE to come: grams of a kWh that its computers draw."""
        ...

    def intensity(self, now_s: float) -> float:
        """Carbon intensity of the grid now, in g/kWh."""
        ...

    def marginal(self, now_s: float) -> float | None:
        """Carbon intensity of one more kWh now; None where there is no such signal."""
        ...

    def pue(self, now_s: float) -> float:
        """Power usage effectiveness now."""
        ...


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

    @property
    def most_sequences(self) -> int:
        """Requests that a replica runs at once at most."""
        ...

    @property
    def sites(self) -> Sequence[SiteView]:
        """The site of each replica. Raises ConfigError where the run has none."""
        ...

    def round_trip_s(self, origin: str, replica: int) -> float:
        """Network time from a region to a replica and back; 0 where none is given."""
        ...

    def iteration(
        self, replica: int, decodes: int, context_tokens: int, prompt_tokens: int
    ) -> tuple[float, float]:
        """Seconds, and joules above idle, of an iteration on a replica's hardware by its cost
        model: so many requests that decode over so many tokens of context in all, and a prompt."""
        ...


class Arrival(Protocol):
    """What a router sees of the request."""

    @property
    def id(self) -> int: ...

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def origin(self) -> str:
        """The region it was sent from."""
        ...


class Routing(Protocol):
    """Chooses a replica. Draws random numbers from `rng` alone."""

    def choose(
        self, request: Arrival, view: RoutingView, rng: np.random.Generator, now_s: float
    ) -> int:
        """Index of the replica that gets the request."""
        ...
