"""Shortest predicted remainder first, displacing running requests only while they are young."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

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
    """

    preemptive = True

    def __init__(self, lock_share: float = 0.8) -> None:
        if not 0.0 <= lock_share <= 1.0:
            raise ConfigError(f"lock_share: {lock_share!r} is not a share from 0 to 1")
        self.lock_share = lock_share

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        age = request.generated_tokens
        if age and request.kv_tokens and age >= self._lock_age(request):
            return -inf
        return request.predicted_remaining_tokens

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        share = self.lock_share
        return [
            (left, request.id, request)
            for request in view.running
            if (left := request.remaining_while_young(share)) is not None
        ]

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        """Until the remainder of a request that may be displaced, and that ranks before the first
        waiting one, reaches that one's. Ranks that fall displace nobody."""
        first = next(iter(view.waiting), None)
        if first is None:
            return FOREVER
        bound = first.rank
        least = FOREVER
        for rank, _, request in places:
            if rank < bound:
                least = min(least, request.steps_below(bound, self._lock_age(request)))
        return least

    def _lock_age(self, request: RequestView) -> float:
        return self.lock_share * request.predicted_output_tokens
