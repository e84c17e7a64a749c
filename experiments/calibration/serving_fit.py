"""Constants of a serving stack fitted to measured benchmark runs by simulating each run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.calibration.benchmark_client import BenchmarkClient
from experiments.calibration.profiles import ServingRow
from models.efficiency import Efficiency

Numbers = NDArray[np.float64]


class Constant(NamedTuple):
    """What is fitted: in units of `scale`, from `start`, between `low` and `high`, to so many
    `digits`."""

    scale: float
    start: float
    low: float
    high: float
    digits: int
    meaning: str


#: Starting values are round figures from before any fit, so that no row is in them.
CONSTANTS = {
    "gemm_compute": Constant(1.0, 0.65, 0.1, 1.0, 3, "of the 8-bit peak, matrix products"),
    "gemm_memory": Constant(1.0, 0.80, 0.1, 1.0, 3, "of the memory bandwidth, matrix products"),
    "layer_overhead_s": Constant(1e-6, 20.0, 0.0, 500.0, 1, "us a layer that no operator takes"),
    "decode_attention_memory_8bit": Constant(1.0, 0.6, 0.05, 1.0, 3, "of the bandwidth, 8-bit KV"),
    "link": Constant(1.0, 0.6, 0.1, 1.0, 3, "of the link bandwidth, all-reduces"),
}
#: Runs of the fit all use this seed, so that constants alone make the difference.
SEEDS = (0,)
#: Where a log ratio begins to count linearly, not squared: single rows do not steer the fit.
_ROBUST = 0.05
_STEP = 0.01


@dataclass(frozen=True)
class Fit:
    """Fitted constants with how well the rows tell them.

    deviation: standard deviation of each constant relative to its value, from the curvature.
    correlation: of each pair, by names. at_bound: constants that stopped at a bound.
    cost: half the sum of robust squared log ratios; `runs`: simulations that it took.
    """

    efficiency: Efficiency
    deviation: Mapping[str, float]
    correlation: Mapping[tuple[str, str], float]
    at_bound: tuple[str, ...]
    cost: float
    runs: int

    def warnings(self) -> list[str]:
        """What the rows do not tell well."""
        said = [f"{key} stands at its bound: it absorbs another effect" for key in self.at_bound]
        said += [
            f"{key} is weakly identified (+-{share:.0%})"
            for key, share in self.deviation.items()
            if share > 0.15
        ]
        said += [
            f"{a} and {b} are told together, not each alone (correlation {value:+.2f})"
            for (a, b), value in self.correlation.items()
            if abs(value) > 0.8
        ]
        return said


def fit(
    client: BenchmarkClient,
    rows: Sequence[ServingRow],
    known: Efficiency,
    progress: Callable[[int], None] | None = None,
) -> Fit:
    """`known` with the `CONSTANTS` that bring simulated TTFT and TPOT nearest to the rows'.

    Least squares on log ratios, both figures alike, large ones counted linearly. `progress` is
    called with the number of simulations so far. Deterministic, whatever `CONSTANTS` of `known`.
    """
    from scipy.optimize import least_squares

    runs = 0

    def misfit(x: Numbers) -> Numbers:
        nonlocal runs
        tried = _with(known, x)
        ratios = []
        for row in rows:
            got = client.run(row, tried, SEEDS)
            ratios += [log(got.ttft_s / row.ttft_s), log(got.tpot_s / row.tpot_s)]
        runs += len(rows)
        if progress is not None:
            progress(runs)
        return np.array(ratios)

    low = np.array([constant.low for constant in CONSTANTS.values()])
    high = np.array([constant.high for constant in CONSTANTS.values()])
    first = np.array([constant.start for constant in CONSTANTS.values()])
    best = least_squares(
        misfit,
        first,
        bounds=(low, high),
        loss="soft_l1",
        f_scale=_ROBUST,
        x_scale=first,
        diff_step=_STEP,
        ftol=1e-4,
        xtol=1e-3,
        max_nfev=15,
    )
    deviation, correlation = _identified(best.jac, best.fun, best.x)
    near = 1e-3 * (high - low)
    at_bound = (best.x <= low + near) | (best.x >= high - near)
    return Fit(
        efficiency=_with(known, best.x),
        deviation=deviation,
        correlation=correlation,
        at_bound=tuple(key for key, hit in zip(CONSTANTS, at_bound, strict=True) if hit),
        cost=float(best.cost),
        runs=runs,
    )


def with_constants(start: Efficiency, constants: Mapping[str, float]) -> Efficiency:
    """`start` with other values of the `CONSTANTS`."""
    changes: dict[str, Any] = {key: float(constants[key]) for key in CONSTANTS}
    return replace(start, **changes)


def rounded(efficiency: Efficiency) -> Efficiency:
    """The constants to the digits that are kept."""
    kept = {}
    for key, constant in CONSTANTS.items():
        digits = round(getattr(efficiency, key) / constant.scale, constant.digits)
        kept[key] = float(f"{digits * constant.scale:.6g}")
    return with_constants(efficiency, kept)


def _with(start: Efficiency, x: Numbers) -> Efficiency:
    """Values in units of their scales."""
    pairs = zip(CONSTANTS.items(), x, strict=True)
    return with_constants(start, {key: float(v) * known.scale for (key, known), v in pairs})


def _identified(
    jacobian: Numbers, residuals: Numbers, x: Numbers
) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Relative standard deviations and correlations of the constants."""
    spread = 1.4826 * float(np.median(np.abs(residuals)))
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * spread**2
    deviation = np.sqrt(np.diag(covariance))
    keys = list(CONSTANTS)
    relative = {key: float(d / abs(v)) for key, d, v in zip(keys, deviation, x, strict=True)}
    pairs = {
        (keys[i], keys[j]): float(covariance[i, j] / (deviation[i] * deviation[j]))
        for i in range(len(keys))
        for j in range(i)
        if deviation[i] > 0.0 and deviation[j] > 0.0
    }
    return relative, pairs
