"""The contract of ordering policies: they rank requests.

The replica keeps its waiting requests sorted by rank and shows them to the batching policy in
that order. A view is read-only and valid during the call.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from math import inf
from typing import Protocol, TypeAlias

from models.tool_calls.waste import Handling

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
        """Length of the whole output as predicted on arrival; it never changes.

        Raises ConfigError where the run has no predictor.
        """
        ...

    @property
    def predicted_remaining_tokens(self) -> float:
        """Output tokens left as predicted at its present age: refined, or what is left of the
        prediction on arrival (0 when that is used up).

        Raises ConfigError where the run has no predictor.
        """
        ...

    @property
    def context_tokens(self) -> int:
        """Prompt, tokens returned by calls, and tokens made so far."""
        ...

    @property
    def ready_s(self) -> float:
        """When it arrived, or its last call returned."""
        ...

    @property
    def handling(self) -> Handling | None:
        """How its next call will be handled, as foreseen, or how the one under way is; None where
        no more call comes that tokens follow."""
        ...

    @property
    def predicted_call_s(self) -> float | None:
        """Predicted duration of its next call, or of the one under way; None where it makes no
        more calls."""
        ...

    @property
    def predicted_segment_tokens(self) -> float:
        """Output tokens from its last return (or arrival) to its next call or end, as predicted
        at arrival. Raises ConfigError where the run has no predictor."""
        ...

    @property
    def predicted_segment_remaining_tokens(self) -> float:
        """What is left of its segment: refined at its present age where it makes no more calls and
        never did, otherwise what is left of the prediction on arrival."""
        ...

    @property
    def predicted_next_segment_tokens(self) -> float:
        """The same for the segment after its next call; 0 without a call."""
        ...

    @property
    def predicted_returned_tokens(self) -> float:
        """Tokens that its next call returns; 0 without a call. Taken as known."""
        ...

    @property
    def waits_since(self) -> int:
        """Iterations that its replica had made when it began to wait; -1 where it does not wait.
        Kept for policies that reorder."""
        ...

    @property
    def rank(self) -> float:
        """The rank last given to it; lower goes first, ties by `id`."""
        ...


#: (rank, id, request): sorts like the queue.
Place: TypeAlias = tuple[float, int, RequestView]


class OrderingView(Protocol):
    """What an ordering policy sees of a replica."""

    @property
    def decoding(self) -> int:
        """Sequences that decode."""
        ...

    @property
    def waiting(self) -> Iterable[RequestView]:
        """Requests not in the batch, in rank order."""
        ...

    @property
    def first(self) -> RequestView | None:
        """The first of those that wait; None where nobody does."""
        ...

    @property
    def running(self) -> Iterable[RequestView]:
        """Requests of the batch, decoding and prefilling."""
        ...

    def young(self, share: float, tokens: float = -inf) -> Sequence[Place]:
        """Running requests that have not made that share of their first predicted length, or no
        token, each with its predicted remainder at its present age in place of a rank: those of
        at least `tokens`."""
        ...

    def steps_below(self, tokens: float, share: float, besides: Container[int]) -> int:
        """For how many steps from now the predicted remainders of all running requests, but those
        of the ids `besides`, stay below `tokens` while each has made less than that share of its
        first predicted length; FOREVER if they do until somebody ends. So a decision is known to
        hold without asking at each step."""
        ...

    @property
    def free_blocks(self) -> int:
        """Free KV blocks."""
        ...

    @property
    def iterations(self) -> int:
        """Iterations that the replica has made, as of the last boundary."""
        ...


class Ordering(Protocol):
    """Ranks requests. `preemptive`: a waiting request may displace a running one that ranks
    behind it and is `displaceable`. The rank of a waiting request is asked when it enters the queue
    (on arrival and on return); that of a running one whenever it is compared.

    A policy may have a method `reorder(view, now_s)`, called before each plan while requests
    wait: it gives those whose rank is to be asked again. A policy whose ranks depend on the view
    must have one. A policy may have `takes_kv`: False says that running requests are displaced for
    their slots alone, not for the KV blocks that a waiting one lacks.
    """

    preemptive: bool

    def rank(self, request: RequestView, view: OrderingView, now_s: float) -> float:
        """Rank of a request now; lower goes first."""
        ...

    def displaceable(self, view: OrderingView, now_s: float) -> Iterable[Place]:
        """Running requests that a waiting one may displace if it ranks before them (memory
        exhaustion may displace any), with the ranks to compare; those that rank before all that
        wait may be left out. Asked of preemptive policies alone."""
        ...

    def holds(self, view: OrderingView, places: Iterable[Place], now_s: float) -> int:
        """For how many iterations no waiting request comes to rank before a running one that it
        may displace and does not rank before now, if nothing arrives or ends. `places`: what
        `displaceable` gave."""
        ...
