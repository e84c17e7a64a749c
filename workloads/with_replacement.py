"""Requests drawn from a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from models.errors import ConfigError
from workloads.checks import whole_or_none
from workloads.demand import Demand, Workload
from workloads.draws import block_sizes, children


class WithReplacement:
    """Demands of `workload` drawn by chance, each equally likely and as often as it comes.

    `workload` must end; all its demands are kept in memory from the first one drawn. They come
    without their times of arrival. `count`: draws in all, `None` for an endless supply. `source`
    says where the numbers come from.
    """

    def __init__(
        self,
        workload: Workload,
        count: int | None = None,
        source: Mapping[str, str] | None = None,
    ) -> None:
        if not workload.finite:
            raise ConfigError(
                "WithReplacement: workload is endless; it must end, so that all of it can be kept"
            )
        self.workload = workload
        self.count = whole_or_none("count", count, least=0)
        self.source = source

    @property
    def finite(self) -> bool:
        return self.count is not None

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        within, choice = children(rng, 2)
        kept = [demand._replace(arrival_s=None) for demand in self.workload.demands(within)]
        if not kept:
            raise ConfigError("WithReplacement: workload has no demand to draw")
        for size in block_sizes(self.count):
            for index in (choice.random(size) * len(kept)).astype(np.int64).tolist():
                yield kept[index]
