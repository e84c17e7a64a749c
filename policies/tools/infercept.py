"""InferCept: least waste, judged as a call goes on."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from models.tool_calls.forward_time import Forward, hidden_swap_tokens
from models.tool_calls.waste_formulas import WasteFormula
from policies.tools.contract import CallerView, Handling, ToolsView


class InferCept:
    """Waste minimisation (Abhyankar et al., ICML 2024, arXiv 2402.01869).

    A call's duration is not known; the time already elapsed in it stands for it. So every call
    begins preserved, and its KV goes once preserving it has wasted more than computing it again
    would (`formula`, priced over the whole batch). Those that go are swapped, the largest waste
    first, while what is on its way to the host stays within what one iteration hides and host
    memory lasts, and discarded otherwise. `forward`, `swap_s_per_token`: what the budget follows
    from (T_swap(N) = T_fwd(B)); a `swap_s_per_token` of None never swaps. `swap`: whether to swap
    at all, `discard`: whether to discard (the paper's ablations); with neither it preserves.
    """

    def __init__(
        self,
        formula: WasteFormula,
        forward: Forward,
        swap_s_per_token: float | None,
        swap: bool = True,
        discard: bool = True,
    ) -> None:
        self.formula = formula
        self.forward = forward
        self.swap_s_per_token = swap_s_per_token if swap else None
        self.discard = discard

    def foresee(self, request: CallerView, view: ToolsView, now_s: float) -> Handling:
        return "preserve"

    def begin(self, request: CallerView, view: ToolsView, now_s: float) -> Handling:
        return "preserve"

    def review(
        self, view: ToolsView, now_s: float
    ) -> tuple[Sequence[tuple[CallerView, Handling]], float]:
        batch, others = view.decoding, view.batch_kv_tokens
        again_s = inf
        over = []
        for request in view.preserved:
            context = request.kv_tokens
            waste = self.formula.discard(context, others, batch)
            # The batch's context only grows while it stays as it is, and the waste with it.
            due_s = request.called_s + waste / context
            if due_s > now_s:
                again_s = min(again_s, due_s)
            else:
                over.append((waste, request))
        if not over:
            return (), again_s
        over.sort(key=lambda pair: (-pair[0], pair[1].id))
        return self._let_go([request for _, request in over], view, batch), again_s

    def _let_go(
        self, requests: Sequence[CallerView], view: ToolsView, batch: int
    ) -> Sequence[tuple[CallerView, Handling]]:
        budget = 0.0
        if self.swap_s_per_token is not None:
            hidden = hidden_swap_tokens(self.forward, self.swap_s_per_token, batch)
            budget = hidden - view.swapping_tokens
        host_blocks = view.host_blocks_free()
        changes: list[tuple[CallerView, Handling]] = []
        for request in requests:
            blocks = view.blocks_held(request)
            if budget > 0.0 and blocks <= host_blocks:
                budget -= request.kv_tokens
                host_blocks -= blocks
                changes.append((request, "swap"))
            elif self.discard:
                changes.append((request, "discard"))
        return changes
