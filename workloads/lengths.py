"""Distributions of lengths in tokens: whole numbers of at least 1.

Each maps a uniform number to a length. One length costs one uniform number, so values do not
depend on how many are drawn at a time, and two columns can be correlated through their numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import ceil, floor, log, log1p

import numpy as np

from models.errors import ConfigError
from workloads.checks import between, positive, whole
from workloads.draws import Floats, Integers, part_of, share_edges

MOST_TOKENS = 2**31 - 1
"""Longer than any context; keeps the tail of a distribution inside an integer."""


class Lengths(ABC):
    """A distribution of lengths in tokens."""

    @abstractmethod
    def at(self, u: Floats) -> Integers:
        """The length for each uniform number of `u`, in [0, 1); rising with it."""

    def sample(self, rng: np.random.Generator, size: int) -> Integers:
        """`size` independent lengths."""
        return self.at(rng.random(size))


def _rounded(lengths: Floats) -> Integers:
    return np.clip(np.rint(lengths), 1, MOST_TOKENS).astype(np.int64)


class Fixed(Lengths):
    """Always `tokens`."""

    def __init__(self, tokens: int) -> None:
        self.tokens = whole("tokens", tokens)

    def at(self, u: Floats) -> Integers:
        return np.full(u.shape, self.tokens, dtype=np.int64)


class Uniform(Lengths):
    """Every whole number from `low_tokens` to `high_tokens`, ends included, equally likely."""

    def __init__(self, low_tokens: int, high_tokens: int) -> None:
        self.low_tokens = whole("low_tokens", low_tokens)
        self.high_tokens = whole("high_tokens", high_tokens, least=self.low_tokens)

    def at(self, u: Floats) -> Integers:
        width = self.high_tokens - self.low_tokens + 1
        return self.low_tokens + (u * width).astype(np.int64)


class UniformRatio(Uniform):
    """Uniform from `ratio` of `nominal_tokens` (rounded down) to `nominal_tokens`.

    The lengths that random-data clients of serving benchmarks send.
    """

    def __init__(self, nominal_tokens: int, ratio: float) -> None:
        self.nominal_tokens = whole("nominal_tokens", nominal_tokens)
        self.ratio = between("ratio", ratio, 0.0, 1.0)
        low = floor(self.ratio * self.nominal_tokens + 1e-9)
        super().__init__(max(1, low), self.nominal_tokens)


class UniformAround(Uniform):
    """Uniform from `1 - spread` to `1 + spread` times `nominal_tokens`, rounded inwards."""

    def __init__(self, nominal_tokens: int, spread: float) -> None:
        self.nominal_tokens = whole("nominal_tokens", nominal_tokens)
        self.spread = between("spread", spread, 0.0, 1.0)
        low = ceil((1.0 - self.spread) * self.nominal_tokens - 1e-9)
        high = floor((1.0 + self.spread) * self.nominal_tokens + 1e-9)
        super().__init__(max(1, low), high)


class Lognormal(Lengths):
    """Rounded lognormal: `median_tokens`, and `sigma`, the deviation of the natural logarithm."""

    def __init__(self, median_tokens: float, sigma: float) -> None:
        self.median_tokens = positive("median_tokens", median_tokens)
        self.sigma = positive("sigma", sigma)

    def at(self, u: Floats) -> Integers:
        from scipy.special import ndtri

        with np.errstate(over="ignore"):
            return _rounded(self.median_tokens * np.exp(self.sigma * ndtri(u)))


class Exponential(Lengths):
    """Rounded exponential; the lift of 0 to 1 makes the mean a little more than `mean_tokens`
    (by about 1 / (2 `mean_tokens`) tokens)."""

    def __init__(self, mean_tokens: float) -> None:
        self.mean_tokens = positive("mean_tokens", mean_tokens)

    def at(self, u: Floats) -> Integers:
        return _rounded(-self.mean_tokens * np.log1p(-u))


class Geometric(Lengths):
    """The memoryless length: mean exactly `mean_tokens`, squared variation 1 - 1 / mean."""

    def __init__(self, mean_tokens: float) -> None:
        self.mean_tokens = between("mean_tokens", mean_tokens, 1.0, MOST_TOKENS)

    def at(self, u: Floats) -> Integers:
        if self.mean_tokens == 1.0:
            return np.ones(u.shape, dtype=np.int64)
        return _rounded(np.ceil(np.log1p(-u) / log1p(-1.0 / self.mean_tokens)))


class Quantiles(Lengths):
    """Through given percentiles, with the logarithm of the length linear between them.

    `percentiles`: percent -> tokens, from 0 (the shortest) to 100 (the longest), such as
    {0: 6, 50: 13, 90: 55, 100: 1899}. A percent may be text, as JSON keys are.
    """

    def __init__(self, percentiles: Mapping[float, float] | Mapping[str, float]) -> None:
        table = {_percent(key): tokens for key, tokens in percentiles.items()}
        if len(table) != len(percentiles):
            raise ConfigError(f"percentiles has a percent twice: {list(percentiles)}")
        percents = sorted(table)
        if not percents or percents[0] != 0.0 or percents[-1] != 100.0:
            raise ConfigError(f"percentiles has {percents}; it must reach from 0 to 100")
        longest = 1.0
        for percent in percents:
            tokens = between(f"percentiles.{percent:g}", table[percent], 1.0, MOST_TOKENS)
            if tokens < longest:
                raise ConfigError(
                    f"percentiles.{percent:g} is {tokens:g}, less than the {longest:g} of a lower "
                    "percent; lengths must rise with the percent"
                )
            longest = tokens
        self.percentiles = {percent: float(table[percent]) for percent in percents}
        self._u = np.array(percents) / 100.0
        self._log_tokens = np.array([log(tokens) for tokens in self.percentiles.values()])

    def at(self, u: Floats) -> Integers:
        return _rounded(np.exp(np.interp(u, self._u, self._log_tokens)))


def _percent(key: object) -> float:
    try:
        percent = float(key) if isinstance(key, str) else key
    except ValueError:
        percent = key
    return between("percentiles: a percent", percent, 0.0, 100.0)


class Mixture(Lengths):
    """One of several distributions, by chance: `parts` by name, `shares` (relative) by name.

    The uniform number says which part first, in the order of `parts`, and then how long: list
    short parts first where the length shall rise with the number (see `Lengths.at`).
    """

    def __init__(self, parts: Mapping[str, Lengths], shares: Mapping[str, float]) -> None:
        self.parts = dict(parts)
        self.shares = dict(shares)
        self._edges = share_edges("Mixture", self.parts, self.shares)

    def at(self, u: Floats) -> Integers:
        chosen = part_of(self._edges, u)
        lengths = np.empty(u.shape, dtype=np.int64)
        for index, part in enumerate(self.parts.values()):
            here = chosen == index
            low, high = self._edges[index], self._edges[index + 1]
            within = (u[here] - low) / (high - low)
            lengths[here] = part.at(np.minimum(within, np.nextafter(1.0, 0.0)))
        return lengths
