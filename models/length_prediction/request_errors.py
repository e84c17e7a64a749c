"""Errors of predictions that look again and again: each request has a stream of its own."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from math import sqrt

import numpy as np

from models.length_prediction.bin_classifier import Floats
from models.prediction import Asked

CHUNK = 48
"""Looks that are worked on together: small enough for a processor's cache."""
MOST_REQUESTS = 256
MOST_CELLS = 2**20

#: Distance of two requests' streams on the generator's circle of `_PERIOD` numbers: an odd number
#: near the golden section of it, so that no two come close.
_PERIOD = 2**128
_STRIDE = 0x9E3779B97F4A7C15F39CC0605CEDC835
#: Keeps these streams apart from others of the same seed.
_NAME = int.from_bytes(b"predicted paths")


def paths_by_block(
    asked: Sequence[Asked], rows: Callable[[Sequence[Asked]], Floats]
) -> list[Sequence[float]]:
    """Paths of `asked` from `rows`, which makes those of some requests, longest output first, as
    an array (requests, ages) whose rows may be longer than the outputs."""
    paths: list[Sequence[float]] = [()] * len(asked)
    order = sorted(range(len(asked)), key=lambda index: -asked[index].output_tokens)
    begin = 0
    while begin < len(order):
        longest = asked[order[begin]].output_tokens
        size = min(MOST_REQUESTS, max(1, MOST_CELLS // max(1, longest)))
        block = order[begin : begin + size]
        for index, row in zip(block, rows([asked[index] for index in block]), strict=True):
            path = array("d")
            path.frombytes(row[: asked[index].output_tokens].tobytes())
            paths[index] = path
        begin += size
    return paths


def request_errors(
    asked: Sequence[Asked], seed: int, correlation: float, every: int = 1
) -> Iterator[tuple[int, Floats]]:
    """Errors of the looks at requests, in standard deviations, `CHUNK` looks at a time.

    `asked`: longest output first; each is looked at once for `every` tokens, from age 0. Yields
    the number of the first look and an array (looks, requests that still have one), stationary
    and normal with `correlation` for each token. A request's errors follow from `seed` and its
    number: no operation mixes requests or depends on how many there are.
    """
    looks = [-(-request.output_tokens // every) for request in asked]
    # An odd row length: with powers of two, a column's numbers share few lines of the cache.
    fresh = np.zeros((len(asked), looks[0] | 1))[:, : looks[0]]
    _draw(asked, seed, [row[:count] for row, count in zip(fresh, looks, strict=True)])
    kept = correlation**every
    scale = sqrt(1.0 - kept * kept)
    ended = -np.array(looks)
    last: Floats | None = None
    for first in range(0, looks[0], CHUNK):
        active = int(np.searchsorted(ended, -first))
        errors = np.ascontiguousarray(fresh[:active, first : first + CHUNK].T)
        errors[first == 0 :] *= scale
        _accumulate(errors, kept)
        if last is not None:
            powers = kept ** np.arange(1.0, len(errors) + 1.0)
            errors += powers[:, None] * last[:active]
        last = errors[-1]
        yield first, errors


def _draw(asked: Sequence[Asked], seed: int, rows: Sequence[Floats]) -> None:
    """Fill the row of each request from the stream that begins `_STRIDE` numbers after that of the
    request before it."""
    bits = np.random.PCG64(np.random.SeedSequence([seed, _NAME]))
    rng = np.random.Generator(bits)
    words = bits.state
    origin = words["state"]["state"]

    def moved(state: int, strides: int) -> int:
        words["state"]["state"] = state
        bits.state = words
        bits.advance(strides * _STRIDE % _PERIOD)
        return bits.state["state"]["state"]

    # A stride turns a state x into factor x + shift: so to the next request without `advance`.
    shift = moved(0, 1)
    factor = moved(1, 1) - shift
    number, state = 0, origin
    for request, row in sorted(zip(asked, rows, strict=True), key=lambda pair: pair[0].number):
        if request.number == number + 1:
            state = (factor * state + shift) % _PERIOD
        else:
            state = moved(origin, request.number)
        number = request.number
        words["state"]["state"] = state
        bits.state = words
        rng.standard_normal(out=row)


def _accumulate(values: Floats, factor: float) -> None:
    """In place x_t = y_t + factor x_(t-1) along the first axis, by doubling."""
    step = 1
    while step < len(values):
        values[step:] += factor * values[:-step]
        factor *= factor
        step *= 2
