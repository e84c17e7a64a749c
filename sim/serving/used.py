"""What one request has used of a replica."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sim.hardware.metering import Part

#: Active seconds for each token of the iterations in which the GPUs' decodes took part; seconds in
#: which the batch held KV; integral over these of the number of the batch's step; active seconds
#: for each token of the iterations in which decodes on the host took part. All since the start.
Sums: TypeAlias = tuple[float, float, float, float]
#: Sums at a step's end, the batch's steps by then, and what part of the next one was done.
Edge: TypeAlias = tuple[float, float, float, float, int, float]


class Used:
    """What a request has used.

    `active_s`, `held`: in step `step`, until it was last settled (held: KV tokens x seconds);
    `parts`: in the steps before. While it is prefilled, its memory is settled until `since_s` of
    the meter's clock; while it decodes, `sums` are those of when it began to.
    """

    # No `__init__`: one is made for each request.
    active_s = 0.0
    held = 0.0
    parts: list[Part] | None = None
    since_s: float
    step: int
    sums: Sums

    def turn(self, step: int, capacity: int) -> None:
        """What it has used was of the step in which it was last settled; go on to this one.
        `capacity`: tokens of the pool."""
        if self.active_s or self.held:
            if self.parts is None:
                self.parts = []
            self.parts.append(Part(self.step, self.active_s, self.held / capacity))
            self.active_s = self.held = 0.0
        self.step = step

    def settle(
        self,
        kv: int,
        joined: int,
        per_kv_s: float,
        edges: Sequence[Edge],
        end: Edge,
        capacity: int,
    ) -> None:
        """It has decoded on the GPUs since step `joined` of the batch, with `kv` tokens then, over
        these ends of steps, until `end`."""
        gpu, clock_s, area, _ = self.sums
        read = 0.0
        for edge in [*edges[self.step :], end]:
            edge_gpu, edge_s, edge_area, _, steps, part = edge
            made = steps - joined
            edge_read = made * (kv + 1) + made * (made - 1) // 2 + part * (kv + 1 + made)
            self.active_s += edge_gpu - gpu + per_kv_s * (edge_read - read)
            self.held += (kv - joined) * (edge_s - clock_s) + edge_area - area
            gpu, clock_s, area, read = edge_gpu, edge_s, edge_area, edge_read
            if edge is not end:
                self.turn(self.step + 1, capacity)

    def settle_host(self, edges: Sequence[Edge], end: Sums, capacity: int) -> None:
        """It has decoded on the host, until `end`."""
        host = self.sums[3]
        for edge in edges[self.step :]:
            self.active_s += edge[3] - host
            host = edge[3]
            self.turn(self.step + 1, capacity)
        self.active_s += end[3] - host
        self.sums = end
