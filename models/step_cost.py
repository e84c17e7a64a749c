"""What one iteration of a served model costs, and the form in which cost models say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.ramp import Ramp


class StepCost:
    """Duration and power of a run of iterations with the same composition.

    `seconds`: duration of each iteration. `active`: seconds of each iteration weighted by the
    share of the device's dynamic power range (0 idle, 1 at peak), so that the energy of `k`
    iterations is `idle_w * seconds.total(k) + (peak_w - idle_w) * active.total(k)`.
    """

    __slots__ = ("active", "seconds")

    def __init__(self, seconds: Ramp, active: Ramp) -> None:
        self.seconds = seconds
        self.active = active


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
