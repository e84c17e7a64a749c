"""What a plan is to be best at: lower scores are better.

A score is a pair, compared in order; neither part falls as a demand rises, so that the score of
lower bounds is a lower bound of scores.
"""

from __future__ import annotations

from math import inf
from typing import Protocol, TypeAlias

from models.checks import positive
from models.network_functions.cost_model import CostModel

#: Rounding that a utilisation may exceed its margin by.
_ROUNDING = 1.0 + 1e-12

Score: TypeAlias = tuple[float, float]

#: Score of a plan that does not serve.
NO_SCORE: Score = (inf, inf)


class Goal(Protocol):
    """A measure of plans that needs the demands of a packet alone."""

    def score(self, model: CostModel, host_s: float, nic_s: float) -> Score:
        """Score of a plan that takes `host_s` of a host core and `nic_s` of the NIC's busiest
        resource for each packet; NO_SCORE where it does not serve."""
        ...


class FewestCores:
    """Fewest busy host cores at a rate that the NIC and at most `cores` of the host hold with the
    stack's margin (problem A); of equals, that with the lower utilisation of the NIC.

    rate_pps: None for the profile's. cores: None for all that packets may use."""

    def __init__(self, rate_pps: float | None = None, cores: float | None = None) -> None:
        _check("rate_pps", rate_pps)
        _check("cores", cores)
        self.rate_pps = rate_pps
        self.cores = cores

    def score(self, model: CostModel, host_s: float, nic_s: float) -> Score:
        rate = model.profile.rate_pps if self.rate_pps is None else self.rate_pps
        cores = model.cores if self.cores is None else self.cores
        most = model.stack.most_utilisation * _ROUNDING
        if rate * nic_s > most or rate * host_s > most * cores:
            return NO_SCORE
        return host_s, nic_s


class HighestRate:
    """Highest rate with so many host cores (problem B); of equals, that with fewer busy ones.

    cores: None for all that packets may use."""

    def __init__(self, cores: float | None = None) -> None:
        _check("cores", cores)
        self.cores = cores

    def score(self, model: CostModel, host_s: float, nic_s: float) -> Score:
        cores = model.cores if self.cores is None else self.cores
        return max(nic_s, host_s / (cores * model.stack.most_utilisation)), host_s


def _check(key: str, value: float | None) -> None:
    if value is not None:
        positive(f"goal: {key}", value)
