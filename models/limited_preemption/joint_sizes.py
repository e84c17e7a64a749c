"""The joint law of a job's size and of the size predicted for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import k0

_Floats: TypeAlias = NDArray[np.float64]

#: How far the chances of listed jobs, and the integral of a density, may be from 1.
_LISTED, _INTEGRATED = 1e-6, 1e-3

#: Chances below which a point of a density is left out.
_NOTHING = 1e-18


class Rows(NamedTuple):
    """Jobs by prediction: `predictions_s` that there are, rising; points `starts[k]` to
    `starts[k + 1]` have the k-th. `shares[k]`, `work_s[k]`: chance of the first k predictions, and
    the mean of a job's size where it has one of them (0 where not)."""

    predictions_s: _Floats
    starts: NDArray[np.int64]
    shares: _Floats
    work_s: _Floats


@dataclass(frozen=True, eq=False)
class JointSizes:
    """Points (size, predicted size) with their chances, in order of prediction, then of size.

    `sizes_s`, `predictions_s`: seconds alone on the server, >= 0. `chances`: sum to 1 within 1e-6
    and are made to do so. The points may be given in any order; all three arrays are as long.
    `dense`: the points stand for a density, each for its neighbourhood; otherwise they are the
    only jobs there are, and jobs of one prediction tie.
    """

    sizes_s: _Floats
    predictions_s: _Floats
    chances: _Floats
    dense: bool = False

    def __post_init__(self) -> None:
        columns = [
            np.array(column, dtype=np.float64, ndmin=1)
            for column in (self.sizes_s, self.predictions_s, self.chances)
        ]
        if len({column.shape for column in columns}) > 1 or columns[0].ndim > 1:
            shapes = [column.shape for column in columns]
            raise ValueError(f"sizes, predictions and chances of shapes {shapes}, not one length")
        for name, column in zip(("size", "prediction", "chance"), columns, strict=True):
            wrong = ~(np.isfinite(column) & (column >= 0.0))
            if wrong.any():
                raise ValueError(f"a {name} is {column[wrong][0]}, not a finite number >= 0")
        total = float(columns[2].sum())
        if not abs(total - 1.0) <= _LISTED:
            raise ValueError(f"chances: sum to {total:g}, not to 1")
        order = np.lexsort(columns[:2])
        columns[2] /= total
        for name, column in zip(("sizes_s", "predictions_s", "chances"), columns, strict=True):
            object.__setattr__(self, name, column[order])

    @cached_property
    def rows(self) -> Rows:
        """The points by prediction."""
        predictions, starts = np.unique(self.predictions_s, return_index=True)
        shares = np.concatenate(([0.0], np.cumsum(self.chances)))
        work = np.concatenate(([0.0], np.cumsum(self.chances * self.sizes_s)))
        ends = np.append(starts, len(self.chances))
        return Rows(predictions, ends, shares[ends], work[ends])

    @classmethod
    def listed(
        cls, sizes_s: ArrayLike, predictions_s: ArrayLike, chances: ArrayLike | None = None
    ) -> JointSizes:
        """Finitely many kinds of jobs, or measured ones; without `chances` equally likely."""
        sizes = np.array(sizes_s, dtype=np.float64, ndmin=1)
        equal = np.full(sizes.shape, 1.0 / max(1, sizes.size))
        shares = equal if chances is None else np.asarray(chances, dtype=np.float64)
        return cls(sizes, np.asarray(predictions_s, dtype=np.float64), shares)

    @classmethod
    def perfect(
        cls, density: Callable[[_Floats], _Floats], largest_s: float, points: int = 2000
    ) -> JointSizes:
        """Every size is predicted as it is.

        `density`: of sizes, for an array of them; negligible beyond `largest_s`.
        """
        sizes, widths = _spread(largest_s, points)
        return cls._dense(sizes, sizes, np.asarray(density(sizes), dtype=np.float64) * widths)

    @classmethod
    def joint(
        cls,
        density: Callable[[_Floats, _Floats], _Floats],
        largest_size_s: float,
        largest_prediction_s: float,
        points: int = 800,
    ) -> JointSizes:
        """Any joint density of sizes and predictions.

        `density`: for two arrays of one shape, sizes and predictions; negligible beyond the two
        largest. It is taken at `points` x `points` places, closer where smaller: those about z
        are 4 / points x (largest / z)^(1/4) of z apart. A ridge narrower than that (predictions
        that are nearly right) needs more of them, or a list of jobs.
        """
        sizes, size_widths = _spread(largest_size_s, points)
        predictions, prediction_widths = _spread(largest_prediction_s, points)
        x, y = (grid.ravel() for grid in np.meshgrid(sizes, predictions))
        areas = np.outer(prediction_widths, size_widths).ravel()
        return cls._dense(x, y, np.asarray(density(x, y), dtype=np.float64) * areas)

    @classmethod
    def exponential(cls, mean_s: float = 1.0, points: int = 1600) -> JointSizes:
        """Exponential sizes, each predicted by an exponential variable whose mean is the size.

        Given the prediction y (both in units of `mean_s`) the logarithm u of size / sqrt(y) has a
        density in proportion to exp(-2 sqrt(y) cosh u), for which equal steps of u are exact but
        for rounding; predictions have the density 2 K_0(2 sqrt(y)), K_0 the modified Bessel
        function.
        """
        if not mean_s > 0.0:
            raise ValueError(f"a mean size of {mean_s} s, not > 0")
        predictions, widths = _spread(400.0, points)
        roots = np.sqrt(predictions)
        shares = 2.0 * k0(2.0 * roots) * widths
        # exp(-40) of the largest is nothing.
        reach = np.arccosh(1.0 + 20.0 / roots)
        steps = np.linspace(-1.0, 1.0, 201)
        logs = np.outer(reach, steps)
        weights = np.exp(2.0 * roots[:, None] * (1.0 - np.cosh(logs)))
        weights *= (shares / weights.sum(axis=1))[:, None]
        x = roots[:, None] * np.exp(logs)
        y = np.broadcast_to(roots[:, None] ** 2, x.shape)
        return cls._dense(mean_s * x.ravel(), mean_s * y.ravel(), weights.ravel())

    @classmethod
    def _dense(cls, sizes: _Floats, predictions: _Floats, chances: _Floats) -> JointSizes:
        total = float(chances.sum())
        if not abs(total - 1.0) <= _INTEGRATED:
            raise ValueError(
                f"density: integrates to {total:g} up to a size of {sizes.max():g} s and a "
                f"prediction of {predictions.max():g} s, not to 1: scale it, go "
                "further, or take more points"
            )
        kept = np.abs(chances) > _NOTHING
        return cls(sizes[kept], predictions[kept], chances[kept] / total, dense=True)


def _spread(largest: float, points: int) -> tuple[_Floats, _Floats]:
    """Places from 0 to `largest` and the width that each stands for, closer near 0: their fourth
    roots are the middles of equal pieces."""
    if not (0.0 < largest < np.inf and points >= 1):
        raise ValueError(f"{points} points up to {largest}, not at least 1 up to a number > 0")
    roots = (np.arange(points) + 0.5) / points
    return largest * roots**4, largest * 4.0 * roots**3 / points
