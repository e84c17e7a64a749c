"""When requests arrive in the evaluations of InferCept and LAMPS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import floor, isfinite

import numpy as np

from models.errors import ConfigError
from workloads.demand import Demand


class OpeningWindow:
    """floor(rate) + 1 requests at once, then a Poisson process that ends with the window.

    As the release of LAMPS (github.com/mars-repository/mars-codebase) sends them. `rate_rps`:
    requests a second; `window_s`: seconds.
    """

    def __init__(
        self, rate_rps: float, window_s: float, source: Mapping[str, str] | None = None
    ) -> None:
        for key, value in (("rate_rps", rate_rps), ("window_s", window_s)):
            if not (isfinite(value) and value > 0.0):
                raise ConfigError(f"arrivals.{key}: {value!r} must be finite and > 0")
        self.rate_rps = rate_rps
        self.window_s = window_s
        self.source = source

    def times(
        self, demands: Iterator[Demand], rng: np.random.Generator
    ) -> Iterator[tuple[float, Demand]]:
        """Each demand with its time in seconds, from 0 to below `window_s`."""
        return zip(self._times(rng), demands, strict=False)

    def _times(self, rng: np.random.Generator) -> Iterator[float]:
        for _ in range(floor(self.rate_rps) + 1):
            yield 0.0
        now_s = 0.0
        while True:
            # Gaps of mean 1, scaled: two rates see the same ones.
            now_s += float(rng.standard_exponential()) / self.rate_rps
            if now_s >= self.window_s:
                return
            yield now_s
