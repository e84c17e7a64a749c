"""Uniform draws one by one, taken from a generator in blocks."""

from __future__ import annotations

import numpy as np


class Draws:
    """Uniform numbers in [0, 1) from a generator: the same ones as drawn singly, but cheap."""

    __slots__ = ("_block", "_left")

    def __init__(self, block: int = 1024) -> None:
        self._block = block
        self._left: list[float] = []

    def below(self, n: int, rng: np.random.Generator) -> int:
        """A whole number in [0, n)."""
        if not self._left:
            self._left = rng.random(self._block).tolist()
            self._left.reverse()
        return int(self._left.pop() * n)
