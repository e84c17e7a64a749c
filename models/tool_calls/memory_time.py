"""Memory that a request holds, integrated over time: the rank of LAMPS.

Shahout et al., "Fast Inference for Augmented Large Language Models" (arXiv 2410.18248): requests
go in the order of the predicted area under memory against time. Areas are in token seconds; times
the bytes of a token's keys and values they are byte seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from models.errors import ConfigError
from models.tool_calls.forward_time import Forward
from models.tool_calls.waste import Handling


class Segment(NamedTuple):
    """A request's part up to a call's return and on: the unit that is ranked.

    prompt_tokens: context at its start, all of earlier segments included. before_tokens: made
    before the call. call_s: the call's duration. returned_tokens: appended by the call.
    after_tokens: made after it. cached_tokens: of the prompt, those whose KV is still there.
    The last segment of a request has no call: call_s, returned_tokens and after_tokens are 0.
    """

    prompt_tokens: float
    before_tokens: float
    call_s: float = 0.0
    returned_tokens: float = 0.0
    after_tokens: float = 0.0
    cached_tokens: float = 0.0

    @property
    def computed(self) -> Segment:
        """The same counted by the passes of an engine: the one over the prompt, or over what the
        call returned, yields the token that follows; and a token's KV comes with the next pass. So
        a pass less makes those before the call, and those after it, and what the call returned
        is computed with the token before it."""
        return self._replace(
            before_tokens=max(self.before_tokens - 1.0, 0.0),
            returned_tokens=self.returned_tokens + (self.after_tokens > 0.0),
            after_tokens=max(self.after_tokens - 1.0, 0.0),
        )

    @property
    def call_tokens(self) -> float:
        """Context at the call."""
        return self.prompt_tokens + self.before_tokens


class Areas(NamedTuple):
    """Token seconds held before a call, during it, while its result is taken in, and after."""

    before: float
    call: float
    back: float
    after: float

    @property
    def total(self) -> float:
        """The whole area: the score, lower goes first."""
        return self.before + self.call + self.back + self.after


def memory_time(
    segment: Segment,
    handling: Handling,
    forward: Forward,
    step_s: float,
    swap_s_per_token: float,
) -> Areas:
    """The area of a segment whose call is handled so, on a GPU that serves it at once.

    `step_s`: of an iteration that makes a token. Prefills and transfers ramp linearly; a token's
    slot is held for the whole iteration that makes it.
    """
    prompt = segment.prompt_tokens
    cached = segment.cached_tokens
    returned = segment.returned_tokens
    context = segment.call_tokens
    before = forward(prompt - cached) * 0.5 * (cached + prompt)
    before += _decoding(prompt, segment.before_tokens, step_s)
    if handling == "preserve":
        call = segment.call_s * context
    elif handling == "swap":
        call = swap_s_per_token * context * context  # down and up, half of C on average
    else:
        call = 0.0
    kept = 0.0 if handling == "discard" else context
    back = forward(context + returned - kept) * 0.5 * (kept + context + returned)
    after = _decoding(context + returned, segment.after_tokens, step_s)
    return Areas(before, call, back, after)


def _decoding(context: float, tokens: float, step_s: float) -> float:
    return step_s * (context * tokens + 0.5 * tokens * (tokens + 1.0))


def segments(
    prompt_tokens: int,
    output_tokens: int,
    calls: Iterable[tuple[int, float, int]],
    after: Literal["next", "all"] = "next",
) -> list[Segment]:
    """The segments of a request, the last one without a call.

    `calls`: (output tokens made by then in all, seconds, tokens returned), in order. Each segment
    has the context so far as its prompt. `after`: whether `after_tokens` are those up to the next
    call or all that are still to come. Raises ConfigError where calls are out of order.
    """
    if after not in ("next", "all"):
        raise ConfigError(f"after: {after!r} is not next or all")
    listed = list(calls)
    points = [0, *(call[0] for call in listed), output_tokens]
    made = [last - first for first, last in pairwise(points)]
    if min(made) < 0:
        raise ConfigError(f"calls after {points[1:-1]} of {output_tokens} tokens are out of order")
    found = []
    context = prompt_tokens
    for index, (point, call_s, returned) in enumerate(listed):
        rest = made[index + 1] if after == "next" else output_tokens - point
        found.append(Segment(context, made[index], call_s, returned, rest))
        context += made[index] + returned
    found.append(Segment(context, made[-1]))
    return found


def request_area(
    parts: Sequence[Segment],
    handlings: Sequence[Handling],
    forward: Forward,
    step_s: float,
    swap_s_per_token: float,
) -> float:
    """Token seconds of a whole request, from its `segments` (after="next") and the handling of
    each of its calls, one fewer than segments."""
    total = memory_time(parts[0], "preserve", forward, step_s, swap_s_per_token).before
    for segment, handling in zip(parts[:-1], handlings, strict=True):
        areas = memory_time(segment, handling, forward, step_s, swap_s_per_token)
        total += areas.call + areas.back + areas.after
    return total
