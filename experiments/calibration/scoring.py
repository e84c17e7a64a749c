"""Errors of predictions, always with their coverage, and tables of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Score(NamedTuple):
    """Relative errors over `used` rows (fractions); `refused` rows had no prediction."""

    used: int
    refused: int
    median: float
    p90: float
    bias: float

    def cells(self) -> list[str]:
        share = [f"{100 * x:.1f}" for x in (self.median, self.p90)]
        return [str(self.used), str(self.refused), *share, f"{100 * self.bias:+.1f}"]


HEADINGS = ["rows", "refused", "median |e| %", "p90 |e| %", "median e %"]


def score(pairs: Iterable[tuple[float, float]], refused: int = 0) -> Score:
    """Of (predicted, measured) pairs; NaN everywhere without any."""
    errors = np.array([predicted / measured - 1.0 for predicted, measured in pairs])
    if not errors.size:
        return Score(0, refused, float("nan"), float("nan"), float("nan"))
    size = np.abs(errors)
    return Score(
        errors.size,
        refused,
        float(np.median(size)),
        float(np.quantile(size, 0.9)),
        float(np.median(errors)),
    )


def by(items: Iterable[T], key: Callable[[T], Hashable]) -> dict[Hashable, list[T]]:
    """Items grouped by a key, in order of first appearance."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain text: first column to the left, others to the right."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    text = []
    for line in lines:
        first, *rest = line
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "-" * max(len(line) for line in text))
    return "\n".join(text)
