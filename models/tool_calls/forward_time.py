"""How long a forward pass takes, as the formulas of tool calls need it: tokens to seconds."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import NamedTuple, TypeAlias

from models.errors import ConfigError

#: Seconds that a number of tokens takes to compute; 0 for none.
Forward: TypeAlias = Callable[[float], float]


class ForwardTime:
    """T_fwd of one iteration: `fixed_s + per_token_s * tokens`; none takes no time."""

    __slots__ = ("fixed_s", "per_token_s")

    def __init__(self, fixed_s: float, per_token_s: float) -> None:
        for key, value in (("fixed_s", fixed_s), ("per_token_s", per_token_s)):
            if not (isfinite(value) and value >= 0.0):
                raise ConfigError(f"forward time: {key} = {value!r} must be finite and >= 0")
        if not fixed_s + per_token_s > 0.0:
            raise ConfigError("forward time: fixed_s and per_token_s must not both be 0")
        self.fixed_s = fixed_s
        self.per_token_s = per_token_s

    def __call__(self, tokens: float) -> float:
        return self.fixed_s + self.per_token_s * tokens if tokens > 0 else 0.0


class InChunks(NamedTuple):
    """Forward time of tokens computed in iterations of at most `chunk_tokens`."""

    forward: Forward
    chunk_tokens: int

    def __call__(self, tokens: float) -> float:
        full, rest = divmod(tokens, self.chunk_tokens)
        return full * self.forward(self.chunk_tokens) + self.forward(rest)


def hidden_swap_tokens(forward: Forward, swap_s_per_token: float, batch_tokens: float) -> float:
    """Tokens whose one-way transfer hides behind an iteration of `batch_tokens`.

    InferCept's swap budget N: T_swap(N) = T_fwd(B) (arXiv 2402.01869), for a transfer of
    `swap_s_per_token` seconds per token.
    """
    return forward(batch_tokens) / swap_s_per_token
