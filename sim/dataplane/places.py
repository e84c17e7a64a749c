"""Flows by their places in the order of popularity, as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.network_functions.sketch import Integers
from models.network_functions.traffic import TrafficProfile

#: Places whose popularity is summed up together.
_BLOCK = 16


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
        self._rank_of_place = np.arange(self.flows)
        self._rng = rng
        # Popularity of places that are not members, in blocks with a sum each.
        self._at_host = np.zeros((-(-self.flows // _BLOCK), _BLOCK))
        self.follow(profile)

    def follow(self, profile: TrafficProfile, reshuffled: float = 0.0) -> None:
        """The popularity changes: another exponent, and so large a share of the places, the most
        popular ones, dealt anew."""
        count = round(reshuffled * self.flows)
        self.place_of_rank[:count] = self._rng.permutation(self.place_of_rank[:count])
        weights = np.arange(1, self.flows + 1, dtype=np.float64) ** -profile.zipf_exponent
        self._rank_of_place[self.place_of_rank] = np.arange(self.flows)
        self.weight = np.empty(self.flows)
        self.weight[self.place_of_rank] = weights / weights.sum()
        self._at_host.flat[: self.flows] = np.where(self.member, 0.0, self.weight)
        self._sums = self._at_host.sum(axis=1)

    @property
    def hit(self) -> float:
        """Share of established packets that belong to members."""
        return max(0.0, 1.0 - float(self._sums.sum()))

    @property
    def members(self) -> int:
        """Number of members."""
        return int(np.count_nonzero(self.member))

    def flows_at(self, places: Integers) -> Integers:
        """The flows at places."""
        return self.generation[places] * self.flows + places

    def current(self, flows: Integers) -> NDArray[np.bool_]:
        """Whether flows go on."""
        current: NDArray[np.bool_] = self.generation[flows % self.flows] == flows // self.flows
        return current

    def set(self, places: Integers, member: bool) -> None:
        """Make places members, or not."""
        self.member[places] = member
        blocks = places // _BLOCK
        self._at_host[blocks, places % _BLOCK] = 0.0 if member else self.weight[places]
        self._sums[blocks] = self._at_host[blocks].sum(axis=1)

    def deal(self, head: int) -> None:
        """The first `head` places are members, no others."""
        self.clear()
        self.set(self.place_of_rank[:head], True)

    def clear(self) -> None:
        """No members."""
        self.set(np.flatnonzero(self.member), False)

    def renew(self, count: int) -> Integers:
        """So many flows end, at any places, and others take theirs; returns the places of members,
        one for each end."""
        places = self._rng.integers(self.flows, size=count)
        np.add.at(self.generation, places, 1)
        return places[self.member[places]]

    def missing(self, head: int, number: int) -> Integers:
        """The most popular of the first `head` places that are not members, at most so many."""
        first = self.place_of_rank[:head]
        return first[~self.member[first]][:number]

    def among(self, places: Integers, head: int) -> NDArray[np.bool_]:
        """Whether places are among the first `head`."""
        among: NDArray[np.bool_] = self._rank_of_place[places] < head
        return among

    def beyond(self, head: int) -> Integers:
        """Members that are not among the first `head` places."""
        rest = self.place_of_rank[head:]
        return rest[self.member[rest]]

    def touched(self, packets: float) -> float:
        """Flows that have any of so many established packets, on average."""
        return float(-np.expm1(-packets * self.weight).sum())

    def sample(self, number: int) -> tuple[Integers, Integers]:
        """Packets of flows that are not members, drawn at random: flows, and how many of each."""
        none = np.zeros(0, np.int64)
        if not number:
            return none, none
        sums = np.cumsum(self._sums)
        if not sums[-1] > 0.0:
            return none, none
        drawn = self._rng.random(number) * sums[-1]
        blocks = np.minimum(np.searchsorted(sums, drawn, side="right"), len(sums) - 1)
        drawn -= sums[blocks] - self._sums[blocks]
        within = np.cumsum(self._at_host[blocks], axis=1)
        at = np.minimum(np.sum(within <= drawn[:, None], axis=1), _BLOCK - 1)
        places, counts = np.unique(
            np.minimum(blocks * _BLOCK + at, self.flows - 1), return_counts=True
        )
        return self.flows_at(places), counts

    def sample_evenly(self, number: int) -> tuple[Integers, Integers]:
        """Packets of flows drawn without regard to popularity, as first and last ones are."""
        places, counts = np.unique(self._rng.integers(self.flows, size=number), return_counts=True)
        return self.flows_at(places), counts

    def top_counts(self, packets: float, number: int, everyone: bool = False) -> list[float]:
        """Counters of the most popular members, or flows, when there were so many established
        packets."""
        first = self.place_of_rank[: 4 * number]
        first = (first if everyone else first[self.member[first]])[:number]
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
        seen = counts.astype(np.float64)
        return dict(zip(self.flows_at(places).tolist(), seen.tolist(), strict=True))
