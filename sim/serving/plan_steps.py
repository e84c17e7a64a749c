"""For how many iterations a plan holds, and whether it goes on with what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.batching.contract import FOREVER, Plan
from sim.core.errors import LawBroken

if TYPE_CHECKING:
    from sim.serving.replica import Replica


def steps_possible(replica: Replica, plan: Plan, decodes: int) -> int:
    """Iterations of a plan until a request of the batch ends or blocks run out, at most its own.

    Raises LawBroken where it cannot hold for one, or would for ever.
    """
    steps = plan.steps
    if steps < 1:
        raise LawBroken(f"replica {replica.index}: a plan holds for {steps} steps")
    if not decodes:
        if steps >= FOREVER:
            raise LawBroken(f"replica {replica.index}: a plan without decodes holds for ever")
        return steps
    batch = replica.batch
    end = batch.next_end - batch.steps
    if end < steps:
        steps = end
    free = replica.pool.free
    if steps * decodes > (free - decodes) * batch.block_tokens:
        steps = batch.headroom(free, steps)
        if steps < 1:
            raise LawBroken(
                f"replica {replica.index}: the plan decodes {decodes} requests, which needs "
                f"{batch.growth(1)} KV blocks where {free} are free"
            )
    return steps


def goes_on(replica: Replica, plan: Plan) -> bool:
    """Whether a plan's pieces are what the run under way would do next."""
    chunks, now = plan.chunks, replica.chunks
    if not (chunks and now):
        return len(chunks) == len(now)
    if len(chunks) > 1 or not replica.repeats:
        return False
    (request, tokens), (before, size) = chunks[0], now[0]
    return request is before and tokens == min(size, request.prefill_tokens)
