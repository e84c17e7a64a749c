"""Iterations that also pay for what looks at each sequence."""

from __future__ import annotations

from collections.abc import Sequence

from models.step_cost import IterationCost, StepCost


class ChargedCost:
    """`cost`, and `per_sequence_s` more for each sequence of an iteration (the classifier that
    refines a prediction, say), at idle power."""

    def __init__(self, cost: IterationCost, per_sequence_s: float) -> None:
        self.cost = cost
        self.per_sequence_s = per_sequence_s

    def step(
        self,
        decodes: int,
        context_tokens: int,
        chunks: Sequence[tuple[int, int]],
        sampled: int,
    ) -> StepCost:
        bare = self.cost.step(decodes, context_tokens, chunks, sampled)
        more = self.per_sequence_s * (decodes + len(chunks))
        return StepCost(
            bare.first + more,
            bare.slope,
            bare.floor + more,
            bare.active_first,
            bare.active_slope,
        )
