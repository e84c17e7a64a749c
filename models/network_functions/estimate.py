"""A traffic profile from what a data path counts in an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from models.network_functions.traffic import TrafficProfile

#: Flows whose counts show an exponent, at least: with fewer, chance decides it.
_FEWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochCounters:
    """Counts of one epoch of `duration_s`.

    packets, size_bytes: in all. new_flows: flows that began. active_flows: at its end.
    top_counts: packets of the most popular flows in any order, from counters of offloaded flows
    and a sketch of the others.
    """

    duration_s: float
    packets: float
    size_bytes: float
    new_flows: float
    active_flows: float
    top_counts: Sequence[float]

    def __post_init__(self) -> None:
        if not (self.duration_s > 0.0 and self.packets > 0.0):
            raise ValueError(
                f"{self.packets!r} packets in {self.duration_s!r} s: an epoch without packets "
                "shows no profile"
            )


def zipf_exponent(counts: Sequence[float], ranks: int = 1000) -> float | None:
    """Exponent by least squares of log(count) on log(rank) over the top `ranks`; 0 where popularity
    does not fall with the rank, None where too few flows were counted to say."""
    top = sorted((count for count in counts if count > 0.0), reverse=True)[:ranks]
    if len(top) < _FEWEST:
        return None
    x = [log(rank) for rank in range(1, len(top) + 1)]
    y = [log(count) for count in top]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((each - mean_x) ** 2 for each in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    return max(0.0, -slope)


def estimate(counters: EpochCounters, ranks: int = 1000, known: float = 0.0) -> TrafficProfile:
    """The profile that an epoch shows. A flow has at least two packets; an epoch in which none
    began shows only that flows are at least as long as its packets. known: exponent where too few
    flows were counted."""
    packets = counters.packets
    exponent = zipf_exponent(counters.top_counts, ranks)
    return TrafficProfile(
        flows=max(1.0, counters.active_flows),
        zipf_exponent=known if exponent is None else exponent,
        packets_per_flow=max(2.0, packets / max(1.0, counters.new_flows)),
        packet_bytes=counters.size_bytes / packets,
        rate_pps=packets / counters.duration_s,
    )


def smoothed(before: TrafficProfile | None, now: TrafficProfile, weight: float) -> TrafficProfile:
    """Moving average of estimates, the newest with `weight` in (0, 1]. New flows are averaged by
    their rate, since it is that which adds up."""
    if not 0.0 < weight <= 1.0:
        raise ValueError(f"weight {weight!r} of a moving average: in (0, 1]")
    if before is None:
        return now

    def mean(old: float, new: float) -> float:
        return old + weight * (new - old)

    rate = mean(before.rate_pps, now.rate_pps)
    new_flows = mean(before.new_flows_per_s, now.new_flows_per_s)
    size = mean(before.rate_pps * before.packet_bytes, now.rate_pps * now.packet_bytes)
    return TrafficProfile(
        flows=mean(before.flows, now.flows),
        zipf_exponent=mean(before.zipf_exponent, now.zipf_exponent),
        packets_per_flow=rate / new_flows,
        packet_bytes=size / rate,
        rate_pps=rate,
    )
