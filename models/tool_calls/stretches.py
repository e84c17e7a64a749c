"""Memory of a segment iteration by iteration: the long way to `memory_time`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from models.tool_calls.forward_time import Forward
from models.tool_calls.memory_time import Segment
from models.tool_calls.waste import Handling


class Stretch(NamedTuple):
    """So many seconds in which the tokens held go linearly from `first_tokens` to
    `last_tokens`."""

    seconds: float
    first_tokens: float
    last_tokens: float


def stretches(
    segment: Segment,
    handling: Handling,
    forward: Forward,
    step_s: float,
    swap_s_per_token: float,
    *,
    chunk_tokens: int | None = None,
    slot_from_start: bool = True,
) -> Iterator[Stretch]:
    """Every iteration and transfer of a segment in order; lengths are whole numbers.

    `chunk_tokens`: most tokens of a prefill iteration (None: whole). `slot_from_start`: whether a
    new token counts for the whole iteration that makes it, or grows in linearly.
    """

    def prefill(cached: float, tokens: float) -> Iterator[Stretch]:
        end = cached + tokens
        while cached < end:
            size = end - cached if chunk_tokens is None else min(chunk_tokens, end - cached)
            yield Stretch(forward(size), cached, cached + size)
            cached += size

    def decode(context: float, tokens: float) -> Iterator[Stretch]:
        for made in range(1, int(tokens) + 1):
            held = context + made
            yield Stretch(step_s, held if slot_from_start else held - 1, held)

    context = segment.call_tokens
    yield from prefill(segment.cached_tokens, segment.prompt_tokens - segment.cached_tokens)
    yield from decode(segment.prompt_tokens, segment.before_tokens)
    kept = context
    if handling == "preserve":
        yield Stretch(segment.call_s, context, context)
    elif handling == "swap":
        one_way_s = swap_s_per_token * context
        yield Stretch(one_way_s, context, 0)
        yield Stretch(max(segment.call_s - one_way_s, 0.0), 0, 0)
        yield Stretch(one_way_s, 0, context)
    else:
        yield Stretch(segment.call_s, 0, 0)
        kept = 0
    yield from prefill(kept, context + segment.returned_tokens - kept)
    yield from decode(context + segment.returned_tokens, segment.after_tokens)


def area(stretched: Iterable[Stretch]) -> float:
    """Token seconds, by the trapezoidal rule (exact for what is linear)."""
    return sum(0.5 * part.seconds * (part.first_tokens + part.last_tokens) for part in stretched)


def duration_s(stretched: Iterable[Stretch]) -> float:
    """Seconds from the first stretch to the last."""
    return sum(part.seconds for part in stretched)
