"""The waste of a call under all handlings at once: one formula for each reading of InferCept."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import Protocol

from models.errors import ConfigError
from models.tool_calls.forward_time import Forward, ForwardTime
from models.tool_calls.waste import (
    Wastes,
    chunked_discard_waste,
    chunks_needed,
    discard_waste,
    preserve_waste,
    swap_waste,
)


class WasteFormula(Protocol):
    """What a call wastes, by handling."""

    def wastes(
        self, context_tokens: float, other_tokens: float, batch_tokens: int, call_s: float
    ) -> Wastes:
        """Token seconds for a call of `call_s` seconds.

        `context_tokens`: the caller's at the call. `other_tokens`: KV tokens of the other running
        requests. `batch_tokens`: tokens that the running batch computes in an iteration.
        """
        ...

    def discard(self, context_tokens: float, other_tokens: float, batch_tokens: int) -> float:
        """The same of discarding alone."""
        ...


@dataclass(frozen=True, slots=True)
class PlainWaste:
    """Equations 1 to 3. `swap_s_per_token`: of a transfer one way; None: there is no swap."""

    forward: Forward
    swap_s_per_token: float | None = None

    def wastes(
        self, context_tokens: float, other_tokens: float, batch_tokens: int, call_s: float
    ) -> Wastes:
        return Wastes(
            preserve_waste(context_tokens, call_s),
            _swap(context_tokens, other_tokens, self.swap_s_per_token),
            self.discard(context_tokens, other_tokens, batch_tokens),
        )

    def discard(self, context_tokens: float, other_tokens: float, batch_tokens: int) -> float:
        """Token seconds of equation 2."""
        return discard_waste(context_tokens, other_tokens, self.forward)


@dataclass(frozen=True, slots=True)
class ChunkedWaste:
    """Equations 1, 3 and 4: recomputed in what `saturation_tokens` leave beside the batch."""

    forward: Forward
    saturation_tokens: int
    swap_s_per_token: float | None = None

    def __post_init__(self) -> None:
        _check(self.saturation_tokens)

    def wastes(
        self, context_tokens: float, other_tokens: float, batch_tokens: int, call_s: float
    ) -> Wastes:
        return Wastes(
            preserve_waste(context_tokens, call_s),
            _swap(context_tokens, other_tokens, self.swap_s_per_token),
            self.discard(context_tokens, other_tokens, batch_tokens),
        )

    def discard(self, context_tokens: float, other_tokens: float, batch_tokens: int) -> float:
        """Token seconds of equation 4."""
        chunks = chunks_needed(context_tokens, batch_tokens, self.saturation_tokens)
        return chunked_discard_waste(context_tokens, other_tokens, self.forward, chunks)


@dataclass(frozen=True, slots=True)
class ReleasedWaste:
    """As the releases of InferCept and of LAMPS compute it (github.com/WukLab/InferCept,
    github.com/mars-repository/mars-codebase).

    Full chunks hold what is computed so far for a whole saturated iteration each; the others wait
    for the chunks' own tokens alone. A context that fills its chunks exactly is charged for one
    chunk less, since the last, partial one has no tokens then. `swap_fixed` (seconds for each
    chunk) and `swap_s_per_token` are LAMPS's, 0.092004 and 0.136e-3; None: there is no swap.
    """

    forward: ForwardTime
    saturation_tokens: int
    swap_s_per_token: float | None = 0.136e-3
    swap_fixed_s: float = 0.092004

    def __post_init__(self) -> None:
        _check(self.saturation_tokens)

    def wastes(
        self, context_tokens: float, other_tokens: float, batch_tokens: int, call_s: float
    ) -> Wastes:
        return Wastes(
            preserve_waste(context_tokens, call_s),
            self.swap(context_tokens, other_tokens, batch_tokens),
            self.discard(context_tokens, other_tokens, batch_tokens),
        )

    def discard(self, context_tokens: float, other_tokens: float, batch_tokens: int) -> float:
        """Token seconds of recomputing the context in chunks."""
        forward = self.forward
        chunk = max(self.saturation_tokens - batch_tokens, 1)
        full = max(ceil(context_tokens / chunk) - 1, 0)
        rest = context_tokens % chunk
        own = forward(self.saturation_tokens) * (full * (full + 1) / 2) * chunk
        wait = forward.per_token_s * chunk * full * other_tokens
        return own + wait + forward.per_token_s * rest * (other_tokens + rest)

    def swap(self, context_tokens: float, other_tokens: float, batch_tokens: int) -> float:
        """Token seconds that LAMPS charges for moving the context out and in again."""
        if self.swap_s_per_token is None:
            return inf
        chunk = max(self.saturation_tokens - batch_tokens, 1)
        chunks = max(ceil(context_tokens / chunk) - 1, 1)
        own = self.swap_fixed_s * chunks * context_tokens
        return own + 2.0 * self.swap_s_per_token * chunk * chunks * other_tokens


def _swap(context_tokens: float, other_tokens: float, swap_s_per_token: float | None) -> float:
    if swap_s_per_token is None:
        return inf
    return swap_waste(context_tokens, other_tokens, swap_s_per_token)


def _check(saturation_tokens: int) -> None:
    if isinstance(saturation_tokens, bool) or not isinstance(saturation_tokens, int):
        raise ConfigError(f"saturation_tokens = {saturation_tokens!r} is not a whole number")
    if saturation_tokens < 1:
        raise ConfigError(f"saturation_tokens = {saturation_tokens!r} must be >= 1")
