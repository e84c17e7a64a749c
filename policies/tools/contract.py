"""The contract of tools policies: what happens to a request's KV while it waits for a call.

Preserved KV stays on the GPU, discarded KV is thrown away and computed again at the return,
swapped KV moves to host memory behind the iterations and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from models.tool_calls.waste import Handling
from policies.ordering.contract import RequestView


class CallerView(RequestView, Protocol):
    """What a policy sees of a request that calls tools."""

    @property
    def called_s(self) -> float:
        """When the call under way began."""
        ...


class ToolsView(Protocol):
    """What a tools policy sees of a replica."""

    @property
    def decoding(self) -> int:
        """Sequences that decode."""
        ...

    @property
    def batch_kv_tokens(self) -> int:
        """Tokens whose KV the requests of the batch hold."""
        ...

    @property
    def preserved(self) -> Iterable[CallerView]:
        """Requests in a call whose KV is on the GPU and stays there for now, by id."""
        ...

    @property
    def block_tokens(self) -> int:
        """Tokens in a KV block."""
        ...

    @property
    def swapping_tokens(self) -> int:
        """Tokens whose KV is on its way to the host."""
        ...

    def host_blocks_free(self) -> int:
        """Free blocks of host memory for swapped KV."""
        ...

    def blocks_held(self, request: RequestView) -> int:
        """KV blocks that it holds on the GPU."""
        ...


class Tools(Protocol):
    """Handles calls. Where it says "swap", so many blocks of host memory must be free."""

    def foresee(self, request: CallerView, view: ToolsView, now_s: float) -> Handling:
        """How the next call of a request will be handled, asked as it arrives and at each return,
        so that the ordering may know."""
        ...

    def begin(self, request: CallerView, view: ToolsView, now_s: float) -> Handling:
        """How a call that begins now is handled."""
        ...

    def review(
        self, view: ToolsView, now_s: float
    ) -> tuple[Sequence[tuple[CallerView, Handling]], float]:
        """Requests in a call that lose their place on the GPU now, and how ("discard" or "swap");
        and a time before which, if the batch stays as it is but for the tokens it makes, nobody
        else will."""
        ...


__all__ = ["CallerView", "Handling", "Tools", "ToolsView"]
