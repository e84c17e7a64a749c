"""What one iteration of a served model costs, and the form in which cost models say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.ramp import Ramp


class StepCost(Ramp):
    """Duration and power of a run of iterations with the same composition.

    As a ramp it is the duration of each iteration, in seconds. Iteration `j` also counts
    `active_first + active_slope * j` seconds weighted by the share of the device's dynamic power
    range (0 idle, 1 at peak), so that the energy of `k` iterations is `idle_w * total(k) +
    (peak_w - idle_w) * active_total(k)`.
    """

    __slots__ = ("active_first", "active_slope")

    def __init__(
        self,
        first: float,
        slope: float = 0.0,
        floor: float = 0.0,
        active_first: float = 0.0,
        active_slope: float = 0.0,
    ) -> None:
        # What Ramp does, without a call: one is made for nearly every event of a simulation.
        if not (first >= 0.0 and slope >= 0.0 and floor >= 0.0):
            raise ValueError(f"a ramp needs numbers >= 0, not {first}, {slope}, {floor}")
        self.first = first
        self.slope = slope
        self.floor = floor
        self.flat = 0 if floor <= first else self._flat_steps()
        self.active_first = active_first
        self.active_slope = active_slope

    @property
    def active(self) -> Ramp:
        """The weighted seconds as a ramp."""
        return Ramp(self.active_first, self.active_slope)

    def active_step(self, j: int) -> float:
        """Weighted seconds of iteration `j`."""
        return self.active_first + self.active_slope * j

    def active_total(self, steps: int) -> float:
        """Weighted seconds of the first `steps` iterations."""
        return steps * self.active_first + self.active_slope * (steps * (steps - 1) // 2)

    def legs(self) -> list[tuple[int, float, float]]:
        """Where durations and weighted seconds are straight in the iteration's number: the first
        iteration of each leg, and both slopes there."""
        ramp = (max(0, self.flat), self.slope, self.active_slope)
        if self.flat == 0:
            return [ramp]
        flat = (0, 0.0, self.active_slope)
        return [flat] if self.flat < 0 else [flat, ramp]


class WithLast(StepCost):
    """Iterations of one composition, `turn` of them, and a last one of another."""

    __slots__ = ("last_active", "last_s", "turn")

    def __init__(self, start: StepCost, turn: int, last: StepCost) -> None:
        self.first = start.first
        self.slope = start.slope
        self.floor = start.floor
        self.flat = start.flat
        self.active_first = start.active_first
        self.active_slope = start.active_slope
        self.turn = turn
        self.last_s = last.step(0)
        self.last_active = last.active_first

    def step(self, j: int) -> float:
        return StepCost.step(self, j) if j < self.turn else self.last_s

    def total(self, steps: int) -> float:
        turn = self.turn
        if steps <= turn:
            return StepCost.total(self, steps)
        return StepCost.total(self, turn) + (steps - turn) * self.last_s

    def near(self, duration: float) -> int:
        return min(StepCost.near(self, duration), self.turn + 1)

    def active_step(self, j: int) -> float:
        return StepCost.active_step(self, j) if j < self.turn else self.last_active

    def active_total(self, steps: int) -> float:
        turn = self.turn
        if steps <= turn:
            return StepCost.active_total(self, steps)
        return StepCost.active_total(self, turn) + (steps - turn) * self.last_active

    def legs(self) -> list[tuple[int, float, float]]:
        turn = self.turn
        return [*[leg for leg in StepCost.legs(self) if leg[0] < turn], (turn, 0.0, 0.0)]

    def moment(self, steps: int) -> float:
        turn = self.turn
        if steps <= turn:
            return StepCost.moment(self, steps)
        rest = steps - turn
        return StepCost.moment(self, turn) + self.last_s * (rest * turn + rest * (rest - 1) // 2)


class IterationCost(Protocol):
    """A cost model of LLM iterations on one replica (a device or a tensor-parallel group)."""

    def step(
        self,
        decodes: int,
        context_tokens: int,
        chunks: Sequence[tuple[int, int]],
        sampled: int,
    ) -> StepCost:
        """Cost of iterations that keep this composition.

        `decodes` sequences decode one token each and read `context_tokens` KV tokens in all in
        the first iteration, `decodes` more in each later one. `chunks` are prefill pieces
        (cached tokens before the piece, tokens of the piece); a single chunk may repeat, its
        cached tokens growing by its size, several hold for one iteration only. `sampled`
        sequences yield a token (decodes, and chunks that complete a prompt).
        """
        ...
