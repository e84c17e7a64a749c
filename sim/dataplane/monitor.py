"""What a data path knows of its traffic: counters, and a sketch of what goes to the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nlargest, nsmallest

import numpy as np

from models.network_functions.estimate import EpochCounters, estimate, smoothed
from models.network_functions.sketch import CountMin, HeavyFlows
from models.network_functions.traffic import TrafficProfile
from sim.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """interval_s: of an epoch. weight: of the newest in the moving average of estimates.
    sample: one in so many packets at the host is counted. candidates: heavy flows among these that
    are kept. rows, columns: of the sketch. ranks: flows that the exponent is taken from.
    """

    interval_s: float
    weight: float
    sample: int
    candidates: int
    rows: int
    columns: int
    ranks: int
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.interval_s > 0.0:
            raise ConfigError(f"monitor.interval_s is {self.interval_s!r}; it must be above 0")
        if not 0.0 < self.weight <= 1.0:
            raise ConfigError(f"monitor.weight is {self.weight!r}; it must be in (0, 1]")
        for key in ("sample", "candidates", "rows", "columns", "ranks"):
            if getattr(self, key) < 1:
                raise ConfigError(f"monitor.{key} is {getattr(self, key)!r}; it must be at least 1")


class Monitor:
    """Estimates the profile of the traffic from what a data path can count.

    `hits`: packets of each offloaded flow since the last decision, as its counter at the NIC says;
    `heavy`: those of heavy flows among sampled packets at the host.
    """

    def __init__(
        self, settings: MonitorSettings, first: TrafficProfile, rng: np.random.Generator
    ) -> None:
        self.settings = settings
        self.profile = first
        self.hits: dict[int, int] = {}
        self._rng = rng
        self._since_s = 0.0
        self._left_out = 0
        self._before = (0, 0.0, 0)
        self._epoch_s = 0.0
        self._flows = first.flows
        self._renew()

    def sample(self, flow: int, count: int) -> None:
        """A packet (`count` of them) at the host; one in so many is counted."""
        self._left_out += count
        if self._left_out >= self.settings.sample:
            self._left_out -= self.settings.sample
            self.heavy.add(flow)

    def epoch(self, now_s: float, packets: int, size_bytes: float, new: int, ended: int) -> None:
        """An epoch is over; totals from the start of the run."""
        before = self._before
        self._before = (packets, size_bytes, new)
        lasted_s = now_s - self._epoch_s
        self._epoch_s = now_s
        if packets == before[0]:
            return
        seen = EpochCounters(
            duration_s=lasted_s,
            packets=packets - before[0],
            size_bytes=size_bytes - before[1],
            new_flows=new - before[2],
            active_flows=max(1.0, self._flows + new - ended),
            top_counts=self.top_counts(),
        )
        self.profile = smoothed(
            self.profile, estimate(seen, self.settings.ranks), self.settings.weight
        )

    def top_counts(self) -> list[float]:
        """Packets of the most popular flows since the last decision. Where sampling sees a flow
        once or twice, its count says nothing of its rank: such flows are left out."""
        sample = self.settings.sample
        counts = [float(count) for count in nlargest(self.settings.ranks, self.hits.values())]
        counts += [float(n * sample) for n in self.heavy.counts.values() if n > 2]
        return nlargest(self.settings.ranks, counts)

    def member_rates(self, members: set[int], now_s: float) -> dict[int, float]:
        """Packets a second of the slowest offloaded flows, as many as there are candidates."""
        lasted_s = now_s - self._since_s
        if not lasted_s > 0.0:
            return {}
        hits = self.hits
        slow = nsmallest(len(self.heavy.counts), ((hits.get(flow, 0), flow) for flow in members))
        return {flow: count / lasted_s for count, flow in slow}

    def candidate_rates(self, members: set[int], now_s: float) -> dict[int, float]:
        """Packets a second of the heaviest flows that are not offloaded."""
        lasted_s = now_s - self._since_s
        if not lasted_s > 0.0:
            return {}
        scale = self.settings.sample / lasted_s
        return {
            flow: count * scale for flow, count in self.heavy.counts.items() if flow not in members
        }

    def decided(self, now_s: float) -> None:
        """Count anew."""
        self.hits.clear()
        self._since_s = now_s
        self._renew()

    def _renew(self) -> None:
        settings = self.settings
        sketch = CountMin(settings.rows, settings.columns, self._rng)
        self.heavy = HeavyFlows(settings.candidates, sketch)
