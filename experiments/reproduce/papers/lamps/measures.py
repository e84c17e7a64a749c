"""What claims take from the studies' data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log

import numpy as np

from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.lamps.outcome import Figures
from experiments.reproduce.papers.lamps.studies import KIND_RATES, Runs
from experiments.reproduce.runs import mean_interval
from sim.core.errors import ConfigError

HANDLINGS = ("preserve", "discard", "swap")


def mean(runs: Runs, at: tuple[str, float], of: str) -> Estimate:
    """Mean of a figure."""
    return mean_interval(_values(runs, at, of))


def means(runs: Runs, systems: Sequence[str], rate: float, of: str) -> dict[str, Estimate]:
    """The same by system."""
    return {system: mean(runs, (system, rate), of) for system in systems}


def along(runs: Runs, system: str, rates: Sequence[float], of: str) -> dict[str, Estimate]:
    """The same by rate."""
    return {f"{rate:g}/s": mean(runs, (system, rate), of) for rate in rates}


def gain(
    runs: Runs, rate: float, of: str, system: str = "LAMPS as released", over: str = "InferCept"
) -> Estimate:
    """By how many percent a figure is lower than that of `over`, seed by seed."""
    pairs = zip(_values(runs, (system, rate), of), _values(runs, (over, rate), of), strict=True)
    return mean_interval([100.0 * (1.0 - a / b) for a, b in pairs])


def gains(
    runs: Runs,
    rates: Iterable[float],
    of: str,
    system: str = "LAMPS as released",
    over: str = "InferCept",
) -> dict[str, Estimate]:
    """`gain` by rate."""
    return {f"{rate:g}/s": gain(runs, rate, of, system, over) for rate in rates}


def readings(runs: Runs, rate: float, over: str = "InferCept") -> dict[str, Estimate]:
    """`gain` at one rate by figure, rule of starvation and requests that count."""
    return {
        f"{name}, {figure}, {which}": gain(runs, rate, f"{key}{suffix}", name, over)
        for name in ("LAMPS", "LAMPS as released")
        for figure, key in (("latency", "e2e_s"), ("TTFT", "ttft_s"))
        for which, suffix in (("finished in the window", "_window"), ("all", ""))
    }


def counted(runs: Runs, rate: float, over: str = "InferCept") -> dict[str, Estimate]:
    """`gain` in mean latency at one rate by requests that count."""
    return {
        which: gain(runs, rate, f"e2e_s{suffix}", over=over)
        for which, suffix in (("finished in the window", "_window"), ("all", ""))
    }


def percentiles(runs: Runs, rate: float) -> dict[str, Estimate]:
    """`gain` at one rate by figure, percentile and requests that count."""
    return {
        f"{figure}, {name}, {which}": gain(runs, rate, f"{key}_{name}{suffix}")
        for figure, key in (("latency", "e2e_s"), ("TTFT", "ttft_s"))
        for name in ("p50", "p99")
        for which, suffix in (("finished in the window", "_window"), ("all", ""))
    }


def ratio(runs: Runs, a: str, b: str, rate: float, of: str) -> Estimate:
    """A figure of `a` over that of `b`, seed by seed."""
    pairs = zip(_values(runs, (a, rate), of), _values(runs, (b, rate), of), strict=True)
    return mean_interval([x / y for x, y in pairs])


def ratios(runs: Runs, a: str, b: str, rates: Sequence[float], of: str) -> dict[str, Estimate]:
    """`ratio` by rate."""
    return {f"{rate:g}/s": ratio(runs, a, b, rate, of) for rate in rates}


def rate_ratio(runs: Runs, level_s: float, of: str = "normalised_s") -> Estimate:
    """Rate at which InferCept's normalised latency reaches a level over that of vLLM, seed by
    seed; between simulated rates its logarithm is interpolated."""
    pairs = zip(*(_crossings(runs, s, level_s, of) for s in ("InferCept", "vLLM")), strict=True)
    return mean_interval([x / y for x, y in pairs])


def rate_ratios(runs: Runs, levels_s: Sequence[float]) -> dict[str, Estimate]:
    """`rate_ratio` by level."""
    return {f"{level:g} s": rate_ratio(runs, level) for level in levels_s}


def largest_rate_ratio(runs: Runs, levels_s: Sequence[float]) -> Estimate:
    """The largest of `rate_ratio` over the levels, by its mean."""
    return max((rate_ratio(runs, level) for level in levels_s), key=lambda found: found.value)


def share_of_ordering(runs: Runs, rate: float, of: str) -> Estimate:
    """Percent of the gain of LAMPS as released over InferCept that is left to the ordering once
    LAMPS without scheduling is taken away."""
    values = [
        _values(runs, (system, rate), of)
        for system in ("InferCept", "LAMPS without scheduling", "LAMPS as released")
    ]
    return mean_interval([100.0 * (b - c) / (a - c) for a, b, c in zip(*values, strict=True)])


def preserved(runs: Runs, system: str, kind: str, rate: float) -> Estimate:
    """Percent of a kind's calls whose KV stayed on the GPU."""
    return mean_interval([_preserved(one, kind) for one in runs[system, rate]])


