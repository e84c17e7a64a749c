"""Inside a batch: each request by the work that it adds to the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.carbon.attribution.shares import IDLE, proportional
from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """What one request has in an iteration: prompt tokens, output tokens, KV bytes read."""

    prefill_tokens: int = 0
    decode_tokens: int = 0
    kv_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalCost:
    """Device time that a further unit of each takes, from the cost model."""

    prefill_s_per_token: float
    decode_s_per_token: float
    s_per_kv_byte: float

    def seconds(self, work: StepWork) -> float:
        """Marginal device time of a request's part of a step."""
        return (
            self.prefill_s_per_token * work.prefill_tokens
            + self.decode_s_per_token * work.decode_tokens
            + self.s_per_kv_byte * work.kv_bytes
        )


def split_step(grams: float, works: Mapping[str, StepWork], cost: MarginalCost) -> dict[str, float]:
    """A step's carbon by marginal device time: prompts by tokens, decodes by tokens and the KV
    that they read, so that a long context pays for its length. A step without work is idle."""
    return proportional(grams, {name: cost.seconds(work) for name, work in works.items()}, IDLE)


def split_phases(
    grams: float, works: Mapping[str, StepWork], cost: MarginalCost
) -> tuple[float, float]:
    """A step's carbon of prompts and of decodes. Raises ConfigError for a step without work."""
    prefill = sum(cost.prefill_s_per_token * work.prefill_tokens for work in works.values())
    whole = sum(cost.seconds(work) for work in works.values())
    if whole <= 0.0:
        raise ConfigError("a step without work has no phases")
    first = grams * (prefill / whole)
    return first, grams - first
