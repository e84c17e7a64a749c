"""Refined predictions of requests, made when somebody looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from models.prediction import Asked, Refining
from sim.core.errors import LawBroken

if TYPE_CHECKING:
    from sim.serving.request import Request

#: Requests whose paths are made together.
_BLOCK = 128


class Predictions:
    """Paths of a refining predictor. A path follows from the seed and the request alone, so that
    nothing changes with when, or for how many requests together, paths are made."""

    def __init__(self, predictor: Refining, seed: int) -> None:
        self._predictor = predictor
        self._seed = seed
        self._without: dict[int, Request] = {}

    def expect(self, request: Request) -> None:
        """A request has arrived."""
        request._predictions = self
        self._without[request.id] = request

    def forget(self, request: Request) -> None:
        """A request has ended."""
        self._without.pop(request.id, None)
        request._path = None

    def path(self, request: Request) -> Sequence[float]:
        """The path of a request, made with those of others that have none yet."""
        without = self._without
        del without[request.id]
        block = [request, *islice(without.values(), _BLOCK - 1)]
        asked = [
            Asked(r.id, r.prompt_tokens, r._output_tokens, r.predicted_output_tokens) for r in block
        ]
        for each, path in zip(block, self._predictor.paths(asked, self._seed), strict=True):
            if len(path) != each._output_tokens:
                raise LawBroken(
                    f"predictor: {len(path)} predictions for request {each.id}, which makes "
                    f"{each._output_tokens} tokens"
                )
            each._path = path
            without.pop(each.id, None)
        assert request._path is not None
        return request._path
