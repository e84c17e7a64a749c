"""Generated requests: no file needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat

import numpy as np

from models.errors import ConfigError
from workloads.checks import between, whole_or_none
from workloads.demand import Demand
from workloads.draws import Floats, block_sizes, children
from workloads.lengths import Lengths


class Synthetic:
    """Requests of one class of traffic, with lengths drawn from two distributions.

    `count`: how many; `None` for an endless supply. `correlation`: of the normal scores of prompt
    and output (a Gaussian copula; the marginals stay what they are, and Spearman's rank
    correlation is 6/pi asin(correlation/2)). `kind` is passed on to each demand. `source` says
    where the numbers come from.
    """

    def __init__(
        self,
        prompt: Lengths,
        output: Lengths,
        count: int | None = None,
        correlation: float = 0.0,
        kind: str = "",
        source: Mapping[str, str] | None = None,
    ) -> None:
        for name, lengths in (("prompt", prompt), ("output", output)):
            if not isinstance(lengths, Lengths):
                raise ConfigError(
                    f"{name} is {lengths!r}; it must be a distribution of lengths, such as "
                    "workloads.lengths.Fixed"
                )
        self.prompt = prompt
        self.output = output
        self.count = whole_or_none("count", count, least=0)
        self.correlation = between("correlation", correlation, -1.0, 1.0)
        self.kind = kind
        self.source = source

    @property
    def finite(self) -> bool:
        return self.count is not None

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        prompts, outputs = children(rng, 2)
        for size in block_sizes(self.count):
            u, v = prompts.random(size), outputs.random(size)
            if self.correlation:
                v = coupled(u, v, self.correlation)
            yield from map(
                Demand,
                self.prompt.at(u).tolist(),
                self.output.at(v).tolist(),
                repeat(None),
                repeat(self.kind),
            )


def coupled(u: Floats, v: Floats, correlation: float) -> Floats:
    """`v` made dependent on `u`: uniform numbers whose normal scores have this correlation."""
    from scipy.special import ndtr, ndtri

    least, most = 2.0**-54, 1.0 - 2.0**-53
    x, y = ndtri(np.clip(u, least, most)), ndtri(np.clip(v, least, most))
    score = correlation * x + np.sqrt(1.0 - correlation**2) * y
    joint: Floats = np.clip(ndtr(score), 0.0, most)
    return joint
