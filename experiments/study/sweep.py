"""All members of a product of settings, each in a folder of its own, resumable."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from experiments.study.expansion import expand
from experiments.study.launching import check_launcher, launch
from experiments.study.member import PLAN, prepare, run_member
from experiments.study.processes import Outcome, Workers, cores
from experiments.study.progress import progress_bar
from sim.core.errors import ConfigError
from sim.core.folders import check_own, stepless


@dataclass(slots=True)
class SweepReport:
    """What a sweep did. `own_s`: CPU seconds of the members, added up; 0 where not known."""

    folder: Path
    members: list[str]
    ran: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    wall_s: float = 0.0
    own_s: float = 0.0
    cores: int = 1
    launcher: str | None = None

    def __str__(self) -> str:
        from experiments.report.formats import plural

        counts = f"{len(self.ran)} ran, {len(self.kept)} kept, {len(self.failed)} failed"
        lines = [f"{plural(len(self.members), 'member')}: {counts}"]
        if self.ran and self.own_s:
            where = f"with {self.launcher}" if self.launcher else f"on {plural(self.cores, 'core')}"
            lines.append(
                f"wall time {self.wall_s:.1f} s, the members' own CPU time {self.own_s:.1f} s: "
                f"speed-up {self.own_s / self.wall_s:.2f} {where}"
            )
        return "\n".join(lines)


def sweep(
    settings: Sequence[str],
    folder: str | Path,
    *,
    arms: Mapping[str, Sequence[str]] | None = None,
    config_dir: str | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> SweepReport:
    """Run each member of `settings` (see `expand`) into `folder`/NAME; keep what is finished.

    `arms`: named settings of what is compared: each arm has the members of `settings` and its own,
    and `collect` names it in the column `arm`. `workers`: processes (None: one for each core; a
    script calls this under `if __name__ == "__main__"`, since they import it). `hydra/launcher=`
    among the settings has a launcher of Hydra's do the runs. Raises ConfigError, before anything
    runs or is written, for a member whose settings do not exist, one that two arms have, and a
    folder that holds something else.
    """
    began = time.perf_counter()
    launcher = [word for word in settings if word.startswith(("hydra/", "hydra."))]
    if launcher:
        check_launcher(launcher)
    common = [word for word in settings if word not in launcher]
    members, arm_of = _expand(common, arms)
    folder = stepless(folder)
    _check(folder)
    report = SweepReport(
        folder, list(members), cores=cores() if workers is None else max(workers, 1)
    )
    if launcher:
        report.launcher = next(word for word in launcher if word.startswith("hydra/launcher="))
    with Workers(workers) as processes:
        configs = _prepare_all(processes, folder, members, config_dir, report, progress)
        names = [report.members[number] for number in configs]
        with _alone_in(folder):
            for name in names:
                check_own(folder / name)
            _write_plan(folder, settings, members, arm_of, config_dir)
            _clear(folder, names)
            try:
                if launcher and configs:
                    _launch_all(folder, configs, launcher, report)
                else:
                    jobs = [(*configs[n], folder / report.members[n]) for n in configs]
                    outcomes = processes.each(run_member, jobs)
                    for place, outcome in progress_bar(outcomes, len(jobs), "runs", progress):
                        _note(report, names[place], outcome)
            finally:
                processes.stop()
                _drop_partial(folder)
    report.wall_s = time.perf_counter() - began
    return report


def finished_members(folder: Path) -> int:
    """Members that have a summary; those half-written begin with a point."""
    return sum(path.parent.name[0] != "." for path in folder.glob("*/summary.json"))


def _expand(
    settings: Sequence[str], arms: Mapping[str, Sequence[str]] | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Overrides and arm of each member, by its name."""
    if arms is None:
        return expand(settings), {}
    members: dict[str, list[str]] = {}
    arm_of: dict[str, str] = {}
    for arm, words in arms.items():
        for name, overrides in expand([*settings, *words]).items():
            if name in members:
                raise ConfigError(f"arms: {arm} and {arm_of[name]} have the member {name} both")
            members[name], arm_of[name] = overrides, arm
    return members, arm_of


