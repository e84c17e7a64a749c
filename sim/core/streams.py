"""Named random streams."""

from __future__ import annotations

from hashlib import sha256

import numpy as np


class Streams:
    """Generators derived from (seed, name), so that a new consumer changes no other stream."""

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"a seed is a whole number >= 0, not {seed}")
        self.seed = seed
        self._streams: dict[str, np.random.Generator] = {}

    def __call__(self, name: str) -> np.random.Generator:
        """The stream of that name; the same object each time it is asked for."""
        stream = self._streams.get(name)
        if stream is None:
            digest = sha256(name.encode()).digest()
            words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
            stream = np.random.Generator(
                np.random.PCG64(np.random.SeedSequence([self.seed, *words]))
            )
            self._streams[name] = stream
        return stream
