"""Memory that a tool call wastes, by what is done with the caller's KV cache.

Equations 1 to 4 of InferCept (Abhyankar et al., ICML 2024, arXiv 2402.01869), in token seconds:
times the bytes of a token's keys and values they are the paper's byte seconds. `context_tokens` is
C, the caller's context at the call; `other_tokens` C_other, the context of the others in the batch,
who wait while C is computed again.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Literal, NamedTuple, TypeAlias

from models.tool_calls.forward_time import Forward

Handling: TypeAlias = Literal["preserve", "swap", "discard"]


class Wastes(NamedTuple):
    """Token seconds that a call wastes under each handling."""

    preserve: float
    swap: float
    discard: float

    @property
    def least(self) -> Handling:
        """The handling that wastes least; ties preserve, then swap, then discard."""
        if self.preserve <= self.swap and self.preserve <= self.discard:
            return "preserve"
        return "swap" if self.swap <= self.discard else "discard"


def preserve_waste(context_tokens: float, call_s: float) -> float:
    """Equation 1: C is held for the whole call."""
    return call_s * context_tokens


def discard_waste(context_tokens: float, other_tokens: float, forward: Forward) -> float:
    """Equation 2: C is computed again at once, and all hold their memory meanwhile."""
    return forward(context_tokens) * (context_tokens + other_tokens)


def swap_waste(context_tokens: float, other_tokens: float, swap_s_per_token: float) -> float:
    """Equation 3: all, the caller included, wait while C moves out and in again."""
    one_way_s = swap_s_per_token * context_tokens
    return 2.0 * one_way_s * (context_tokens + other_tokens)


def chunked_discard_waste(
    context_tokens: float, other_tokens: float, forward: Forward, chunks: int
) -> float:
    """Equation 4: C is computed again in `chunks` equal pieces, one in each of as many iterations.

    Its own memory grows with the pieces; T_fwd(C) is that of a single pass, as printed.
    """
    own = 0.5 * forward(context_tokens) * context_tokens
    return own + chunks * forward(context_tokens / chunks) * other_tokens


def chunks_needed(context_tokens: float, batch_tokens: int, saturation_tokens: int) -> int:
    """Pieces of what an iteration has room for beside `batch_tokens`, at least one token each."""
    room = max(saturation_tokens - batch_tokens, 1)
    return max(ceil(context_tokens / room), 1)


def break_even_s(context_tokens: float, swap: float, discard: float) -> float:
    """Call duration T* up to which preserving wastes least, given the two other wastes."""
    return min(swap, discard) / context_tokens if context_tokens > 0 else inf
