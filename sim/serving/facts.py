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


class Iterations(NamedTuple):
    """A replica made `steps` iterations of one composition between two boundaries.

    `decodes` requests made one token in each, reading `context_tokens` KV tokens in the first and
    `decodes` more in each later one; `prefill_tokens` were computed in each. `first_step` is the
    number of the first of them within its run of unchanged composition.
    """

    start_s: float
    end_s: float
    replica: int
    steps: int
    decodes: int
    context_tokens: int
    prefill_tokens: int
    first_step: int


class Swapped(NamedTuple):
    """KV moved between a replica's GPUs and host memory; the iteration waited for it."""

    start_s: float
    end_s: float
    replica: int
    out_bytes: float
    in_bytes: float
