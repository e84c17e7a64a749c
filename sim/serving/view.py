"""What policies see of a replica."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from policies.ordering.contract import Place, RequestView
from sim.serving.request import Request
from sim.serving.tally import kv_tokens_in_batch

if TYPE_CHECKING:
    from sim.serving.replica import Replica


class ReplicaView:
    """Read-only façade of a replica (see `policies.batching.contract.BatchView`)."""

    __slots__ = (
        "_replica",
        "max_batch_tokens",
        "max_sequences",
        "ordering_preemptive",
        "ordering_takes_kv",
        "reserve_blocks",
        "total_blocks",
    )

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.max_sequences = replica.limits.max_sequences
        self.max_batch_tokens = replica.limits.max_batch_tokens
        self.total_blocks = replica.pool.total_blocks
        self.reserve_blocks = int(replica.limits.watermark * replica.pool.total_blocks)
        self.ordering_preemptive = replica.ordering.preemptive
        self.ordering_takes_kv = getattr(replica.ordering, "takes_kv", True)

    @property
    def steady(self) -> bool:
        replica = self._replica
        batch = replica.batch
        free = replica.pool.free
        return (
            not replica.waiting.size
            and not replica.prefilling
            and (free >= batch.size or free >= batch.growth(1))
        )

    @property
    def queued(self) -> int:
        return self._replica.waiting.size

    @property
    def waiting(self) -> Iterator[Request]:
        return iter(self._replica.waiting)

    @property
    def holders(self) -> Iterator[Request]:
        replica = self._replica
        if replica.calls.paused or replica.calls.fetched:
            yield from replica.calls.holders()
        if replica.holders:
            yield from (request for request in reversed(replica.waiting) if request.blocks)

    @property
    def prefilling(self) -> list[Request]:
        return self._replica.prefilling

    @property
    def running(self) -> Iterable[Request]:
        return [*self._replica.prefilling, *self._replica.batch]

    @property
    def batch_size(self) -> int:
        return self._replica.batch.size + len(self._replica.prefilling)

    @property
    def decoding(self) -> int:
        return self._replica.batch.size

    @property
    def free_blocks(self) -> int:
        return self._replica.pool.free

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

    @property
    def block_tokens(self) -> int:
        return self._replica.batch.block_tokens

    def growth(self, steps: int) -> int:
        return self._replica.batch.growth(steps)

    def blocks_to_admit(self, request: RequestView) -> int:
        block_tokens = self._replica.batch.block_tokens
        return request.blocks_missing(block_tokens)  # type: ignore[attr-defined,no-any-return]

    def blocks_held(self, request: RequestView) -> int:
        block_tokens = self._replica.batch.block_tokens
        return request.blocks_held(block_tokens)  # type: ignore[attr-defined,no-any-return]

    def blocks_next(self, request: RequestView) -> int:
        if request._batch is None:  # type: ignore[attr-defined]
            return 0
        return 1 if request.kv_tokens % self._replica.batch.block_tokens == 0 else 0

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
        return self._replica.swap.pool.free
