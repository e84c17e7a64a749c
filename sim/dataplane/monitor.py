"""What a data path knows of its traffic: counters, and a sketch of what goes to the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from heapq import nlargest

import numpy as np

from models.checks import at_least, positive, whole, whole_or_none
from models.network_functions.estimate import EpochCounters, estimate, smoothed
from models.network_functions.sketch import CountMin, HeavyFlows, Integers
from models.network_functions.traffic import TrafficProfile
from sim.core.errors import ConfigError
from sim.dataplane.carrier import Carrier, Totals
from sim.dataplane.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """interval_s: of an epoch. weight: of the newest in the moving average of estimates.
    sample: one in so many packets at the host is counted. candidates: heavy flows among these that
    are kept; None for twice those that the plan offloads. rows, columns: of the sketch.
    ranks: flows that the exponent is taken from. sample_cycles: of a host core to count a packet.
    merge_cycles: to add up one counter of which both sides keep a copy, each epoch.
    """

    interval_s: float
    weight: float
    sample: int
    candidates: int | None
    rows: int
    columns: int
    ranks: int
    sample_cycles: float
    merge_cycles: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        positive("monitor.interval_s", self.interval_s)
        if not 0.0 < positive("monitor.weight", self.weight) <= 1.0:
            raise ConfigError(f"monitor.weight is {self.weight!r}; it must be in (0, 1]")
        for key in ("sample", "rows", "columns", "ranks"):
            whole(f"monitor.{key}", getattr(self, key))
        whole_or_none("monitor.candidates", self.candidates)
        for key in ("sample_cycles", "merge_cycles"):
            at_least(f"monitor.{key}", getattr(self, key), 0.0)


class Monitor:
    """Estimates the profile of the traffic from what a data path can count.

    begun: flows that are active at the start. `heavy`: packets of heavy flows among those sampled
    at the host, since the last decision.
    """

    def __init__(
        self,
        settings: MonitorSettings,
        first: TrafficProfile,
        begun: float,
        rng: np.random.Generator,
    ) -> None:
        self.settings = settings
        self.profile = first
        self._rng = rng
        self._since_s = 0.0
        self._left_out = 0
        self._before: Totals | None = None
        self._epoch_s = 0.0
        self._begun = begun
        self._renew()

    def sample(self, flow: int, count: int) -> bool:
        """A packet (`count` of them) at the host; one in so many is counted. Whether it was."""
        self._left_out += count
        if self._left_out < self.settings.sample:
            return False
        self._left_out -= self.settings.sample
        self.heavy.add(flow)
        return True

    def sample_all(
        self,
        places: Places,
        weights: Mapping[str, float],
        packets: float,
        rng: np.random.Generator,
    ) -> int:
        """Packets as rates, of which the host has shares by type; returns how many are counted."""
        number = packets / self.settings.sample
        popular = int(rng.poisson(number * weights.get("EM", 0.0)))
        self.heavy.add_all(*places.sample(popular))
        even = int(rng.poisson(number * (weights.get("N", 0.0) + weights.get("T", 0.0))))
        self.heavy.add_all(*places.sample_evenly(even))
        return popular + even

    def epoch(self, now_s: float, totals: Totals, carrier: Carrier) -> None:
        """An epoch is over."""
        before, self._before = self._before, totals
        lasted_s = now_s - self._epoch_s
        self._epoch_s = now_s
        packets = totals.arrived - (before.arrived if before else 0.0)
        if not packets:
            return
        seen = EpochCounters(
            duration_s=lasted_s,
            packets=packets,
            size_bytes=totals.arrived_bytes - (before.arrived_bytes if before else 0.0),
            new_flows=totals.new - (before.new if before else 0.0),
            active_flows=max(1.0, self._begun + totals.new - totals.ended),
            top_counts=self.top_counts(carrier),
        )
        now = estimate(seen, self.settings.ranks, self.profile.zipf_exponent)
        mean = smoothed(self.profile, now, self.settings.weight)
        # Whole flows: a plan for a millionth of a flow more is no other plan.
        self.profile = replace(mean, flows=float(round(mean.flows)))

    def top_counts(self, carrier: Carrier) -> list[float]:
        """Packets of the most popular flows since the last decision. Where sampling sees a flow
        once or twice, its count says nothing of its rank: such flows are left out."""
        sample, ranks = self.settings.sample, self.settings.ranks
        counts = carrier.top_hits(ranks)
        _, seen = self.heavy.columns()
        counts += (seen[seen > 2] * float(sample)).tolist()
        return nlargest(ranks, counts)

    @property
    def candidates(self) -> int:
        """Heavy flows known at the host."""
        return len(self.heavy.counts)

    def rates(self, counts: Mapping[int, float], now_s: float) -> dict[int, float]:
        """Packets a second from counts since the last decision."""
        lasted_s = now_s - self._since_s
        if not lasted_s > 0.0:
            return {}
        seen = np.fromiter(counts.values(), np.float64, len(counts)) / lasted_s
        return dict(zip(counts, seen.tolist(), strict=True))

    def candidate_rates(self, carrier: Carrier, now_s: float) -> dict[int, float]:
        """Packets a second of the heaviest flows that are not at the NIC."""
        flows, counts = self._absent(carrier)
        seen = (counts * self.settings.sample).tolist()
        return self.rates(dict(zip(flows.tolist(), seen, strict=True)), now_s)

    def heaviest(self, carrier: Carrier, number: int, now_s: float) -> list[int]:
        """So many of these flows, the heaviest first."""
        if not now_s > self._since_s:
            return []
        flows, counts = self._absent(carrier)
        coming: list[int] = flows[np.lexsort((flows, -counts))[:number]].tolist()
        return coming

    def decided(self, now_s: float, offloaded: float) -> None:
        """Count anew, for a plan with so many flows at the NIC."""
        self._since_s = now_s
        self._renew(offloaded)

    def _absent(self, carrier: Carrier) -> tuple[Integers, Integers]:
        flows, counts = self.heavy.columns()
        absent = ~carrier.hold(flows)
        return flows[absent], counts[absent]

    def _renew(self, offloaded: float = 0.0) -> None:
        settings = self.settings
        most = settings.candidates
        if most is None:
            # As many as show an exponent, at least.
            most = max(settings.ranks, int(2.0 * offloaded))
        sketch = CountMin(settings.rows, settings.columns, self._rng)
        self.heavy = HeavyFlows(most, sketch)
