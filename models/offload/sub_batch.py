"""What passes through all layers together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class SubBatch(NamedTuple):
    """A part of an iteration.

    `prompts`: (cached tokens, tokens) of each prefill. `decodes`, `context_tokens`: sequences that
    decode with their KV on the GPUs, and the KV tokens that they read; `host_decodes`,
    `host_tokens`: the same with KV in host memory. `out_tokens`: prompt tokens whose KV goes to
    host memory, layer by layer. `sampled`: sequences that yield a token.
    """

    prompts: Sequence[tuple[int, int]] = ()
    decodes: int = 0
    context_tokens: int = 0
    host_decodes: int = 0
    host_tokens: int = 0
    out_tokens: int = 0
    sampled: int = 0

    @property
    def tokens(self) -> int:
        """Its width: tokens fed to the linear operators."""
        return sum([size for _, size in self.prompts]) + self.decodes + self.host_decodes

    @property
    def requests(self) -> int:
        """Sequences in it."""
        return len(self.prompts) + self.decodes + self.host_decodes


NOTHING = SubBatch()
