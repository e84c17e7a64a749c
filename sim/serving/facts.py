"""Facts of LLM serving."""

from __future__ import annotations

from typing import NamedTuple

from sim.serving.request import Request


class RequestArrived(NamedTuple):
    """A request reached the gateway."""

    time_s: float
    request: Request


class RequestRejected(NamedTuple):
    """A request was turned away; `why` says by which rule."""

    time_s: float
    request: Request
    why: str


class RequestFinished(NamedTuple):
    """A request has all its tokens."""

    time_s: float
    request: Request


class RequestPreempted(NamedTuple):
    """A running request left the batch; its KV had this fate ("keep", "recompute", "swap")."""

    time_s: float
    request: Request
    fate: str


class CallBegan(NamedTuple):
    """A request called a tool; its KV is handled so ("preserve", "discard", "swap")."""

    time_s: float
    request: Request
    handling: str


class CallEnded(NamedTuple):
    """A tool call has returned."""

    start_s: float
    time_s: float
    request: Request


class CallSwapped(NamedTuple):
    """KV of a request in a call begins to move between GPUs and host, behind the iterations."""

    time_s: float
    replica: int
    out_bytes: float
    in_bytes: float


class Iterations(NamedTuple):
    """A replica made `steps` iterations of one composition between two boundaries.

    `decodes` requests made one token in each, reading `context_tokens` KV tokens in the first and
    `decodes` more in each later one; `prefill_tokens` were computed in each but the last, in
    which a prompt's last piece may be shorter: `last_prefill_tokens`. In an iteration by itself
    `host_decodes` more made a token with their attention on the host, over `host_context_tokens`.
    """

    start_s: float
    end_s: float
    replica: int
    steps: int
    decodes: int
    context_tokens: int
    prefill_tokens: int
    last_prefill_tokens: int
    host_decodes: int = 0
    host_context_tokens: int = 0

    @property
    def prefilled(self) -> int:
        """Prefill tokens of all these iterations."""
        return (self.steps - 1) * self.prefill_tokens + self.last_prefill_tokens


class StageDone(NamedTuple):
    """A stage of an iteration in which the host has a part (see `models.offload.offload_cost`):
    when it began, and when the GPUs, the host's thread and the link each were done."""

    start_s: float
    end_s: float
    replica: int
    name: str
    gpu_end_s: float
    host_end_s: float
    copy_end_s: float


class Swapped(NamedTuple):
    """KV moved between a replica's GPUs and host memory; the iteration waited for it."""

    start_s: float
    end_s: float
    replica: int
    out_bytes: float
    in_bytes: float
