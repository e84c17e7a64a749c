"""Traffic by its averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.network_functions.traffic import TrafficProfile


class Phase(Protocol):
    """Traffic from `start_s` on; `reshuffled`: share of the flows, the most popular ones, whose
    popularity is dealt anew."""

    start_s: float
    profile: TrafficProfile
    reshuffled: float


class PhasedTraffic(Protocol):
    """A workload that says what its packets are on average."""

    phases: Sequence[Phase]
