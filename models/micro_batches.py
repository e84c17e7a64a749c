"""How an iteration's batch is cut into micro-batches for a pipeline."""

from __future__ import annotations

from collections.abc import Sequence

MicroBatch = tuple[int, list[tuple[int, int]]]


def micro_batches(decodes: int, chunks: Sequence[tuple[int, int]], stages: int) -> list[MicroBatch]:
    """Whole sequences over `min(stages, sequences)` micro-batches, evenly by tokens.

    Chunks (cached tokens, tokens), largest first, go where there are fewest tokens; decodes,
    of one token each, then fill up the smallest. None is empty. Returns (decodes, chunks) of
    each.
    """
    count = min(stages, decodes + len(chunks))
    if count < 1:
        raise ValueError("an iteration needs at least one sequence")
    tokens = [0] * count
    placed: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for chunk in sorted(chunks, key=lambda chunk: -chunk[1]):
        at = tokens.index(min(tokens))
        tokens[at] += chunk[1]
        placed[at].append(chunk)
    given = _fill(tokens, decodes)
    return list(zip(given, placed, strict=True))


def _fill(levels: list[int], drops: int) -> list[int]:
    """Drops poured on each level so that the lowest rise first; sums to `drops`."""
    order = sorted(range(len(levels)), key=levels.__getitem__)
    given = [0] * len(levels)
    wet, below = 0, 0
    for at in order:
        # Raising the `wet` lowest to this level would take more than there is.
        if levels[at] * wet - below > drops:
            break
        wet += 1
        below += levels[at]
    level, rest = divmod(drops + below, wet)
    for rank, at in enumerate(order[:wet]):
        given[at] = level - levels[at] + (1 if rank < rest else 0)
    return given
