"""Packets of flows whose lengths follow a measured mixture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush, heapreplace
from itertools import repeat
from math import ceil, exp, log, sqrt

import numpy as np
from scipy.special import erfc

from models.errors import ConfigError
from workloads.checks import positive, whole_or_none
from workloads.demand import Packet
from workloads.draws import BLOCK, Floats, children, part_of, share_edges
from workloads.packets.sizes import PacketSizes, packet_sizes

#: Shares of longer flows that are summed up one by one; beyond, by their integral.
_SUMMED = 64


class FlowLengths:
    """Packets of a flow: a mixture of uniform parts, rounded up, and lognormal ones, rounded to the
    nearest number of at least 1.

    uniform: upper end -> relative share, each from 0. lognormal: parts {share, sigma, scale}, where
    scale is the median."""

    def __init__(
        self, uniform: Mapping[float, float], lognormal: Sequence[Mapping[str, float]]
    ) -> None:
        shares = {f"uniform {high}": share for high, share in uniform.items()}
        parts: list[tuple[float, float]] = [
            (positive("uniform: an end", float(high)), 0.0) for high in uniform
        ]
        for i, part in enumerate(lognormal):
            if set(part) != {"share", "sigma", "scale"}:
                raise ConfigError(
                    f"lognormal[{i}] has {sorted(part)}; it must have share, sigma and scale"
                )
            shares[f"lognormal {i}"] = part["share"]
            scale = positive(f"lognormal[{i}].scale", part["scale"])
            parts.append((scale, positive(f"lognormal[{i}].sigma", part["sigma"])))
        self._edges = share_edges("flow lengths", shares, shares)
        self._high = np.array([high for high, _ in parts])
        self._sigma = np.array([sigma for _, sigma in parts])

    @cached_property
    def mean_left(self) -> float:
        """Mean packets of a flow after its first."""
        return float(np.sum(np.diff(self._edges) * self._means_left))

    @cached_property
    def _means_left(self) -> Floats:
        """Of each part: the sum of the shares of flows longer than 1, 2, ... packets."""
        means = []
        for high, sigma in zip(self._high.tolist(), self._sigma.tolist(), strict=True):
            if not sigma:
                whole = ceil(high) - 1
                means.append(whole - whole * (whole + 1) / (2.0 * high))
                continue
            ends: Floats = np.arange(1, _SUMMED, dtype=np.float64) + 0.5
            means.append(float(np.sum(_longer(ends, high, sigma))) + _excess(_SUMMED, high, sigma))
        return np.array(means)

    def left(self, number: int, rng: np.random.Generator) -> list[int]:
        """Packets left, at least 1, of so many flows that have begun at any time before: flows with
        r packets left are as many as flows are longer than r."""
        shares = np.diff(self._edges) * self._means_left
        parts = rng.choice(len(shares), number, p=shares / shares.sum())
        left = np.empty(number, dtype=np.int64)
        for part, (high, sigma) in enumerate(zip(self._high, self._sigma, strict=True)):
            here = np.flatnonzero(parts == part)
            if len(here) and not sigma:
                longer = 1.0 - np.arange(1, ceil(high)) / high
                left[here] = 1 + rng.choice(len(longer), len(here), p=longer / longer.sum())
                here = here[:0]
            # A share of a length that is drawn by its size is as the lengths beyond it.
            while len(here):
                biased = high * np.exp(sigma * (rng.standard_normal(len(here)) + sigma))
                left[here] = np.minimum(rng.random(len(here)) * biased, 2.0**62)
                here = here[left[here] < 1]
        found: list[int] = left.tolist()
        return found

    def draw(self, rng: np.random.Generator) -> Iterator[int]:
        """Lengths without end, each at least 1."""
        while True:
            yield from self.block(rng).tolist()

    def block(self, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """A block of lengths."""
        u = rng.random((BLOCK, 2))
        normal = rng.standard_normal(BLOCK)
        part = part_of(self._edges, u[:, 0])
        sigma, high = self._sigma[part], self._high[part]
        drawn = np.rint(high * np.exp(sigma * normal))
        length: Floats = np.where(sigma > 0.0, drawn, np.ceil(high * u[:, 1]))
        return np.maximum(1, length).astype(np.int64)


class MixedFlows:
    """Flows that begin at random; the packets of each follow at random, `gap_s` apart on average.

    new_flows_per_s: rate of flows. sizes: of all packets, or `packet_bytes` for each. A flow of one
    packet has it as its first, and is over before the next. begun: flows, numbered from 0, that
    have begun before the first packet: as many as there are on average, each with as much left as
    chance has it, so that packets come at the rate that flows and their lengths make from the
    start. limit: packets in all; None goes on without end.
    """

    def __init__(
        self,
        lengths: FlowLengths,
        *,
        new_flows_per_s: float,
        gap_s: float,
        packet_bytes: float,
        sizes: PacketSizes | None = None,
        limit: int | None = None,
    ) -> None:
        self.lengths = lengths
        self.new_flows_per_s = positive("new_flows_per_s", new_flows_per_s)
        self.gap_s = positive("gap_s", gap_s)
        self.packet_bytes = positive("packet_bytes", packet_bytes)
        self.sizes = packet_sizes(sizes)
        self.limit = whole_or_none("limit", limit)
        self.begun = round(self.new_flows_per_s * self.gap_s * lengths.mean_left)
        if sizes is not None:
            sizes.check_mean(packet_bytes)

    @property
    def finite(self) -> bool:
        """Whether the packets end."""
        return self.limit is not None

    def packets(self, rng: np.random.Generator) -> Iterator[Packet]:
        """The packets in order."""
        births, gap_rng, length_rng, size_rng, begun_rng = children(rng, 5)
        sizes = repeat(self.packet_bytes) if self.sizes is None else self.sizes.draw(size_rng)
        lengths = self.lengths.draw(length_rng)
        gaps = _exponential(gap_rng, self.gap_s)
        starts = _exponential(births, 1.0 / self.new_flows_per_s)
        #: Time of the next packet, flow, and packets left after it.
        due: list[tuple[float, int, int]] = []
        if self.begun:
            first_s = begun_rng.exponential(self.gap_s, self.begun).tolist()
            left_now = self.lengths.left(self.begun, begun_rng)
            due = [(first_s[flow], flow, left - 1) for flow, left in enumerate(left_now)]
            heapify(due)
        birth_s, flow, made = next(starts), self.begun, 0
        over: tuple[int, ...] = ()
        while made != self.limit:
            if not due or birth_s <= due[0][0]:
                now, this, left, kind = birth_s, flow, next(lengths) - 1, "N"
                birth_s += next(starts)
                flow += 1
                if left:
                    heappush(due, (now + next(gaps), this, left - 1))
            else:
                now, this, left = due[0]
                kind = "E" if left else "T"
                if left:
                    heapreplace(due, (now + next(gaps), this, left - 1))
                else:
                    heappop(due)
            yield Packet(now, this, next(sizes), kind, over=over)
            over = (this,) if kind == "N" and not left else ()
            made += 1


def _longer(lengths: Floats, median: float, sigma: float) -> Floats:
    """Share of a lognormal distribution that is longer than each of these."""
    found: Floats = 0.5 * erfc((np.log(lengths) - log(median)) / (sigma * sqrt(2.0)))
    return found


def _excess(length: float, median: float, sigma: float) -> float:
    """Mean of what a lognormal length has beyond a length; 0 if it is shorter."""
    mean = median * exp(0.5 * sigma * sigma)
    above = _longer(np.array([length]), median * exp(sigma * sigma), sigma)
    return float(mean * above[0] - length * _longer(np.array([length]), median, sigma)[0])


def _exponential(rng: np.random.Generator, mean: float) -> Iterator[float]:
    while True:
        yield from rng.exponential(mean, BLOCK).tolist()
