"""InferCept where the durations of calls are predicted."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from policies.tools.contract import CallerView, Handling, ToolsView
from policies.tools.infercept import InferCept


class KnownDurations(InferCept):
    """InferCept with the predicted rest of a call in place of the time already elapsed in it, as
    the release of LAMPS does (github.com/mars-repository/mars-codebase)."""

    def review(
        self, view: ToolsView, now_s: float
    ) -> tuple[Sequence[tuple[CallerView, Handling]], float]:
        over = []
        for request in view.preserved:
            left_s = max(0.0, request.called_s + (request.predicted_call_s or 0.0) - now_s)
            wastes = self.formula.wastes(
                request.kv_tokens, view.batch_kv_tokens, view.decoding, left_s
            )
            if wastes.discard < wastes.preserve:
                over.append((wastes.discard, request))
        over.sort(key=lambda pair: (-pair[0], pair[1].id))
        return self._let_go([request for _, request in over], view, view.decoding), inf
