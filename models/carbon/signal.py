"""A quantity that is constant between given times: carbon intensity, power, farm output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import TraceError

Floats = NDArray[np.float64]


class StepSignal:
    """`values[i]` from `edges_s[i]` to `edges_s[i + 1]`, the end not included.

    Known from its first to its last edge and nowhere else: a question beyond is a TraceError, never
    a silent hold. `name` says whose signal it is, `unit` of the values. Raises TraceError unless
    edges rise and all is finite.
    """

    __slots__ = ("edges_s", "name", "unit", "values")

    def __init__(
        self,
        edges_s: Sequence[float] | Floats,
        values: Sequence[float] | Floats,
        name: str = "signal",
        unit: str = "g/kWh",
    ) -> None:
        self.edges_s: Floats = np.asarray(edges_s, dtype=np.float64)
        self.values: Floats = np.asarray(values, dtype=np.float64)
        self.name, self.unit = name, unit
        if self.values.size < 1 or self.edges_s.size != self.values.size + 1:
            raise TraceError(
                f"{name}: {self.values.size} values need as many steps; {self.edges_s.size} edges "
                f"make {max(0, self.edges_s.size - 1)}"
            )
        if not (np.isfinite(self.edges_s).all() and np.isfinite(self.values).all()):
            raise TraceError(f"{name}: a time or a value is not finite")
        if not (np.diff(self.edges_s) > 0.0).all():
            at = int(np.argmin(np.diff(self.edges_s) > 0.0))
            raise TraceError(
                f"{name}: edge {at + 1} at {self.edges_s[at + 1]!r} s is not after the one before"
            )

    @classmethod
    def regular(
        cls,
        start_s: float,
        step_s: float,
        values: Sequence[float] | Floats,
        name: str = "signal",
        unit: str = "g/kWh",
    ) -> StepSignal:
        """Equal steps."""
        edges = start_s + step_s * np.arange(len(values) + 1, dtype=np.float64)
        return cls(edges.tolist(), values, name, unit)

    @property
    def start_s(self) -> float:
        return float(self.edges_s[0])

    @property
    def end_s(self) -> float:
        return float(self.edges_s[-1])

    def at(self, time_s: float) -> float:
        """The value at a time. Raises TraceError outside the signal."""
        if not self.start_s <= time_s < self.end_s:
            raise self._unknown(f"{time_s!r} s was asked")
        return float(self.values[np.searchsorted(self.edges_s, time_s, side="right") - 1])

    def integral(self, from_s: float, to_s: float) -> float:
        """Integral over an interval, exact across steps, in (unit) x seconds. Raises TraceError
        where the interval leaves the signal."""
        edges, values = self.pieces(from_s, to_s)
        return float(np.dot(np.diff(edges), values))

    def mean(self, from_s: float, to_s: float) -> float:
        """Mean over an interval by time; at one instant the value there."""
        if from_s == to_s:
            return self.at(from_s)
        return self.integral(from_s, to_s) / (to_s - from_s)

    def pieces(self, from_s: float, to_s: float) -> tuple[Floats, Floats]:
        """The part from `from_s` to `to_s`: its edges and its values. Raises TraceError where that
        leaves the signal or goes backwards."""
        if not self.start_s <= from_s <= to_s <= self.end_s:
            raise self._unknown(f"{from_s!r} to {to_s!r} s was asked")
        if from_s == to_s:
            return np.array([from_s]), np.empty(0)
        first = int(np.searchsorted(self.edges_s, from_s, side="right")) - 1
        last = int(np.searchsorted(self.edges_s, to_s, side="left"))
        edges = self.edges_s[first : last + 1].copy()
        edges[0], edges[-1] = from_s, to_s
        return edges, self.values[first:last]

    def part(self, from_s: float, to_s: float) -> StepSignal:
        """The signal over an interval of some length."""
        return StepSignal(*self.pieces(from_s, to_s), self.name, self.unit)

    def shifted(self, by_s: float) -> StepSignal:
        """The same, so much later: puts a calendar on a run's clock."""
        return StepSignal(self.edges_s + by_s, self.values, self.name, self.unit)

    def mapped(self, function: Callable[[Floats], Any], unit: str | None = None) -> StepSignal:
        """The same steps with other values."""
        return StepSignal(self.edges_s, function(self.values), self.name, unit or self.unit)

    def next_edge_s(self, time_s: float) -> float:
        """The first edge after a time; the end where there is none before it."""
        if not self.start_s <= time_s < self.end_s:
            raise self._unknown(f"{time_s!r} s was asked")
        return float(self.edges_s[np.searchsorted(self.edges_s, time_s, side="right")])

    def _unknown(self, asked: str) -> TraceError:
        return TraceError(
            f"{self.name}: is known from {self.start_s!r} to {self.end_s!r} s; {asked}"
        )


def together(signals: Sequence[StepSignal]) -> tuple[Floats, list[Floats]]:
    """Common edges of signals where all are known, and each signal's values on them. Raises
    TraceError where they have no time in common."""
    start = max(signal.start_s for signal in signals)
    end = min(signal.end_s for signal in signals)
    if not start < end:
        raise TraceError(f"{', '.join(s.name for s in signals)}: have no time in common")
    parts = [signal.pieces(start, end) for signal in signals]
    edges = np.unique(np.concatenate([edges for edges, _ in parts]))
    return edges, [
        values[np.searchsorted(own, edges[:-1], side="right") - 1] for own, values in parts
    ]


def product_integral(*signals: StepSignal, from_s: float, to_s: float) -> float:
    """Integral of the product of signals over an interval, exact across all their steps: power x
    intensity x PUE."""
    if from_s == to_s:
        return 0.0
    edges, values = together([signal.part(from_s, to_s) for signal in signals])
    return float(np.dot(np.diff(edges), np.prod(values, axis=0)))