def preserved_by_kind(runs: Runs, system: str, rate: float) -> dict[str, Estimate]:
    """The same by kind."""
    kinds = ("math", "ve", "qa", "chatbot", "image", "tts")
    return {kind: preserved(runs, system, kind, rate) for kind in kinds}


def preserved_by_rate(runs: Runs, system: str, kind: str) -> dict[str, Estimate]:
    """The same by rate."""
    return {f"{rate:g}/s": preserved(runs, system, kind, rate) for rate in KIND_RATES}


def strategy_map(runs: Runs, system: str) -> dict[str, Estimate]:
    """The entries of the map: kind and load to percent preserved."""
    low, high = KIND_RATES[0], KIND_RATES[-1]
    busy = {f"{k}, {high:g}/s": preserved(runs, system, k, high) for k in ("math", "ve", "qa")}
    never = {
        f"{k}, {high:g}/s": preserved(runs, system, k, high) for k in ("chatbot", "image", "tts")
    }
    return {**busy, f"qa, {low:g}/s": preserved(runs, system, "qa", low), **never}


def bound_rps(runs: Runs, rate: float, pool_tokens: float) -> Estimate:
    """Rate at which the pool is full if every request holds, token second by token second, what it
    holds at a light rate under preserve (Little's law of memory)."""
    found = []
    for one in runs["preserve", rate]:
        held = one["kv_occupancy.mean"] * pool_tokens * one["lasted_s"] / one["requests"]
        found.append(pool_tokens / held)
    return mean_interval(found)


def sampled_over_law(runs: Runs) -> dict[str, Estimate]:
    """Requests seen in calls over throughput x mean call time, by rate."""
    return {
        f"{rate:g}/s": mean_interval([one["in_calls_sampled"] / one["in_calls"] for one in each])
        for (_, rate), each in runs.items()
    }


def dispersion(runs: Runs, rate: float) -> Estimate:
    """Variance over mean of the number of requests in calls, sampled each second."""
    return mean_interval(
        [one["dispersion"] for (_, at), each in runs.items() if at == rate for one in each]
    )


def _preserved(one: Figures, kind: str) -> float:
    counts = [one.get(f"calls_by_kind.{kind}.{handling}", 0.0) for handling in HANDLINGS]
    return 100.0 * counts[0] / sum(counts)


def _crossings(runs: Runs, system: str, level_s: float, of: str) -> list[float]:
    rates = sorted(rate for name, rate in runs if name == system)
    curves = zip(*(_values(runs, (system, rate), of) for rate in rates), strict=True)
    found = []
    for curve in curves:
        if not min(curve) < level_s < max(curve):
            raise ConfigError(f"{system}: a level of {level_s} s is not on its curve, {curve}")
        # From below, the first crossing: the curve up to there rises.
        ends = next(i for i, value in enumerate(curve) if value >= level_s)
        low, high = log(curve[ends - 1]), log(curve[ends])
        part = (log(level_s) - low) / (high - low)
        found.append(float(np.interp(part, [0.0, 1.0], rates[ends - 1 : ends + 1])))
    return found


def _values(runs: Runs, at: tuple[str, float], of: str) -> list[float]:
    return [one[of] for one in runs[at]]
