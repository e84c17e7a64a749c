"""Those that decode by how much may yet be predicted to be left of them."""

from __future__ import annotations

from array import array
from collections.abc import Container, Sequence
from heapq import heappop, heappush
from math import ceil
from typing import TypeAlias

import numpy as np

from policies.ordering.contract import FOREVER, Place
from sim.serving.decode_batch import DecodeBatch
from sim.serving.request import Request

#: Less the most that may yet be predicted, id, the request, the batch's steps at its age 0, and
#: those from which it is young no more.
_Entry: TypeAlias = tuple[float, int, Request, int, int]

_SPARSE = 4


class Reach:
    """A heap of the young members of a batch, the one whose predicted remainder may yet be the
    largest on top: who reaches a bound is found without looking at all the others.

    Young: it has not made a given share of its first predicted length. An entry holds the most
    that was predicted to be left at its age when it was made, or later: perhaps more than can
    still come, never less. Entries of members that have left, or are young no more, go when they
    are met.
    """

    __slots__ = ("_batch", "_heap", "_newcomers", "_share")

    def __init__(self, batch: DecodeBatch) -> None:
        self._batch = batch
        self._newcomers: list[Request] = []
        self._heap: list[_Entry] = []
        self._share = -1.0

    def at_least(self, tokens: float, share: float) -> list[Place]:
        """Young members of which `tokens` or more are predicted to be left now."""
        heap = self._brought_up(share)
        batch = self._batch
        steps = batch.steps
        bound = -tokens
        found: dict[int, Place] = {}
        again: dict[int, _Entry] = {}
        while heap and heap[0][0] <= bound:
            _, number, request, born, until = heappop(heap)
            if (
                steps >= until
                or request._batch is not batch
                or request._joined - request._generated != born
            ):
                continue
            most = request._most
            if most is None:
                reach = left = request.predicted_remaining_tokens
            else:
                reach = most[~(steps - born)]
                left = request._path[steps - born]  # type: ignore[index]
            again[number] = (-reach, number, request, born, until)
            if left >= tokens:
                found[number] = (left, number, request)
        for entry in again.values():
            heappush(heap, entry)
        return [*found.values()]

    def steps_below(self, tokens: float, share: float, besides: Container[int]) -> int:
        """Steps for which less than `tokens` are predicted to be left of all young members but
        those of the ids `besides`; FOREVER if until somebody ends."""
        heap = self._brought_up(share)
        batch = self._batch
        steps = batch.steps
        # Somebody ends at the last of these: then all is asked again.
        least = ends = batch.next_end - steps + 1
        nodes = [0]
        for node in nodes:
            if node >= len(heap) or -heap[node][0] < tokens:
                continue
            nodes += (2 * node + 1, 2 * node + 2)
            _, number, request, born, until = heap[node]
            path = request._path
            # A prediction that nobody refines only falls.
            if (
                path is None
                or number in besides
                or request._batch is not batch
                or request._joined - request._generated != born
            ):
                continue
            after = steps + 1
            for later, left in enumerate(path[after - born : min(after + least - 1, until) - born]):
                if left >= tokens:
                    least = later + 1
                    break
        return least if least < ends else FOREVER

    def _brought_up(self, share: float) -> list[_Entry]:
        """The heap, with those that have joined; made anew where most of it is out of date."""
        batch = self._batch
        heap = self._heap
        sparse = len(heap) > 64 and len(heap) > _SPARSE * batch.size
        if sparse or share != self._share or batch.newcomers is not self._newcomers:
            self._share = share
            heap.clear()
            batch.newcomers = self._newcomers = [*batch]
        if self._newcomers:
            for request in self._newcomers:
                if request._batch is batch:
                    self._enter(request)
            self._newcomers.clear()
        return heap

    def _enter(self, request: Request) -> None:
        born = request._joined - request._generated
        age = self._batch.steps - born
        lock = ceil(self._share * request.predicted_output_tokens)
        if age < lock:
            most = request._most
            if most is None and request._predictions is not None:
                most = request._most = _most(request._path or request._predictions.path(request))
            reach = request.predicted_remaining_tokens if most is None else most[~age]
            heappush(self._heap, (-reach, request.id, request, born, born + lock))


def _most(path: Sequence[float]) -> Sequence[float]:
    """The largest value from each age on, the last age first."""
    backwards = np.frombuffer(array("d", path[::-1]))
    return array("d", np.maximum.accumulate(backwards).tobytes())
