"""Packets of flows whose lengths follow a measured mixture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush, heapreplace
from itertools import repeat

import numpy as np

from models.errors import ConfigError
from workloads.checks import positive, whole_or_none
from workloads.demand import Packet
from workloads.draws import BLOCK, Floats, children, part_of, share_edges
from workloads.packets.sizes import PacketSizes


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
    packet has it as its first. limit: packets in all; None goes on without end.
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
        self.sizes = sizes
        self.limit = whole_or_none("limit", limit)
        if sizes is not None:
            sizes.check_mean(packet_bytes)

    @property
    def finite(self) -> bool:
        """Whether the packets end."""
        return self.limit is not None

    def packets(self, rng: np.random.Generator) -> Iterator[Packet]:
        """The packets in order."""
        births, gap_rng, length_rng, size_rng = children(rng, 4)
        sizes = repeat(self.packet_bytes) if self.sizes is None else self.sizes.draw(size_rng)
        lengths = self.lengths.draw(length_rng)
        gaps = _exponential(gap_rng, self.gap_s)
        starts = _exponential(births, 1.0 / self.new_flows_per_s)
        #: Time of the next packet, flow, and packets left after it.
        due: list[tuple[float, int, int]] = []
        birth_s, flow, made = next(starts), 0, 0
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
            yield Packet(now, this, next(sizes), kind)
            made += 1


def _exponential(rng: np.random.Generator, mean: float) -> Iterator[float]:
    while True:
        yield from rng.exponential(mean, BLOCK).tolist()
