"""The same for every call."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from models.errors import ConfigError
from policies.tools.contract import CallerView, Handling, ToolsView


class Always:
    """Preserve, discard or swap, whatever the call. Where host memory is full, swap discards."""

    def __init__(self, handling: Handling) -> None:
        if handling not in ("preserve", "discard", "swap"):
            raise ConfigError(f"handling: {handling!r} is not preserve, discard or swap")
        self.handling: Handling = handling

    def foresee(self, request: CallerView, view: ToolsView, now_s: float) -> Handling:
        return self.handling

    def begin(self, request: CallerView, view: ToolsView, now_s: float) -> Handling:
        return possible(self.handling, request, view)

    def review(
        self, view: ToolsView, now_s: float
    ) -> tuple[Sequence[tuple[CallerView, Handling]], float]:
        return (), inf


def possible(handling: Handling, request: CallerView, view: ToolsView) -> Handling:
    """That handling, or "discard" for a swap that host memory has no room for."""
    if handling == "swap" and view.blocks_held(request) > view.host_blocks_free():
        return "discard"
    return handling
