"""KV of preempted requests in host memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sim.core.errors import LawBroken
from sim.hardware.cluster import Cluster
from sim.hardware.gpu import Gpu
from sim.hardware.memory import BlockPool
from sim.serving.request import Request


class Channel(Protocol):
    """What carries bytes between GPUs and host memory."""

    def move(self, out_bytes: float, in_bytes: float, then: Callable[[], None]) -> None:
        """Start moving; call `then` when all bytes have arrived."""
        ...


class PcieChannel:
    """The PCIe links between a replica's GPUs and their hosts, each carrying an equal share."""

    def __init__(self, cluster: Cluster, gpus: Sequence[Gpu]) -> None:
        self._network = cluster.network
        self._ends = [(gpu.name, cluster.node_of(gpu).name) for gpu in gpus]

    def move(self, out_bytes: float, in_bytes: float, then: Callable[[], None]) -> None:
        """Both directions at once; `then` is called when the last byte has arrived."""
        n = len(self._ends)
        transfers = []
        for gpu, host in self._ends:
            if out_bytes:
                transfers.append(self._network.send(out_bytes / n, gpu, host, tag="swap out"))
            if in_bytes:
                transfers.append(self._network.send(in_bytes / n, host, gpu, tag="swap in"))
        left = len(transfers)

        def arrived(_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                then()

        for transfer in transfers:
            transfer.callbacks.append(arrived)


class SwapSpace:
    """Host memory for the KV blocks of one replica, behind its PCIe links.

    `block_bytes`: bytes of one KV block over all GPUs of the replica.
    """

    def __init__(self, pool: BlockPool, block_bytes: float, channel: Channel) -> None:
        self.pool = pool
        self.block_bytes = block_bytes
        self._channel = channel
        self._epoch = 0

    def put_out(self, request: Request) -> int:
        """Take host blocks for a request's KV. Returns their number."""
        blocks = request.blocks
        self.pool.take(blocks)
        request.swapped = True
        request.swapped_blocks = blocks
        return blocks

    def bring_back(self, request: Request) -> int:
        """Free the host blocks of a request that returns. Returns their number."""
        blocks = request.swapped_blocks
        self.drop(request)
        return blocks

    def drop(self, request: Request) -> None:
        """Free the host blocks of a request."""
        if not request.swapped:
            raise LawBroken(f"{request!r} holds no swapped blocks")
        self.pool.release(request.swapped_blocks)
        request.swapped = False
        request.swapped_blocks = 0

    def move(self, out_blocks: int, in_blocks: int, then: Callable[[float, float], None]) -> None:
        """Move KV blocks; calls `then(out_bytes, in_bytes)` when they have arrived, unless they
        have been abandoned."""
        epoch = self._epoch
        out_bytes, in_bytes = out_blocks * self.block_bytes, in_blocks * self.block_bytes

        def arrived() -> None:
            if epoch == self._epoch:
                then(out_bytes, in_bytes)

        self._channel.move(out_bytes, in_bytes, arrived)

    def copy(self, size_bytes: float, then: Callable[[], None]) -> None:
        """Copy so many bytes to host memory; calls `then` when they have arrived."""
        self._channel.move(size_bytes, 0.0, then)

    def abandon(self) -> None:
        """The devices failed: nobody waits any more for what is on the way."""
        self._epoch += 1
