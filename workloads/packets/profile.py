"""The traffic profile that packets show, whatever they come from."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest

from models.errors import TraceError
from models.network_functions.estimate import EpochCounters, estimate
from models.network_functions.traffic import TrafficProfile
from workloads.demand import Packet


def measured(packets: Iterable[Packet], ranks: int = 1000) -> TrafficProfile:
    """The profile of packets from the first to the last of them.

    New flows are those whose first packet ("N") is among them; one without is active from the
    start. Active flows are the mean over time of those up to their last packet. ranks: flows from
    whose counts the exponent is taken. Holds one entry for each flow. Raises TraceError for fewer
    than two packets or no time between them."""
    counts: dict[int, list[float]] = {}
    total = size_bytes = new_flows = now_s = 0.0
    start_s: float | None = None
    for packet in packets:
        now_s = packet.time_s
        if start_s is None:
            start_s = now_s
        total += 1.0
        size_bytes += packet.size_bytes
        known = counts.get(packet.flow)
        if packet.kind == "N":
            new_flows += 1.0
        if known is None:
            counts[packet.flow] = [1.0, now_s if packet.kind == "N" else start_s, now_s]
        else:
            known[0] += 1.0
            known[2] = now_s
    if start_s is None or not now_s > start_s:
        raise TraceError(f"{total:.0f} packets at one time show no profile; give more of them")
    duration_s = now_s - start_s
    active_s = sum(last - first for _, first, last in counts.values())
    return estimate(
        EpochCounters(
            duration_s=duration_s,
            packets=total,
            size_bytes=size_bytes,
            new_flows=new_flows,
            active_flows=active_s / duration_s,
            top_counts=nlargest(ranks, (count for count, _, _ in counts.values())),
        ),
        ranks,
    )
