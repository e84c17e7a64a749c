"""How many packets hit at the NIC where popular flows have to be found first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.checks import at_least, positive
from models.network_functions.traffic import TrafficProfile
from models.network_functions.zipf import harmonic

#: Groups of ranks that are taken as alike, and values of a sum that are computed.
_GROUPS = 400


@dataclass(frozen=True, slots=True)
class Reach:
    """What of a plan can be reached with so many places for flows at the NIC.

    some, everyone: of the hits that can be, those that are, with places for some flows and for
    all. places, hits: places that are filled, and shares of established packets that hit then,
    both rising; None where it is known which flows are popular.
    """

    profile: TrafficProfile
    some: float = 1.0
    everyone: float = 1.0
    places: NDArray[np.float64] | None = None
    hits: NDArray[np.float64] | None = None

    def filled(self, offloaded: float) -> float:
        """Of so many places, those that are filled on average."""
        if self.places is None or offloaded >= self.profile.flows:
            return offloaded
        return min(offloaded, float(self.places[-1]))

    def part(self, offloaded: float) -> float:
        """Of the packets of so many most popular flows, the part that hits."""
        if offloaded >= self.profile.flows:
            return self.everyone
        if self.places is None or self.hits is None or not offloaded > 0.0:
            return self.some
        found = float(np.interp(offloaded, self.places, self.hits))
        return self.some * min(1.0, found / self.profile.head_share(offloaded))


@dataclass(frozen=True, slots=True)
class Finding:
    """One in `sample` packets at the host is counted, and a flow that was counted goes to the NIC
    `wait_s` later on average."""

    sample: float
    wait_s: float

    def __post_init__(self) -> None:
        positive("finding: sample", self.sample)
        at_least("finding: wait_s", self.wait_s, 0.0)

    def reach(self, profile: TrafficProfile, some: float = 1.0, everyone: float = 1.0) -> Reach:
        """What can be reached in the long run.

        A flow with n packets in its life is found after `sample` of them on average, so that, with
        the wait as a part w of a life, it holds a place for 1 / (1 + sample / n + w) of its life.
        More places than that are never filled. Where there are fewer, a flow that is counted finds
        a free one only now and then, as if fewer packets were counted. All flows need not be found:
        each gets a place as it begins.
        """
        flows, exponent = profile.flows, profile.zipf_exponent
        ranks = np.unique(np.concatenate(([0.0], np.geomspace(1.0, flows, _GROUPS))))
        sums = np.array([harmonic(float(rank), exponent) for rank in ranks]) / harmonic(
            flows, exponent
        )
        count, share = np.diff(ranks), np.diff(sums)
        packets = profile.packets_per_flow * flows * share / count
        wait = self.wait_s * profile.new_flows_per_s / flows
        luck = np.geomspace(1e-9, 1.0, _GROUPS)[:, None]
        held = 1.0 / (1.0 + self.sample / (luck * packets) + wait)
        places, hits = (held * count).sum(axis=1), (held * share).sum(axis=1)
        return Reach(profile, some, everyone, places, hits)
