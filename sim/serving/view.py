"""What policies see of a replica."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING

from policies.ordering.contract import Place, RequestView
from sim.serving.reach import Reach
from sim.serving.request import Request
from sim.serving.tally import kv_tokens_in_batch

if TYPE_CHECKING:
    from sim.serving.replica import Replica


class ReplicaView:
    """Read-only façade of a replica (see `policies.batching.contract.BatchView`)."""

    __slots__ = (
        "_batch",
        "_host_pool",
        "_hosted",
        "_pool",
        "_reach",
        "_replica",
        "_waiting",
        "block_tokens",
        "host_blocks",
        "max_batch_tokens",
        "max_sequences",
        "ordering_preemptive",
        "ordering_takes_kv",
        "prefilling",
        "reserve_blocks",
        "total_blocks",
    )

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._batch = replica.batch
        self._pool = replica.pool
        self._host_pool = replica.swap.pool
        self._hosted = replica.host.batch
        self._reach = Reach(replica.batch)
        self._waiting = replica.waiting
        self.prefilling = replica.prefilling
        self.block_tokens = replica.batch.block_tokens
        self.max_sequences = replica.limits.max_sequences
        self.max_batch_tokens = replica.limits.max_batch_tokens
        self.total_blocks = replica.pool.total_blocks
        self.host_blocks = replica.swap.pool.total_blocks
        self.reserve_blocks = int(replica.limits.watermark * replica.pool.total_blocks)
        self.ordering_preemptive = replica.ordering.preemptive
        self.ordering_takes_kv = getattr(replica.ordering, "takes_kv", True)

    @property
    def steady(self) -> bool:
        batch = self._batch
        free = self._pool.free
        return (
            not self._waiting.size
            and not self.prefilling
            and (free >= batch.size or free >= batch.growth(1))
        )

    @property
    def queued(self) -> int:
        return self._waiting.size

    @property
    def waiting(self) -> Iterator[Request]:
        return iter(self._waiting)

    @property
    def first(self) -> Request | None:
        return self._waiting.head

    @property
    def holders(self) -> Iterator[Request]:
        replica = self._replica
        if replica.calls.paused or replica.calls.fetched:
            yield from replica.calls.holders()
        if replica.holders:
            yield from (request for request in reversed(replica.waiting) if request.blocks)

    @property
    def running(self) -> Iterable[Request]:
        return [*self.prefilling, *self._batch]

    def young(self, share: float, tokens: float = -inf) -> list[Place]:
        found: list[Place] = []
        for request in self.prefilling:
            left = request.remaining_while_young(share)
            if left is not None and left >= tokens:
                found.append((left, request.id, request))
        if tokens > -inf:
            return found + self._reach.at_least(tokens, share)
        for request in self._batch:
            if (left := request.remaining_while_young(share)) is not None:
                found.append((left, request.id, request))
        return found

    def steps_below(self, tokens: float, share: float, besides: Container[int]) -> int:
        return self._reach.steps_below(tokens, share, besides)

    @property
    def batch_size(self) -> int:
        return self._batch.size + len(self.prefilling)

    @property
    def decoding(self) -> int:
        return self._batch.size

    @property
    def free_blocks(self) -> int:
        return self._pool.free

    @property
    def iterations(self) -> int:
        return self._replica.iterations

    @property
    def batch_kv_tokens(self) -> int:
        replica = self._replica
        return kv_tokens_in_batch(replica) + replica.tally.kv_slope * replica.steps_under_way()

    @property
    def preserved(self) -> list[Request]:
        return self._replica.calls.preserved()

    @property
    def swapping_tokens(self) -> int:
        return self._replica.calls.swapping_tokens

    def growth(self, steps: int) -> int:
        return self._batch.growth(steps)

    def blocks_to_admit(self, request: RequestView) -> int:
        return request.blocks_missing(self.block_tokens)  # type: ignore[attr-defined,no-any-return]

    def blocks_held(self, request: RequestView) -> int:
        return request.blocks_held(self.block_tokens)  # type: ignore[attr-defined,no-any-return]

    def blocks_next(self, request: RequestView) -> int:
        if request._batch is None:  # type: ignore[attr-defined]
            return 0
        return 1 if request.kv_tokens % self.block_tokens == 0 else 0

    def rank(self, request: RequestView) -> float:
        replica = self._replica
        return replica.ordering.rank(request, self, replica.simulation.env.now)

    def displaceable(self) -> Iterable[Place]:
        replica = self._replica
        return replica.ordering.displaceable(self, replica.simulation.env.now)

    def order_holds(self, places: Iterable[Place]) -> int:
        replica = self._replica
        return replica.ordering.holds(self, places, replica.simulation.env.now)

    def host_blocks_free(self) -> int:
        return self._host_pool.free

    @property
    def context_tokens(self) -> int:
        return self._batch.context

    @property
    def hosted_size(self) -> int:
        return self._hosted.size

    @property
    def hosted(self) -> list[Request]:
        return self._hosted.ranked

    @property
    def hosted_reads(self) -> list[int]:
        return self._hosted.reads()

    @property
    def swapped_out(self) -> int:
        return self._replica.swapped_out
