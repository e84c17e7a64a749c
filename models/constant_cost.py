"""Iteration costs without a machine behind them: for theory, and for profiled lines."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import ConfigError
from models.step_cost import StepCost


def _not_negative(kind: str, **numbers: float) -> None:
    for key, value in numbers.items():
        if not 0.0 <= value < float("inf"):
            raise ConfigError(f"{kind}: {key} = {value!r} must be finite and >= 0")


class ConstantCost:
    """Every iteration lasts `seconds` and draws full dynamic power."""

    __slots__ = ("_cost", "seconds")

    def __init__(self, seconds: float) -> None:
        if not 0.0 < seconds < float("inf"):
            raise ConfigError(f"constant cost: seconds = {seconds!r} must be finite and > 0")
        self.seconds = seconds
        self._cost = StepCost(seconds, active_first=seconds)

    def step(
        self,
        decodes: int,
        context_tokens: int,
        chunks: Sequence[tuple[int, int]],
        sampled: int,
    ) -> StepCost:
        return self._cost


class LinearCost:
    """A profiled line: `base_s + per_token_s * tokens + per_context_token_s * context`.

    tokens: of the batch, decodes and chunks. context: KV tokens that decodes read and chunks
    find cached. Full dynamic power.
    """

    __slots__ = ("base_s", "per_context_token_s", "per_token_s")

    def __init__(
        self, base_s: float, per_token_s: float = 0.0, per_context_token_s: float = 0.0
    ) -> None:
        _not_negative(
            "linear cost",
            base_s=base_s,
            per_token_s=per_token_s,
            per_context_token_s=per_context_token_s,
        )
        if not base_s + per_token_s > 0.0:
            raise ConfigError(
                f"linear cost: base_s = {base_s!r} and per_token_s = {per_token_s!r} "
                "must not both be 0"
            )
        self.base_s = base_s
        self.per_token_s = per_token_s
        self.per_context_token_s = per_context_token_s

    def step(
        self,
        decodes: int,
        context_tokens: int,
        chunks: Sequence[tuple[int, int]],
        sampled: int,
    ) -> StepCost:
        tokens = decodes
        context = context_tokens
        for cached, size in chunks:
            tokens += size
            context += cached
        per_context = self.per_context_token_s
        first = self.base_s + self.per_token_s * tokens + per_context * context
        slope = per_context * tokens
        return StepCost(first, slope, 0.0, first, slope)


class ProportionalCost(LinearCost):
    """Iterations as long as their batch: `seconds_per_token` for each token."""

    __slots__ = ()

    def __init__(self, seconds_per_token: float) -> None:
        super().__init__(0.0, seconds_per_token)
