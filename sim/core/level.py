"""A quantity that changes at instants."""

from __future__ import annotations


class Level:
    """Its value now, its peak, and its integral over time."""

    __slots__ = ("_area", "_since_s", "peak", "value")

    def __init__(self, now_s: float = 0.0) -> None:
        self.value = 0
        self.peak = 0
        self._area = 0.0
        self._since_s = now_s

    def change(self, by: int, now_s: float) -> None:
        """Add `by` at this moment."""
        self._area += self.value * (now_s - self._since_s)
        self._since_s = now_s
        self.value += by
        if self.value > self.peak:
            self.peak = self.value

    def area(self, now_s: float) -> float:
        """Integral until now, in units of the value times seconds."""
        return self._area + self.value * (now_s - self._since_s)
