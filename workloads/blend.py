"""Several classes of traffic in one stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from models.errors import ConfigError
from workloads.checks import whole_or_none
from workloads.demand import Demand, Workload
from workloads.draws import block_sizes, children, part_of, share_edges


class Blend:
    """Each demand comes from one of `parts`, chosen by chance with the weight of `shares`.

    Prompt and output depend on each other through the class of traffic. Parts are workloads by
    name and must be endless (without a `count`); `shares` are relative. Each part has its own
    random stream: a change of shares does not change what a part yields. `count`: demands in
    all, `None` for an endless supply. `source` says where the numbers come from.
    """

    def __init__(
        self,
        parts: Mapping[str, Workload],
        shares: Mapping[str, float],
        count: int | None = None,
        source: Mapping[str, str] | None = None,
    ) -> None:
        self.parts = dict(parts)
        self.shares = dict(shares)
        self.count = whole_or_none("count", count, least=0)
        self.source = source
        self._edges = share_edges("Blend", self.parts, self.shares)
        for name, part in self.parts.items():
            if part.finite:
                raise ConfigError(
                    f"Blend: part {name} ends by itself; a part must be endless (leave out its "
                    "count), and count of the blend says how many there are in all"
                )

    @property
    def finite(self) -> bool:
        return self.count is not None

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        choice, *streams = children(rng, 1 + len(self.parts))
        supplies = [
            part.demands(stream) for part, stream in zip(self.parts.values(), streams, strict=True)
        ]
        try:
            for size in block_sizes(self.count):
                for index in part_of(self._edges, choice.random(size)).tolist():
                    yield next(supplies[index])
        except StopIteration:
            name = list(self.parts)[index]
            raise ConfigError(f"Blend: part {name} ended; a part must be endless") from None