def _prepare_all(
    processes: Workers,
    folder: Path,
    members: dict[str, list[str]],
    config_dir: str | None,
    report: SweepReport,
    progress: bool,
) -> dict[int, tuple[bytes, list[str]]]:
    """Configuration and overrides of what is to run, by number. Raises what is wrong first."""
    jobs = [(overrides, config_dir, folder / name) for name, overrides in members.items()]
    configs: dict[int, tuple[bytes, list[str]]] = {}
    outcomes = processes.each(prepare, jobs)
    seen, wrong = set[int](), dict[int, str]()
    for number, outcome in progress_bar(outcomes, len(jobs), "settings", progress):
        name = report.members[number]
        report.own_s += outcome.cpu_s
        seen.add(number)
        if outcome.error is not None:
            said = outcome.error.removeprefix("ConfigError: ")
            wrong[number] = f"member {' '.join(members[name])}: {said}"
        elif outcome.value is None:
            report.kept.append(name)
        else:
            configs[number] = (outcome.value, members[name])
        if wrong and seen.issuperset(range(min(wrong))):
            raise ConfigError(wrong[min(wrong)])
    return dict(sorted(configs.items()))


def _launch_all(
    folder: Path,
    configs: dict[int, tuple[bytes, list[str]]],
    words: list[str],
    report: SweepReport,
) -> None:
    problem = "the launcher did not say why"
    outcomes: dict[int, Outcome] = {}
    try:
        outcomes = launch(folder, list(configs), words)
    except Exception as error:  # whatever a plug-in raises where one of its jobs is lost
        problem = " ".join(f"{type(error).__name__}: {error}".split())
    for number in configs:
        _note(report, report.members[number], outcomes.get(number, Outcome(error=problem)))
    if not outcomes:
        report.own_s = 0.0


def _note(report: SweepReport, name: str, outcome: Outcome) -> None:
    """Its folder says whether it ran: a process may be killed after it wrote that, unheard."""
    report.own_s += outcome.cpu_s
    if outcome.error is None or (report.folder / name / "summary.json").is_file():
        report.ran.append(name)
    else:
        report.failed[name] = outcome.error


def _check(folder: Path) -> None:
    """Raise ConfigError unless `folder` is new, empty or a sweep's."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file, not a folder to write a sweep into")
    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir()} - {".lock"}
    names -= {name for name in names if name.startswith(".") and name.endswith(".partial")}
    if names and PLAN not in names:
        raise ConfigError(f"{folder}: holds files that are no sweep of Orrery; choose another one")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make the folder, and hold it against a second sweep; a killed one holds nothing."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{folder}: another sweep is at work here") from None
        yield
    finally:
        os.close(lock)


def _write_plan(
    folder: Path,
    settings: Sequence[str],
    members: dict[str, list[str]],
    arm_of: dict[str, str],
    config_dir: str | None,
) -> None:
    import yaml

    place = None if config_dir is None else str(Path(config_dir).resolve())
    plan: dict[str, object] = {"settings": list(settings), "config_dir": place}
    plan["members"] = members
    if arm_of:
        plan["arms"] = arm_of
    draft = folder / f".{PLAN}.partial"
    draft.write_text(yaml.safe_dump(plan, sort_keys=False, width=1000))
    draft.replace(folder / PLAN)


def _clear(folder: Path, names: Sequence[str]) -> None:
    """Take away what killed runs left, and results of members whose settings have changed."""
    for name in names:
        if (folder / name).exists():
            (folder / name).rename(folder / f".{name}.old.partial")
    _drop_partial(folder)


def _drop_partial(folder: Path) -> None:
    for path in folder.glob(".*.partial"):
        shutil.rmtree(path, ignore_errors=True)
