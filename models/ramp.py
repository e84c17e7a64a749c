"""Durations of a run of steps whose composition stays the same."""

from __future__ import annotations

from math import ceil, sqrt


class Ramp:
    """Step `j` (from 0) lasts `max(floor, first + slope * j)`; sums are closed forms.

    Decode steps of a fixed batch are such a run: every step reads one token more per sequence.
    `floor` is what hides the growth (a host-bound step, say), `flat` the steps that last it (-1:
    all). Units: seconds, or whatever the
    three numbers share.
    """

    __slots__ = ("first", "flat", "floor", "slope")

    def __init__(self, first: float, slope: float = 0.0, floor: float = 0.0) -> None:
        if not (first >= 0.0 and slope >= 0.0 and floor >= 0.0):
            raise ValueError(f"a ramp needs numbers >= 0, not {first}, {slope}, {floor}")
        self.first = first
        self.slope = slope
        self.floor = floor
        self.flat = 0 if floor <= first else self._flat_steps()

    def _flat_steps(self) -> int:
        """Steps that last `floor`, before the ramp proper; -1: all of them."""
        rise = self.floor - self.first
        return ceil(rise / self.slope) if self.slope * 2**60 > rise else -1

    def step(self, j: int) -> float:
        """Duration of step `j`, counted from 0."""
        duration = self.first + self.slope * j
        return duration if duration > self.floor else self.floor

    def total(self, steps: int) -> float:
        """Duration of the first `steps` steps."""
        flat = self.flat
        if flat == 0:
            return steps * self.first + self.slope * (steps * (steps - 1) // 2)
        if flat < 0 or steps <= flat:
            return steps * self.floor
        rest = steps - flat
        return (
            flat * self.floor
            + rest * (self.first + self.slope * flat)
            + self.slope * (rest * (rest - 1) // 2)
        )

    def steps_within(self, duration: float) -> int:
        """Largest number of steps whose `total` is at most `duration`."""
        guess = self.near(duration)
        while guess > 0 and self.total(guess) > duration:
            guess -= 1
        while self.total(guess + 1) <= duration:
            guess += 1
        return guess

    def near(self, duration: float) -> int:
        """About `steps_within(duration)`, mostly exact: the continuous form."""
        if duration <= 0.0:
            return 0
        flat = self.flat
        if flat < 0 or (flat > 0 and duration <= flat * self.floor):
            return int(duration / self.floor)
        left = duration - flat * self.floor
        first = self.first + self.slope * flat
        if self.slope == 0.0:
            if first == 0.0:
                raise ValueError("a ramp without duration holds any number of steps")
            return int(left / first)
        b = first - 0.5 * self.slope
        root = sqrt(b * b + 2.0 * self.slope * left)
        return flat + int((root - b) / self.slope)

    def __add__(self, other: Ramp) -> Ramp:
        if self.floor or other.floor:
            raise ValueError("only ramps without a floor add up to a ramp")
        return Ramp(self.first + other.first, self.slope + other.slope)

    def __repr__(self) -> str:
        return f"Ramp(first={self.first!r}, slope={self.slope!r}, floor={self.floor!r})"

    def moment(self, steps: int) -> float:
        """Sum of `j * step(j)` over the first `steps` steps."""
        flat = self.flat
        ones = steps * (steps - 1) // 2
        if flat == 0:
            return ones * (self.first + self.slope * (2 * steps - 1) / 3)
        if flat < 0 or steps <= flat:
            return self.floor * ones
        rest = steps - flat
        tail = Ramp(self.first + self.slope * flat, self.slope)
        return self.floor * (flat * (flat - 1) // 2) + flat * tail.total(rest) + tail.moment(rest)
