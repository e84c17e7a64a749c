"""All-reduce and send times between GPUs of one node: the alpha-beta model fitted and judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from experiments.calibration.profiles import CollectiveRow
from experiments.calibration.scoring import HEADINGS, by, score, table
from models.collectives import RingCollectives
from models.efficiency import Efficiency
from models.gpu_spec import GpuSpec

Numbers = NDArray[np.float64]

RANGES = (100_000, 1_000_000, 4_000_000, 16_000_000, 100_000_000)


def within_node(rows: Sequence[CollectiveRow], kind: str) -> list[CollectiveRow]:
    """Rows of a collective whose GPUs all stand on one node, sorted by (peers, bytes)."""
    chosen = [row for row in rows if row.kind == kind and row.peers == row.per_node]
    return sorted(chosen, key=lambda row: (row.peers, row.size_bytes))


def halves(rows: Sequence[CollectiveRow]) -> tuple[list[CollectiveRow], list[CollectiveRow]]:
    """Every other row (fit) and the rest, in the order given."""
    return list(rows[::2]), list(rows[1::2])


def collectives(gpu: GpuSpec, efficiency: Efficiency) -> RingCollectives:
    """The collectives of the cost model on this card."""
    return RingCollectives(
        bandwidth_bytes_per_s=efficiency.link * gpu.link_bandwidth_bytes_per_s,
        latency_s=efficiency.collective_s,
        hop_s=efficiency.collective_hop_s,
    )


def sends(gpu: GpuSpec, efficiency: Efficiency) -> RingCollectives:
    """Messages of the cost model on this card."""
    return RingCollectives(
        bandwidth_bytes_per_s=efficiency.send_link * gpu.link_bandwidth_bytes_per_s,
        latency_s=efficiency.send_s,
    )


def fit(rows: Sequence[CollectiveRow], gpu: GpuSpec, start: Efficiency) -> Efficiency:
    """`start` with link share, fixed time and time per ring step that fit all-reduces best."""
    peers = np.array([row.peers for row in rows], dtype=float)
    link_s = _link_s(rows, gpu) * 2 * (peers - 1) / peers
    link, fixed, hop = _least(
        lambda x: link_s / x[0] + 1e-6 * (x[1] + 2 * (peers - 1) * x[2]), rows, (0.6, 20.0, 1.0)
    )
    return replace(
        start,
        link=round(link, 3),
        collective_s=round(fixed * 1e-6, 8),
        collective_hop_s=round(hop * 1e-6, 8),
    )


def fit_sends(rows: Sequence[CollectiveRow], gpu: GpuSpec, start: Efficiency) -> Efficiency:
    """`start` with link share and fixed time that fit messages best."""
    link_s = _link_s(rows, gpu)
    link, fixed = _least(lambda x: link_s / x[0] + 1e-6 * x[1], rows, (0.6, 10.0))
    return replace(start, send_link=round(link, 3), send_s=round(fixed * 1e-6, 8))


def _link_s(rows: Sequence[CollectiveRow], gpu: GpuSpec) -> Numbers:
    return np.array([row.size_bytes for row in rows]) / gpu.link_bandwidth_bytes_per_s


def _least(
    predict: Callable[[Numbers], Numbers],
    rows: Sequence[CollectiveRow],
    start: tuple[float, ...],
) -> list[float]:
    """Least mean absolute log ratio to the measured times; the first constant, a share, stays
    within 1."""
    from scipy.optimize import minimize

    measured = np.array([row.seconds for row in rows])

    def misfit(x: Numbers) -> float:
        if np.any(x <= 0.0) or x[0] > 1.0:
            return 1e9
        return float(np.mean(np.abs(np.log(predict(x) / measured))))

    best = minimize(
        misfit,
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-4, "fatol": 1e-7, "maxiter": 4000},
    )
    return [float(value) for value in best.x]


def report(rows: Sequence[CollectiveRow], ring: RingCollectives) -> str:
    """Errors by number of GPUs and size."""
    lines = []
    for label, group in [("all", list(rows)), *by(rows, _label).items()]:
        pairs = [(seconds(ring, row), row.seconds) for row in group]
        lines.append([str(label), *score(pairs).cells()])
    return table(["", *HEADINGS], lines)


def seconds(ring: RingCollectives, row: CollectiveRow) -> float:
    """What the model gives to a row."""
    if row.kind == "all_reduce":
        return ring.all_reduce(row.size_bytes, row.peers)
    return ring.send(row.size_bytes)


def _label(row: CollectiveRow) -> str:
    top = next(limit for limit in RANGES if row.size_bytes <= limit)
    return f"{row.peers} GPUs, up to {top / 1e6:g} MB"
