"""Flows by their places in the order of popularity, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from models.network_functions.traffic import TrafficProfile

Indices: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]


class Places:
    """`flows` places, each with a popularity and a flow that ends and is replaced now and then.

    The flow at a place is known as generation * flows + place. `member`: whether its entries are
    at the NIC.
    """

    def __init__(self, profile: TrafficProfile, rng: np.random.Generator) -> None:
        self.flows = round(profile.flows)
        self.member = np.zeros(self.flows, dtype=bool)
        self.generation = np.zeros(self.flows, dtype=np.int64)
        self.place_of_rank = np.arange(self.flows)
        self._rng = rng
        self._hit: float | None = None
        self.follow(profile)

    def follow(self, profile: TrafficProfile, reshuffled: float = 0.0) -> None:
        """The popularity changes: another exponent, and so large a share of the places, the most
        popular ones, dealt anew."""
        count = round(reshuffled * self.flows)
        self.place_of_rank[:count] = self._rng.permutation(self.place_of_rank[:count])
        weights = np.arange(1, self.flows + 1, dtype=np.float64) ** -profile.zipf_exponent
        self.weight = np.empty(self.flows)
        self.weight[self.place_of_rank] = weights / weights.sum()
        self._hit = None

    @property
    def hit(self) -> float:
        """Share of established packets that belong to members."""
        if self._hit is None:
            self._hit = min(1.0, float(self.weight[self.member].sum()))
        return self._hit

    @property
    def members(self) -> int:
        """Number of members."""
        return int(np.count_nonzero(self.member))

    def flow_at(self, place: int) -> int:
        """The flow at a place."""
        return int(self.generation[place]) * self.flows + place

    def current(self, flow: int) -> bool:
        """Whether a flow goes on."""
        return int(self.generation[flow % self.flows]) == flow // self.flows

    def set(self, places: Sequence[int] | Indices, member: bool) -> None:
        """Make places members, or not."""
        self.member[np.asarray(places, dtype=np.int64)] = member
        self._hit = None

    def clear(self) -> None:
        """No members."""
        self.member[:] = False
        self._hit = None

    def renew(self, count: int) -> Indices:
        """So many flows end, at any places, and others take theirs; returns the places of members,
        one for each end."""
        places = self._rng.integers(self.flows, size=count)
        np.add.at(self.generation, places, 1)
        return places[self.member[places]]

    def missing(self, head: int, number: int) -> Indices:
        """The most popular of the first `head` places that are not members, at most so many."""
        first = self.place_of_rank[:head]
        return first[~self.member[first]][:number]

    def beyond(self, head: int) -> Indices:
        """Members that are not among the first `head` places."""
        rest = self.place_of_rank[head:]
        return rest[self.member[rest]]

    def touched(self, packets: float) -> float:
        """Flows that have any of so many established packets, on average."""
        return float(-np.expm1(-packets * self.weight).sum())

    def sample(self, number: int) -> dict[int, int]:
        """Packets of flows that are not members, drawn at random, by flow."""
        sums = np.cumsum(np.where(self.member, 0.0, self.weight))
        if not number or not sums[-1] > 0.0:
            return {}
        drawn = np.searchsorted(sums, self._rng.random(number) * sums[-1], side="right")
        places, counts = np.unique(np.minimum(drawn, self.flows - 1), return_counts=True)
        return {
            self.flow_at(place): count
            for place, count in zip(places.tolist(), counts.tolist(), strict=True)
        }

    def top_counts(self, packets: float, number: int) -> list[float]:
        """Counters of the most popular members when there were so many established packets."""
        first = self.place_of_rank[: 4 * number]
        first = first[self.member[first]][:number]
        return [float(n) for n in self._rng.poisson(packets * self.weight[first])]

    def slowest(self, packets: float, number: int) -> dict[int, float]:
        """The members with the lowest counters, and these."""
        places = np.flatnonzero(self.member)
        if not number or not len(places):
            return {}
        counts = self._rng.poisson(packets * self.weight[places])
        if number < len(places):
            chosen = np.argpartition(counts, number - 1)[:number]
            places, counts = places[chosen], counts[chosen]
        return {
            self.flow_at(place): float(count)
            for place, count in zip(places.tolist(), counts.tolist(), strict=True)
        }
