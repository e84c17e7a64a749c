"""Requests shortened to fit a context."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.errors import ConfigError
from workloads.checks import whole
from workloads.demand import Demand, Workload
from workloads.derived import Derived


class Cut(Derived):
    """The demands of `workload`, each prompt cut so that the whole fits `max_total_tokens`.

    The whole is prompt, output and what calls return; shorter demands pass unchanged. A demand
    that would be left without a prompt raises `ConfigError`.
    """

    def __init__(self, workload: Workload, max_total_tokens: int) -> None:
        super().__init__(workload)
        self.max_total_tokens = whole("max_total_tokens", max_total_tokens, least=2)

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        most = self.max_total_tokens
        for number, demand in enumerate(self.workload.demands(rng), 1):
            over = demand.total_tokens - most
            if over <= 0:
                yield demand
                continue
            left = demand.prompt_tokens - over
            if left < 1:
                raise ConfigError(
                    f"max_total_tokens is {most}, but demand {number} makes or is returned "
                    f"{demand.total_tokens - demand.prompt_tokens} tokens, which leaves none for "
                    f"its prompt; it must be at least "
                    f"{demand.total_tokens - demand.prompt_tokens + 1}"
                )
            yield demand._replace(prompt_tokens=left)
