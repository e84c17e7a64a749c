"""Verdicts on claims."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    AT_THE_EDGE = "at the edge"
    NOT_RESOLVED = "not resolved"
    MISSES = "misses"
    REPORTED = "reported"
    NOT_RUN = "not run"


#: From good to bad; what is not here is neither.
_RANKS = {
    Verdict.HOLDS: 0,
    Verdict.AT_THE_EDGE: 1,
    Verdict.NOT_RESOLVED: 1,
    Verdict.MISSES: 2,
}


def worse(now: Verdict, before: Verdict) -> bool:
    """Whether a verdict got worse; a finding and what was not run never did."""
    return now in _RANKS and before in _RANKS and _RANKS[now] > _RANKS[before]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of ranked verdicts, the first of equals."""
    return max(verdicts, key=_RANKS.__getitem__)
