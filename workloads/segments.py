"""Requests made of segments: some tokens generated, then a tool call, then the next segment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from workloads.demand import Call, Demand


class Segment(NamedTuple):
    """`generated_tokens` (at least 1), then a call of `call_s` seconds and what it returns.

    `call_s` is `None` in a last segment without a call.
    """

    generated_tokens: int
    call_s: float | None = None
    returned_tokens: int = 0


def demand_of(
    prompt_tokens: int,
    segments: Iterable[Segment],
    context_tokens: int | None = None,
    arrival_s: float | None = None,
    kind: str = "",
) -> Demand:
    """The demand that goes through `segments` (at least one) after a prompt.

    With `context_tokens` (at least 2) the context ends there: a longer prompt loses what leaves
    no room for one token, the segment that reaches the limit is cut short and its call is never
    made, and a call whose segment fits returns what still fits. Nothing comes behind.
    """
    prompt = prompt_tokens if context_tokens is None else min(prompt_tokens, context_tokens - 1)
    output, context = 0, prompt
    calls: list[Call] = []
    for generated, call_s, returned in segments:
        if context_tokens is not None:
            room = context_tokens - context
            if room < 1 or generated > room:
                output += room
                break
            returned = min(returned, room - generated)
        output += generated
        context += generated + returned
        if call_s is not None:
            calls.append(Call(output, call_s, returned))
    return Demand(prompt, output, arrival_s, kind, tuple(calls))
