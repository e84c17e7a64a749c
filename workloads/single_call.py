"""Requests that make one call at most."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workloads.demand import Demand
from workloads.derived import Derived


def single_call(demand: Demand) -> Demand:
    """`demand` with its first call alone, and what it generates between that and the second.

    The single-API set of LAMPS (arXiv 2410.18248): the first call, then one final segment.
    """
    if len(demand.calls) < 2:
        return demand
    first, second = demand.calls[:2]
    return demand._replace(output_tokens=second.after_tokens, calls=(first,))


class SingleCall(Derived):
    """The demands of `workload`, each with its first call alone (see `single_call`)."""

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        return map(single_call, self.workload.demands(rng))
