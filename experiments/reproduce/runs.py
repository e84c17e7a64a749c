"""Replications of runs, and intervals over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import fsum, isfinite, sqrt
from typing import Any, TypeVar, overload

from experiments.reproduce.estimate import Estimate
from experiments.reproduce.workers import Workers
from sim.core.errors import ConfigError
from sim.core.result import Result

T = TypeVar("T")


@overload
def replicate(
    settings: Sequence[str], seeds: Sequence[int], of: Sequence[str], workers: Workers | None = None
) -> list[dict[str, float]]: ...
@overload
def replicate(
    settings: Sequence[str],
    seeds: Sequence[int],
    of: Callable[[Result], T],
    workers: Workers | None = None,
) -> list[T]: ...
def replicate(
    settings: Sequence[str],
    seeds: Sequence[int],
    of: Sequence[str] | Callable[[Result], Any],
    workers: Workers | None = None,
) -> list[Any]:
    """One run for each seed, in the order of seeds; no folder is written.

    `settings`: as on the command line of `orrery run`. `of`: names of metrics, or a function of the
    result (one of a module's top level) whose return value is small. Raises ConfigError for a
    metric that is not defined.
    """
    return _sweep({"": settings}, seeds, of, workers)[""]


@overload
def sweep(
    settings: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    of: Sequence[str],
    workers: Workers | None = None,
) -> dict[str, list[dict[str, float]]]: ...
@overload
def sweep(
    settings: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    of: Callable[[Result], T],
    workers: Workers | None = None,
) -> dict[str, list[T]]: ...
def sweep(
    settings: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    of: Sequence[str] | Callable[[Result], Any],
    workers: Workers | None = None,
) -> dict[str, list[Any]]:
    """`replicate` for settings by name, all runs side by side; every name has the same seeds."""
    return _sweep(settings, seeds, of, workers)


def _sweep(
    settings: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    of: Sequence[str] | Callable[[Result], Any],
    workers: Workers | None,
) -> dict[str, list[Any]]:
    if isinstance(of, str):
        raise TypeError(f"of = {of!r}: give a list of metrics")
    tasks = [[*words, f"seed={seed}"] for words in settings.values() for seed in seeds]
    function = partial(_one, of if callable(of) else tuple(of))
    if workers is None:
        with Workers() as own:
            found = own.map(function, tasks)
    else:
        found = workers.map(function, tasks)
    count = len(seeds)
    return {name: found[i * count : (i + 1) * count] for i, name in enumerate(settings)}


def _one(of: tuple[str, ...] | Callable[[Result], Any], settings: list[str]) -> Any:
    from experiments.compose import compose
    from sim.core.run import run

    result = run(compose(settings, alone=False))
    if callable(of):
        return of(result)
    try:
        return {metric: result.number(metric) for metric in of}
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{error.args[0]}; with {' '.join(settings)}") from None


def mean_interval(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Mean of independent replications and its interval by Student's t.

    Raises ValueError for fewer than two values: one run has no interval.
    """
    from scipy.special import stdtrit

    samples = tuple(float(value) for value in values)
    count = len(samples)
    if count < 2:
        raise ValueError(f"{count} replications: an interval needs 2")
    if not all(isfinite(sample) for sample in samples):
        raise ValueError(f"{samples} are not all finite")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level = {level} is not in (0, 1)")
    mean = fsum(samples) / count
    variance = fsum((sample - mean) ** 2 for sample in samples) / (count - 1)
    half = float(stdtrit(count - 1, 0.5 + 0.5 * level)) * sqrt(variance / count)
    return Estimate(mean, mean - half, mean + half, samples)


def paired_interval(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Estimate:
    """Mean of a - b and its interval, value by value: sample i of both has the same seed.

    Raises ValueError for unequal numbers of values.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} replications do not pair")
    return mean_interval([x - y for x, y in zip(a, b, strict=True)], level)
