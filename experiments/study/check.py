"""Experiments run again and compared with their stored summaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.study.baselines import Baseline, Change
from experiments.study.processes import Workers
from experiments.study.progress import progress_bar
from sim.core.errors import ConfigError
from sim.core.result import Value


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one baseline: its changes, or why its experiment did not run."""

    baseline: Baseline
    changes: list[Change] = field(default_factory=list)
    error: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether the experiment ran and every metric is as stored."""
        return self.error is None and not self.changes


def find(places: Iterable[Path]) -> list[Path]:
    """The baselines (.yaml) in folders, and files themselves. Raises ConfigError for none."""
    files: list[Path] = []
    for place in places:
        if place.is_dir():
            found = sorted(path for path in place.glob("*.yaml") if not path.name.startswith("."))
            if not found:
                raise ConfigError(f"{place}: holds no baseline (.yaml)")
            files += found
        elif place.is_file():
            files.append(place)
        else:
            raise ConfigError(f"{place}: is neither a folder of baselines nor one")
    return files


def check(
    places: Sequence[str | Path],
    *,
    update: bool = False,
    config_dir: str | None = None,
    workers: int = 0,
    progress: bool = False,
) -> list[Verdict]:
    """Run the experiments of the baselines in `places`, and say what has changed.

    `update`: what changed is written into the files. Raises ConfigError, before anything runs, for
    a baseline that cannot be read.
    """
    baselines = [Baseline.read(path) for path in find(map(Path, places))]
    jobs = [(baseline.settings, config_dir) for baseline in baselines]
    verdicts: dict[int, Verdict] = {}
    with Workers(workers) as processes:
        outcomes = processes.each(summary, jobs)
        for number, outcome in progress_bar(outcomes, len(jobs), "baselines", progress):
            baseline = baselines[number]
            if outcome.error is not None:
                verdicts[number] = Verdict(baseline, error=outcome.error)
                continue
            verdicts[number] = Verdict(baseline, baseline.changes(outcome.value))
            if update and verdicts[number].changes:
                baseline.update(outcome.value)
    return [verdicts[number] for number in sorted(verdicts)]


def summary(settings: Sequence[str], config_dir: str | None = None) -> dict[str, Value]:
    """Summary of a run with these settings."""
    from experiments.compose import compose
    from sim.core.run import run

    return run(compose(settings, config_dir=config_dir)).summary
