"""What claims take from the studies' data."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.trail.studies import LOADED, LOCKS, Runs
from experiments.reproduce.runs import mean_interval, paired_interval


def mean(runs: Runs, at: tuple[str, float], of: str) -> Estimate:
    """Mean of a figure."""
    return mean_interval(_values(runs, at, of))


def means(runs: Runs, of: str, names: Sequence[str], rate: float = LOADED) -> dict[str, Estimate]:
    """The same by policy."""
    return {name: mean(runs, (name, rate), of) for name in names}


def everything(runs: Runs, of: str) -> dict[str, Estimate]:
    """The same of every run of a study at one rate."""
    return {name: mean(runs, (name, rate), of) for name, rate in runs}


def ratio(runs: Runs, rate: float, of: str, a: str = "vLLM-FCFS", b: str = "TRAIL") -> Estimate:
    """A figure of `a` over that of `b`, seed by seed."""
    pairs = zip(_values(runs, (a, rate), of), _values(runs, (b, rate), of), strict=True)
    return mean_interval([x / y for x, y in pairs])


def ratios(
    runs: Runs, rates: Sequence[float], of: str, a: str = "vLLM-FCFS", b: str = "TRAIL"
) -> dict[str, Estimate]:
    """`ratio` by rate."""
    return {f"{rate:g}/s": ratio(runs, rate, of, a, b) for rate in rates}


def steps(runs: Runs, of: str, names: Sequence[str], rate: float = LOADED) -> dict[str, Estimate]:
    """By how much a figure falls from each policy to the next, by the next's name."""
    values = [_values(runs, (name, rate), of) for name in names]
    return {
        f"to {name}": paired_interval(before, after)
        for name, before, after in zip(names[1:], values, values[1:], strict=False)
    }


def by_lock(runs: Runs, kv: str, of: str) -> dict[str, Estimate]:
    """A figure by C, with KV as named."""
    return {f"C = {share:g}": mean(runs, (f"{kv}, C = {share:g}", LOADED), of) for share in LOCKS}


def _values(runs: Runs, at: tuple[str, float], of: str) -> list[float]:
    return [one[of] for one in runs[at]]
