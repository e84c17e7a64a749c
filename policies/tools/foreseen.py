"""The handling of a call is chosen before its request is scheduled."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from models.tool_calls.waste_formulas import WasteFormula
from policies.tools.always import possible
from policies.tools.contract import CallerView, Handling, ToolsView


class Foreseen:
    """Least predicted waste (Shahout et al., LAMPS, arXiv 2410.18248).

    As a request arrives, and at each return, its context at the coming call (rounded up to KV
    blocks) and the call's duration are predicted, and the handling that then wastes least, priced
    over the batch of that moment, is kept until the next return. Ties preserve, then swap.
    """

    def __init__(self, formula: WasteFormula) -> None:
        self.formula = formula

    def foresee(self, request: CallerView, view: ToolsView, now_s: float) -> Handling:
        block = view.block_tokens
        context = request.context_tokens + request.predicted_segment_tokens
        context = -(-context // block) * block
        call_s = request.predicted_call_s or 0.0
        return self.formula.wastes(context, view.batch_kv_tokens, view.decoding, call_s).least

    def begin(self, request: CallerView, view: ToolsView, now_s: float) -> Handling:
        return possible(request.handling or "preserve", request, view)

    def review(
        self, view: ToolsView, now_s: float
    ) -> tuple[Sequence[tuple[CallerView, Handling]], float]:
        return (), inf
