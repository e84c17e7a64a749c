"""What policies see of a replica."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from policies.ordering.contract import FOREVER, Place, RequestView
from sim.serving.request import Request
from sim.serving.tally import kv_tokens_in_batch

if TYPE_CHECKING:
    from sim.serving.replica import Replica


class ReplicaView:
    """Read-only façade of a replica (see `policies.batching.contract.BatchView`)."""

    __slots__ = (
        "_batch",
        "_pool",
        "_replica",
        "_waiting",
        "block_tokens",
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
        self._waiting = replica.waiting
        self.prefilling = replica.prefilling
        self.block_tokens = replica.batch.block_tokens
        self.max_sequences = replica.limits.max_sequences
        self.max_batch_tokens = replica.limits.max_batch_tokens
        self.total_blocks = replica.pool.total_blocks
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
    def holders(self) -> Iterator[Request]:
        replica = self._replica
        if replica.calls.paused or replica.calls.fetched:
            yield from replica.calls.holders()
        if replica.holders:
            yield from (request for request in reversed(replica.waiting) if request.blocks)

    @property
    def running(self) -> Iterable[Request]:
        return [*self.prefilling, *self._batch]

    def young(self, share: float) -> list[Place]:
        found: list[Place] = []
        for request in self.prefilling:
            left = request.remaining_while_young(share)
            if left is not None:
                found.append((left, request.id, request))
        steps = self._batch.steps
        members = self._batch.members.values()
        found += [
            (path[age], request.id, request)
            for request in members
            if (path := request._path) is not None
            and (age := request._generated + steps - request._joined) < share * request._predicted  # type: ignore[operator]
        ]
        for request in members:
            if request._path is None and (left := request.remaining_while_young(share)) is not None:
                found.append((left, request.id, request))
        return found

    def steps_below(self, requests: Iterable[RequestView], tokens: float, share: float) -> int:
        request: Any
        batch = self._batch
        # Somebody ends at the last of these: then all is asked again.
        least = ends = batch.next_end - batch.steps + 1
        for request in requests:
            path = request._path
            # A prediction that nobody refines only falls.
            if path is None or request._batch is not batch:
                continue
            after = request._generated + batch.steps - request._joined + 1
            window = path[after : after + least - 1]
            if len(window) and max(window) >= tokens:
                lock = share * request._predicted
                for later, left in enumerate(window, 1):
                    if left >= tokens and after + later - 1 < lock:
                        least = later
                        break
        return least if least < ends else FOREVER

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
        return self._replica.swap.pool.free

    @property
    def host_blocks(self) -> int:
        return self._replica.swap.pool.total_blocks

    @property
    def context_tokens(self) -> int:
        return self._replica.batch.context

    @property
    def hosted_size(self) -> int:
        return self._replica.host.size

    @property
    def hosted(self) -> list[tuple[Request, int]]:
        return self._replica.host.pairs()

    @property
    def swapped_out(self) -> int:
        return self._replica.swapped_out
