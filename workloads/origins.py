"""Where requests are sent from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from workloads.demand import Demand, Workload
from workloads.derived import Derived
from workloads.draws import block_sizes, children, part_of, share_edges


class FromRegions(Derived):
    """The demands of `workload`, each sent from a region drawn by chance.

    `shares`: of the traffic by region, relative; one region alone sends all. What is drawn has a
    random stream of its own: a change of shares changes no length. `source` says where the numbers
    come from.
    """

    def __init__(
        self,
        workload: Workload,
        shares: Mapping[str, float],
        source: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(workload)
        self.shares = dict(shares)
        self.source = source
        self._edges = share_edges("FromRegions", self.shares, self.shares)

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        within, choice = children(rng, 2)
        demands = self.workload.demands(within)
        regions = list(self.shares)
        for size in block_sizes(None):
            drawn = part_of(self._edges, choice.random(size)).tolist()
            # The drawn ones first: once they end, no demand has been taken that is lost.
            for region, demand in zip(drawn, demands, strict=False):
                yield demand._replace(origin=regions[region])
                size -= 1
            if size:
                return
