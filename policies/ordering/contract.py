"""The contract of ordering policies: they rank requests.

The replica keeps its waiting requests sorted by rank and shows them to the batching policy in
that order. A view is read-only and valid during the call.
"""

from __future__ import annotations

from typing import Protocol

#: For `holds`: until something arrives, ends or runs out.
FOREVER = 1 << 40


class RequestView(Protocol):
    """What a policy sees of a request."""

    @property
    def id(self) -> int:
        """Number in order of arrival at the gateway."""
        ...

    @property
    def arrival_s(self) -> float:
        """When it arrived at the gateway."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Length of its prompt."""
        ...

    @property
    def generated_tokens(self) -> int:
        """Tokens made so far: its age."""
        ...

    @property
    def kv_tokens(self) -> int:
        """Tokens whose KV it holds, on the GPU or swapped out."""
        ...

    @property
    def prefill_tokens(self) -> int:
        """Tokens that it must still prefill before it yields the next token."""
        ...

    @property
    def swapped(self) -> bool:
        """Whether its KV is in host memory."""
        ...

    @property
    def predicted_output_tokens(self) -> float:
        """Predicted length of the whole output, as of its present age (see the predictor).

        Raises ConfigError where the run has no predictor.
        """
        ...

    @property
    def rank(self) -> float:
        """The rank last given to it; lower goes first, ties by `id`."""
        ...


class OrderingView(Protocol):
    """What an ordering policy sees of a replica."""

    @property
    def decoding(self) -> int:
        """Sequences that decode."""
        ...

    @property
    def free_blocks(self) -> int:
        """Free KV blocks."""
        ...


class Ordering(Protocol):
    """Ranks requests. `preemptive`: a waiting request may displace a running one that ranks
    behind it and is not locked. The rank of a waiting request is asked when it enters the queue
    (on arrival and on return); that of a running one whenever it is compared.
    """

    preemptive: bool

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        """Rank of a request now; lower goes first."""
        ...

    def locked(self, request: RequestView, now_s: float) -> bool:
        """Whether a running request must not be displaced (memory exhaustion still may)."""
        ...

    def holds(self, view: OrderingView, now_s: float) -> int:
        """For how many iterations the order of requests stays, if nothing arrives or ends."""
        ...
