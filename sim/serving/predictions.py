"""Refined predictions of requests, made when somebody looks at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from models.prediction import Asked, Refining
from sim.core.errors import LawBroken
from workloads.demand import Demand

if TYPE_CHECKING:
    from sim.serving.request import Request

#: Requests whose paths are made together, and demands that are looked at ahead of time for it.
_BLOCK = 256


class Predictions:
    """What a refining predictor says. A path follows from the seed and the request alone, so that
    nothing changes with when, or for how many requests together, paths are made; no policy sees
    more of it than the present age."""

    def __init__(self, predictor: Refining, seed: int, rng: np.random.Generator) -> None:
        self._predictor = predictor
        self._seed = seed
        self._rng = rng
        self._number = 0
        # Predictions on arrival of demands that have not arrived, in order.
        self._first: deque[float] = deque()
        self._without: dict[int, Asked] = {}
        self._ready: dict[int, Sequence[float]] = {}

    def ahead(self, demands: Iterator[Demand]) -> Iterator[Demand]:
        """The same demands, taken in blocks."""
        while block := list(islice(demands, _BLOCK)):
            for demand in block:
                prompt, output = demand.prompt_tokens, demand.output_tokens
                first = self._predictor.predict(prompt, output, self._rng)
                self._first.append(first)
                self._without[self._number] = Asked(self._number, prompt, output, first)
                self._number += 1
            yield from block

    def first(self, prompt_tokens: int, output_tokens: int) -> float:
        """The prediction of the request that arrives now."""
        if self._first:
            return self._first.popleft()
        return self._predictor.predict(prompt_tokens, output_tokens, self._rng)

    def forget(self, request: Request) -> None:
        """A request has ended."""
        self._without.pop(request.id, None)
        self._ready.pop(request.id, None)
        request._path = request._most = None

    def path(self, request: Request) -> Sequence[float]:
        """The path of a request, made with those of others that have none yet."""
        path = self._ready.pop(request.id, None)
        length = request._output_tokens
        if path is None or len(path) != length:
            self._without.pop(request.id, None)
            predicted = request.predicted_output_tokens
            asked = Asked(request.id, request.prompt_tokens, length, predicted)
            block = [asked, *islice(self._without.values(), _BLOCK - 1)]
            for each, made in zip(block, self._predictor.paths(block, self._seed), strict=True):
                if len(made) != each.output_tokens:
                    raise LawBroken(
                        f"predictor: {len(made)} predictions for request {each.number}, which "
                        f"makes {each.output_tokens} tokens"
                    )
                self._without.pop(each.number, None)
                self._ready[each.number] = made
            path = self._ready.pop(request.id)
        request._path = path
        return path
