"""Packets of a population of flows whose popularity is Zipf's, with births and deaths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat

import numpy as np

from models.errors import ConfigError
from models.network_functions.traffic import TrafficProfile
from workloads.checks import at_least, between, flag, whole, whole_or_none
from workloads.demand import Packet
from workloads.draws import BLOCK, Floats, children
from workloads.packets.sizes import PacketSizes, packet_sizes


class Phase:
    """Traffic from `start_s` on. reshuffled: share of the flows, the most popular ones, whose
    popularity is dealt anew among them as the phase begins."""

    def __init__(self, start_s: float, profile: TrafficProfile, reshuffled: float = 0.0) -> None:
        if not isinstance(profile, TrafficProfile):
            raise ConfigError(f"phase: profile is {profile!r}; it must be a traffic profile")
        self.start_s = at_least("phase: start_s", start_s, 0.0)
        self.profile = profile
        self.reshuffled = between("phase: reshuffled", reshuffled, 0.0, 1.0)


class ZipfFlows:
    """Packets that arrive at random (or evenly) at the profile's rate.

    There are always `flows` places, ranked by popularity. An established packet belongs to the
    flow at a place drawn by Zipf's law; now and then, in the proportion of the flow length, a flow
    at any place ends with a last packet, and the next such event is the first packet of the flow
    that takes its place and its rank. At the start, flow i is at rank i + 1; later ones are
    numbered on. So lifetimes do not depend on the rank, and of all packets 1 in the flow length is
    a first one, and 1 a last one.

    sizes: None gives every packet the profile's size. phases: later traffic, each with as many
    flows. burst: each packet yielded stands for so many alike, so that there are as many times
    fewer. limit: packets yielded in all; None goes on without end.
    """

    def __init__(
        self,
        profile: TrafficProfile,
        *,
        sizes: PacketSizes | None = None,
        phases: Sequence[Phase] = (),
        evenly: bool = False,
        burst: int = 1,
        limit: int | None = None,
    ) -> None:
        for number, phase in enumerate(phases):
            if not isinstance(phase, Phase):
                raise ConfigError(
                    f"packets: phases[{number}] is {phase!r}; it must be a phase, with a _target_"
                )
        self.phases = [Phase(0.0, profile), *phases]
        self.burst = whole("burst", burst)
        self.sizes = packet_sizes(sizes)
        self.evenly = flag("packets: evenly", evenly)
        self.limit = whole_or_none("limit", limit)
        for before, phase in zip(self.phases, phases, strict=False):
            if phase.profile.flows != profile.flows:
                raise ConfigError(
                    f"phases: flows = {phase.profile.flows:g} at {phase.start_s:g} s; every phase "
                    f"must have the {profile.flows:g} of the first"
                )
            if not phase.start_s > before.start_s:
                raise ConfigError(
                    f"phases: start_s = {phase.start_s!r} must be after {before.start_s!r}"
                )
        if sizes is not None:
            for phase in self.phases:
                sizes.check_mean(phase.profile.packet_bytes)

    @property
    def finite(self) -> bool:
        """Whether the packets end."""
        return self.limit is not None

    def packets(self, rng: np.random.Generator) -> Iterator[Packet]:
        """The packets in order."""
        gaps, kinds, draws, shuffles, size_rng = children(rng, 5)
        places = round(self.phases[0].profile.flows)
        alone = places == 1
        flow_at = list(range(places))
        place_of_rank = np.arange(places)
        #: Place whose flow has ended and whose next has not begun.
        vacant = -1
        unborn = places
        now = 0.0
        made = 0
        for number, phase in enumerate(self.phases):
            now = max(now, phase.start_s)
            last = number + 1 == len(self.phases)
            end_s = float("inf") if last else self.phases[number + 1].start_s
            count = round(phase.reshuffled * places)
            place_of_rank[:count] = shuffles.permutation(place_of_rank[:count])
            rank_of_place = np.empty(places, dtype=np.int64)
            rank_of_place[place_of_rank] = np.arange(1, places + 1)
            sizes = self._sizes(phase, size_rng)
            for gap, ends, rank, place in self._draws(phase.profile, gaps, kinds, draws):
                now += gap
                if now >= end_s:
                    now = end_s
                    break
                size = next(sizes)
                if not ends and not (alone and vacant >= 0):
                    at = int(place_of_rank[rank])
                    if at == vacant:
                        at = (at + 1) % places
                    yield Packet(now, flow_at[at], size, "E", int(rank_of_place[at]))
                elif vacant >= 0:
                    at, vacant = vacant, -1
                    flow_at[at] = unborn
                    unborn += 1
                    yield Packet(now, flow_at[at], size, "N", int(rank_of_place[at]))
                else:
                    vacant = place
                    yield Packet(now, flow_at[place], size, "T", int(rank_of_place[place]))
                made += 1
                if made == self.limit:
                    return

    def _sizes(self, phase: Phase, rng: np.random.Generator) -> Iterator[float]:
        if self.sizes is None:
            return repeat(float(phase.profile.packet_bytes))
        return self.sizes.draw(rng)

    def _draws(
        self,
        profile: TrafficProfile,
        gaps: np.random.Generator,
        kinds: np.random.Generator,
        draws: np.random.Generator,
    ) -> Iterator[tuple[float, bool, int, int]]:
        """For each packet: time since the one before, whether a flow ends or begins, the rank of
        its flow and the place where a flow would end, both from 0."""
        places = round(profile.flows)
        edges = _rank_edges(places, profile.zipf_exponent)
        mean = self.burst / profile.rate_pps
        # The next flow of one place alone begins with the next packet.
        share = 2.0 / profile.packets_per_flow
        if places == 1:
            share = 1.0 / (profile.packets_per_flow - 1.0)
        while True:
            waits = np.full(BLOCK, mean) if self.evenly else gaps.exponential(mean, BLOCK)
            ends = kinds.random(BLOCK) < share
            u = draws.random((BLOCK, 2))
            ranks = np.searchsorted(edges, u[:, 0], side="right")
            at = (u[:, 1] * places).astype(np.int64)
            yield from zip(waits.tolist(), ends.tolist(), ranks.tolist(), at.tolist(), strict=True)


def _rank_edges(flows: int, exponent: float) -> Floats:
    """Upper edges, but the last, of the interval of a uniform number for each rank."""
    weights = np.arange(1, flows + 1, dtype=np.float64) ** -exponent
    sums = np.cumsum(weights)
    return np.asarray(sums[:-1] / sums[-1], dtype=np.float64)
