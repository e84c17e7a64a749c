"""A against B over replications: an interval for every figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.study.intervals import Interval, differences, independent, of_mean, paired
from experiments.study.processes import Workers
from experiments.study.progress import progress_bar
from experiments.study.replication import replicate
from experiments.study.seeds_needed import seeds_needed
from sim.core.errors import ConfigError
from sim.core.result import Value

if TYPE_CHECKING:
    import pandas as pd

#: Settings and a seed -> the figures of one replication.
Measure = Callable[[list[str], int], Mapping[str, Value]]


@dataclass(frozen=True, slots=True)
class Contrast:
    """One metric in both arms. `why_not` says why there is no interval, where there is none.

    `seeds`: replications that resolve the difference asked about; None where A's mean is 0.
    """

    metric: str
    a: Interval | None = None
    b: Interval | None = None
    difference: Interval | None = None
    seeds: int | None = None
    why_not: str = ""

    @property
    def resolved(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.difference is not None and self.difference.excludes_zero

    @property
    def share(self) -> Interval | None:
        """The difference as a share of A's mean, which is taken as known; None where it is 0."""
        if self.a is None or self.difference is None or self.a.estimate == 0.0:
            return None
        scale, change = abs(self.a.estimate), self.difference
        return Interval(change.estimate / scale, change.half_width / scale, change.level, change.n)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All metrics of A against B. `values`: arm -> metric -> one value a replication."""

    contrasts: dict[str, Contrast]
    values: dict[str, dict[str, list[Value]]]
    seeds_a: tuple[int, ...]
    seeds_b: tuple[int, ...]
    paired: bool

    def __getitem__(self, metric: str) -> Contrast:
        return self.contrasts[metric]

    def frame(self) -> pd.DataFrame:
        """A row a metric: means of A and B, the difference and its share of A, with intervals."""
        import pandas as pd

        rows = []
        for name, contrast in self.contrasts.items():
            row: dict[str, object] = {"metric": name}
            parts = {"a": contrast.a, "b": contrast.b, "difference": contrast.difference}
            for key, interval in (parts | {"share_of_a": contrast.share}).items():
                row[key] = interval.estimate if interval else None
                row[f"{key}_low"] = interval.low if interval else None
                row[f"{key}_high"] = interval.high if interval else None
            row |= {"resolved": contrast.resolved, "seeds_needed": contrast.seeds}
            rows.append(row | {"why_not": contrast.why_not or None})
        return pd.DataFrame(rows)


def compare(
    settings_a: Sequence[str],
    settings_b: Sequence[str],
    common: Sequence[str] = (),
    seeds: Sequence[int] = range(10),
    *,
    seeds_b: Sequence[int] | None = None,
    metrics: Iterable[str] | None = None,
    detect: float = 0.02,
    power: float = 0.9,
    level: float = 0.95,
    measure: Measure = replicate,
    workers: int = 0,
    progress: bool = False,
) -> Comparison:
    """Replications of both arms, and what they say of each metric (None: all that are numbers).

    Both arms use `seeds`: common random numbers, paired differences. With `seeds_b` B has seeds
    of its own and Welch's interval holds. `detect`: the difference, as a share of A's mean, for
    which `seeds` of each contrast is recommended. `workers`: processes (their script is guarded
    by `if __name__ == "__main__"`); 0 works in this one, and `measure` may be any function.
    Raises ConfigError for fewer than two seeds, seeds given twice, a metric that is not there and
    a replication that fails.
    """
    arms = {"A": [*common, *settings_a], "B": [*common, *settings_b]}
    of_arm = {"A": tuple(seeds), "B": tuple(seeds if seeds_b is None else seeds_b)}
    _check(arms, of_arm, independent_arms=seeds_b is not None)
    jobs = [(arm, seed) for arm in arms for seed in of_arm[arm]]
    # The first of each arm come first, so that wrong settings show at once.
    jobs.sort(key=lambda job: of_arm[job[0]].index(job[1]))
    found: dict[tuple[str, int], Mapping[str, Value]] = {}
    with Workers(workers) as processes:
        outcomes = processes.each(measure, [(arms[arm], seed) for arm, seed in jobs])
        for number, outcome in progress_bar(outcomes, len(jobs), "runs", progress):
            arm, seed = jobs[number]
            if outcome.error is not None:
                said = outcome.error.removeprefix("ConfigError: ")
                raise ConfigError(f"{arm}, seed {seed}: {said}")
            found[arm, seed] = outcome.value
    runs = {arm: [found[arm, seed] for seed in of_arm[arm]] for arm in arms}
    values: dict[str, dict[str, list[Value]]] = {
        arm: {name: [run.get(name) for run in rows] for name in _names(rows)}
        for arm, rows in runs.items()
    }
    contrasts = {
        name: _contrast(name, values, seeds_b is None, detect, power, level)
        for name in _chosen(values, metrics)
    }
    return Comparison(contrasts, values, of_arm["A"], of_arm["B"], seeds_b is None)


def _contrast(
    name: str,
    values: dict[str, dict[str, list[Value]]],
    common_numbers: bool,
    detect: float,
    power: float,
    level: float,
) -> Contrast:
    samples: list[list[float]] = []
    for arm in ("A", "B"):
        row = values[arm].get(name)
        if row is None:
            return Contrast(name, why_not=f"not a metric of {arm}")
        numbers = [float(value) for value in row if isinstance(value, int | float)]
        if len(numbers) < len(row):
            missing = f"{len(row) - len(numbers)} of {len(row)}"
            return Contrast(name, why_not=f"no number in {missing} replications of {arm}")
        samples.append(numbers)
    a, b = samples
    mean_a, mean_b = of_mean(a, level), of_mean(b, level)
    change = paired(a, b, level) if common_numbers else independent(a, b, level)
    seeds = None
    if mean_a.estimate != 0.0:
        pilot = differences(a, b) if common_numbers else (a, b)
        seeds = seeds_needed(pilot, detect * abs(mean_a.estimate), power, level=level)
    return Contrast(name, mean_a, mean_b, change, seeds)


def _check(
    arms: Mapping[str, list[str]], seeds: Mapping[str, tuple[int, ...]], independent_arms: bool
) -> None:
    for arm, settings in arms.items():
        if len(seeds[arm]) < 2:
            raise ConfigError(
                f"{len(seeds[arm])} replication: an interval needs two or more, and a figure "
                "without one is no comparison"
            )
        if len(set(seeds[arm])) < len(seeds[arm]):
            raise ConfigError(f"seeds of {arm}: one is given twice, so it counts twice")
        for word in settings:
            if word.partition("=")[0].lstrip("+") == "seed":
                raise ConfigError(f"{word}: the replications set the seed")
    if independent_arms and set(seeds["A"]) & set(seeds["B"]):
        raise ConfigError("seeds: arms with seeds of their own may share none")


def _names(rows: Sequence[Mapping[str, Value]]) -> list[str]:
    return sorted({name for row in rows for name in row})


def _chosen(
    values: dict[str, dict[str, list[Value]]], metrics: Iterable[str] | None
) -> Sequence[str]:
    from experiments.study.metrics import choose

    everything = sorted({name for arm in values.values() for name in arm})
    if metrics is not None:
        return choose(metrics, everything)
    return [
        name
        for name in everything
        if not any(isinstance(value, str) for arm in values.values() for value in arm.get(name, []))
    ]
