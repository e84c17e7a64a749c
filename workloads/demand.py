"""What is asked: a request of a serving system, a packet of a data path; and what yields them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np


class Call(NamedTuple):
    """A tool call that pauses a request.

    It starts when the request has made `after_tokens` output tokens in all (counted from the
    start of the request, not from the call before), lasts `duration_s` seconds, and appends
    `returned_tokens` to the context. A call may stand after the last output token.
    """

    after_tokens: int
    duration_s: float
    returned_tokens: int


class Demand(NamedTuple):
    """One request: `prompt_tokens` in, `output_tokens` out (both at least 1).

    `arrival_s`: when the trace says that it arrived, in seconds from the start; `None` where the
    arrival process decides. `kind`: class of traffic or tenant. `calls`: tool calls in the order
    of `after_tokens`; the tokens they return are not part of `output_tokens`. `origin`: the region
    it is sent from.
    """

    prompt_tokens: int
    output_tokens: int
    arrival_s: float | None = None
    kind: str = ""
    calls: tuple[Call, ...] = ()
    origin: str = ""

    @property
    def total_tokens(self) -> int:
        """Length of the context when the request ends: prompt, output and returned tokens."""
        total = self.prompt_tokens + self.output_tokens
        for call in self.calls:
            total += call.returned_tokens
        return total


class Workload(Protocol):
    """A lazy source of demands: nothing is drawn or read before the first one is asked for.

    Two iterations given generators in the same state yield equal demands, however many are taken
    and whatever else is drawn between them.
    """

    @property
    def finite(self) -> bool:
        """Whether the demands end."""
        ...

    @property
    def count(self) -> int | None:
        """How many demands there are, where that is known before they are read."""
        ...

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        """The demands in order; all chance comes from `rng`."""
        ...


class Packet(NamedTuple):
    """One packet on the wire of a data path.

    time_s: from the start. size_bytes: of the frame. kind: "N" the first of its flow, "T" the
    last, "E" any other. rank: of its flow by popularity, 1 for the most popular; 0 if not known.
    over: flows that have ended since the packet before without a last packet, as by a silence.
    """

    time_s: float
    flow: int
    size_bytes: float
    kind: str
    rank: int = 0
    over: tuple[int, ...] = ()


class PacketWorkload(Protocol):
    """A lazy source of packets, as `Workload` is of demands; times never decrease."""

    @property
    def finite(self) -> bool:
        """Whether the packets end."""
        ...

    def packets(self, rng: np.random.Generator) -> Iterator[Packet]:
        """The packets in order; all chance comes from `rng`."""
        ...
