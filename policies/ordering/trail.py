"""Shortest predicted remainder first, displacing running requests only while they are young."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Literal

from models.errors import ConfigError
from policies.ordering.contract import FOREVER, OrderingView, Place, RequestView


class Trail:
    """SPRPT with limited preemption.

    Shahout et al., "Don't Stop Me Now: Embedding Based Scheduling for LLMs" (ICLR 2025). A request
    ranks by its predicted remaining length at its present age (on arrival, by the first
    prediction). Once it has made `lock_share` (the paper's C, 0 to 1) of its first predicted
    length it is locked: no waiting request displaces it, and where it waits with its KV it goes
    first. 1 is SPRPT, 0 is shortest predicted job first without preemption. With a refining
    predictor this is TRAIL, with one that only looks at the prompt TRAIL-BERT.

    The defaults are the paper's; the authors' release (harvard-cns/TRAIL-llm-scheduling) differs.
    `margin_tokens`: by how much a running request's predicted remainder must exceed a waiting
    one's for that to displace it (at that very difference the earlier arrival goes first).
    `waits_locked`: where a locked request waits that ran out of memory, "first" if it kept its KV,
    or "last" in any case (the release). `takes_kv`: whether a waiting request that lacks KV blocks
    also takes those of running ones that it may displace, or their slots alone (the release, where
    one victim makes way for one request). The release parks a victim's KV in a prefix cache, from
    which it may be evicted; here it stays until blocks run out.
    """

    preemptive = True

    def __init__(
        self,
        lock_share: float = 0.8,
        margin_tokens: float = 0.0,
        waits_locked: Literal["first", "last"] = "first",
        takes_kv: bool = True,
    ) -> None:
        if not 0.0 <= lock_share <= 1.0:
            raise ConfigError(f"lock_share: {lock_share!r} is not a share from 0 to 1")
        if not 0.0 <= margin_tokens < inf:
            raise ConfigError(f"margin_tokens: {margin_tokens!r} must be finite and >= 0")
        if waits_locked not in ("first", "last"):
            raise ConfigError(f"waits_locked: {waits_locked!r} is not first or last")
        self.lock_share = lock_share
        self.margin_tokens = margin_tokens
        self.last = waits_locked == "last"
        self.takes_kv = takes_kv

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        age = request.generated_tokens
        if age and age >= self.lock_share * request.predicted_output_tokens:
            if self.last and all(running is not request for running in view.running):
                return inf
            if request.kv_tokens:
                return -inf
        return request.predicted_remaining_tokens

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        """Those that do not rank before the first waiting request."""
        first = view.first
        if first is None:
            return ()
        margin = self.margin_tokens
        young = view.young(self.lock_share, self._bound(first))
        return [(left - margin, n, request) for left, n, request in young] if margin else young

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        """Until the remainder of a request that may be displaced, and that ranks before the first
        waiting one, reaches that one's. Ranks that fall displace nobody."""
        first = view.first
        if first is None:
            return FOREVER
        place = first.rank, first.id
        behind = {number for rank, number, _ in places if (rank, number) >= place}
        return view.steps_below(self._bound(first), self.lock_share, behind)

    def _bound(self, first: RequestView) -> float:
        """A remainder with which a running request ranks behind that waiting one, or just not."""
        if not self.margin_tokens:
            return first.rank
        # Sums are rounded: rather look too early than too late.
        return (first.rank + self.margin_tokens) * (1.0 - 1e-12)
