"""What claims take from the studies' data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import log

from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.neo.studies import OUTPUTS, Point, Rates, Runs
from experiments.reproduce.runs import mean_interval
from sim.core.errors import ConfigError

ALONE = "GPU only"
#: Throughput until the last request is done, and in the window that the paper takes.
MAKESPAN, WINDOW = "makespan_rps", "window_rps"


def latency(rates: Rates, system: str, rate: float, of: str = "per_token_s") -> Estimate:
    """A figure at a rate, mean over seeds."""
    return _estimate([one[of] for one in rates[system, rate]])


def latencies(rates: Rates, system: str, at: Sequence[float]) -> dict[str, Estimate]:
    """Latency of a token by rate."""
    return {f"{rate:g}/s": latency(rates, system, rate) for rate in at}


def crossing(rates: Rates, system: str, level_s: float) -> Estimate:
    """Rate at which the latency of a token first exceeds a level: between two rates its logarithm
    is taken to be straight. Raises ConfigError where the rates do not reach the level."""
    at = sorted(rate for name, rate in rates if name == system)
    curves = zip(*([one["per_token_s"] for one in rates[system, rate]] for rate in at), strict=True)
    return _estimate([_crossing(at, curve, level_s) for curve in curves])


def _crossing(at: Sequence[float], curve: Sequence[float], level_s: float) -> float:
    for (low, before), (high, after) in pairwise(zip(at, curve, strict=True)):
        if before <= level_s < after:
            return low + (high - low) * log(level_s / before) / log(after / before)
    raise ConfigError(
        f"latencies {', '.join(f'{value:g}' for value in curve)} at rates "
        f"{', '.join(f'{rate:g}' for rate in at)} do not cross {level_s:g} s"
    )


def rate_ratio(rates: Rates, a: str, b: str, level_s: float) -> Estimate:
    """Rate of `a` over that of `b` at equal latency."""
    return quotient(crossing(rates, a, level_s), crossing(rates, b, level_s))


def rate_ratios(rates: Rates, a: str, b: str, levels_s: Sequence[float]) -> dict[str, Estimate]:
    """The same by level."""
    return {f"{level:g} s": rate_ratio(rates, a, b, level) for level in levels_s}


def largest_rate_ratio(rates: Rates, a: str, b: str, levels_s: Sequence[float]) -> Estimate:
    """The largest of them."""
    return largest(rate_ratios(rates, a, b, levels_s).values())


def figure(runs: Runs, point: Point, of: str) -> Estimate:
    """A figure of a point, mean over seeds."""
    return _estimate([one[of] for one in runs[point]])


def gain(runs: Runs, point: Point, of: str = MAKESPAN, over: str = ALONE) -> Estimate:
    """Throughput over that of another system, seed by seed: with the same change where that has
    been run so, else without."""
    other = point._replace(system=over)
    if other not in runs:
        other = other._replace(change="")
    return quotient(figure(runs, point, of), figure(runs, other, of))


def gains(
    runs: Runs,
    where: str,
    system: str = "NEO",
    of: str = MAKESPAN,
    at: Sequence[int] = OUTPUTS,
    li: int = 1000,
    change: str = "",
) -> dict[str, Estimate]:
    """The same by output length."""
    return {f"lo {lo}": gain(runs, Point(where, li, lo, system, change), of) for lo in at}


def by_host(runs: Runs, lo: int, system: str = "NEO", of: str = MAKESPAN) -> dict[str, Estimate]:
    """The same by instance."""
    hosts = dict.fromkeys(p.where for p in runs if p.lo == lo and p.system == system)
    return {host: gain(runs, Point(host, 1000, lo, system), of) for host in hosts}


def all_gains(runs: Runs, system: str, of: str = MAKESPAN) -> dict[str, Estimate]:
    """The same by point, without changes."""
    return {
        name(point): gain(runs, point, of)
        for point in runs
        if point.system == system and not point.change
    }


def peak(runs: Runs, where: str, of: str = MAKESPAN) -> Estimate:
    """NEO's largest gain on a machine, without changes."""
    found = all_gains(runs, "NEO", of)
    return largest(value for at, value in found.items() if at.startswith(f"{where},"))


def peak_at(runs: Runs, where: str) -> Estimate:
    """Output tokens with which NEO gains most there, seed by seed."""
    found = [gain(runs, Point(where, 1000, lo, "NEO")).samples for lo in OUTPUTS]
    best = [max(zip(each, OUTPUTS, strict=True))[1] for each in zip(*found, strict=True)]
    return _estimate(best)


def over_better(runs: Runs, point: Point, of: str = MAKESPAN) -> Estimate:
    """Throughput of NEO by work over the better of NEO and full offload."""
    others = [figure(runs, point._replace(system=s), of) for s in ("NEO", "full offload")]
    return quotient(figure(runs, point, of), largest(others))


def all_over_better(runs: Runs, of: str = MAKESPAN) -> dict[str, Estimate]:
    """The same by point."""
    points = [p for p in runs if p.system == "NEO by work" and not p.change]
    return {name(point): over_better(runs, point, of) for point in points}


def largest_drop(found: Iterable[Estimate]) -> Estimate:
    """By which share a figure falls from one point of a sweep to the next, at most."""
    return largest([_minus_one(quotient(a, b)) for a, b in pairwise(found)])


def largest(found: Iterable[Estimate]) -> Estimate:
    """That with the largest value."""
    return max(found, key=lambda estimate: estimate.value)


def least(found: Iterable[Estimate]) -> Estimate:
    """That with the lowest end of its interval."""
    return min(found, key=lambda estimate: estimate.low)


def quotient(a: Estimate, b: Estimate) -> Estimate:
    """a over b: seed by seed, or with `b` exact. Raises ConfigError for others."""
    if a.samples and b.samples:
        return _estimate([x / y for x, y in zip(a.samples, b.samples, strict=True)])
    if not b.certain:
        raise ConfigError(f"{b.text()} has no samples to pair with {a.text()}")
    return _estimate([x / b.value for x in a.samples or (a.value,)])


def name(point: Point) -> str:
    """A point for a reader."""
    return f"{point.where}, li {point.li}, lo {point.lo}"


def _minus_one(found: Estimate) -> Estimate:
    return _estimate([sample - 1.0 for sample in found.samples])


def _estimate(samples: Sequence[float]) -> Estimate:
    return mean_interval(samples) if len(samples) > 1 else Estimate.exact(samples[0])
