"""Settings of a serving engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sim.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Limits and rules of one replica's engine; names follow vLLM where it has one.

    max_sequences: most requests in a batch. max_batch_tokens: most tokens computed in an
    iteration. block_tokens: tokens in a KV block. memory_fraction: share of GPU memory that the
    engine may use. activation_bytes: kept free on each GPU for activations. kv_blocks: size of
    the KV pool, in place of what memory allows. watermark: share of the pool that an admission
    leaves free for the growth of those that run. host_swap_bytes: host memory of a replica for
    swapped KV. async_scheduling: an arrival joins one iteration later, since the next one is
    already planned. stage_events: whether the stages of an iteration in which the host computes
    attention are events of their own, on host and links that others may use too (None: where there
    are others); otherwise it is one event, by their closed form. over_context: what becomes of a
    request that can never fit (longer than the model's context, or than the whole KV pool):
    "reject" counts and drops it, "truncate" shortens its prompt (its output too if that is not
    enough), "error" ends the run.
    source: key -> where its value comes from.
    """

    max_sequences: int = 256
    max_batch_tokens: int = 2048
    block_tokens: int = 16
    memory_fraction: float = 0.9
    activation_bytes: float = 0.0
    kv_blocks: int | None = None
    watermark: float = 0.01
    host_swap_bytes: float = 0.0
    async_scheduling: bool = False
    stage_events: bool | None = None
    over_context: Literal["reject", "truncate", "error"] = "reject"
    source: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("max_sequences", "max_batch_tokens", "block_tokens", "kv_blocks"):
            value = getattr(self, key)
            if value is None and key == "kv_blocks":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"engine.{key}: {value!r} is not a whole number >= 1")
        if not 0.0 < self.memory_fraction <= 1.0:
            raise ConfigError(f"engine.memory_fraction: {self.memory_fraction!r} is not in (0, 1]")
        if not 0.0 <= self.watermark < 1.0:
            raise ConfigError(f"engine.watermark: {self.watermark!r} is not in [0, 1)")
        for key in ("host_swap_bytes", "activation_bytes"):
            value = getattr(self, key)
            if not value >= 0.0:
                raise ConfigError(f"engine.{key}: {value!r} is not a number of bytes >= 0")
        if not (self.stage_events is None or isinstance(self.stage_events, bool)):
            raise ConfigError(f"engine.stage_events: {self.stage_events!r} is not true or false")
        if self.over_context not in ("reject", "truncate", "error"):
            raise ConfigError(
                f"engine.over_context: {self.over_context!r} is not reject, truncate or error"
            )
