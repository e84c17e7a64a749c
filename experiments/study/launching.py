"""Members of a sweep as jobs of a launcher of Hydra's: Slurm, Ray, joblib and others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.study.processes import Outcome, attempt
from sim.core.errors import ConfigError

#: Configuration of such a job, in configs/.
JOB = "sweep_member"


def check_launcher(words: Sequence[str]) -> None:
    """Raise ConfigError where `words` name no launcher, or one that is not installed."""
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    for word in words:
        key = word.partition("=")[0]
        if key.startswith(("hydra.sweep.", "hydra.run.")):
            raise ConfigError(f"{key}: means nothing here; -o DIR (--out) sets the folder")
    if not any(word.startswith("hydra/launcher=") for word in words):
        raise ConfigError(f"{words[0]}: means nothing without hydra/launcher=")
    with _hydra() as hydra:
        try:
            overrides = ["folder=.", "member=0", *words]
            hydra.compose_config(JOB, overrides, RunMode.MULTIRUN)
        except (HydraException, OmegaConfBaseException) as error:
            lines = [" ".join(line.split()) for line in str(error).splitlines()]
            said = " ".join(line for line in lines if line and not line.startswith("Config search"))
            raise ConfigError(f"{' '.join(words)}: {said}") from error


def launch(folder: Path, numbers: Sequence[int], words: Sequence[str]) -> dict[int, Outcome]:
    """Outcomes of the members with these numbers in `folder`/sweep.yaml.

    `words`: `hydra/launcher=NAME` and settings of it. The jobs read the sweep's folder, so that
    must be visible wherever they run. Raises what the launcher raises where it loses a job.
    """
    quoted = str(folder.resolve()).replace("\\", "\\\\").replace("'", "\\'")
    chosen = ",".join(map(str, numbers))
    with _hydra() as hydra:
        batches = hydra.multirun(JOB, _job, [f"folder='{quoted}'", f"member={chosen}", *words])
    returned = [job.return_value for batch in batches for job in batch]
    return dict(zip(numbers, returned, strict=True))


@contextmanager
def _hydra() -> Iterator[Any]:
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_module("configs", job_name="orrery", version_base="1.3"):
        yield GlobalHydra.instance().hydra


def _job(config: Any) -> Outcome:
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()  # the member composes settings of its own
    return attempt(_member, (Path(config.folder), int(config.member)))


def _member(folder: Path, number: int) -> None:
    import yaml

    from experiments.study.member import PLAN, prepare, run_member

    plan = yaml.safe_load((folder / PLAN).read_text())
    name, overrides = list(plan["members"].items())[number]
    config = prepare(overrides, plan["config_dir"], folder / name)
    if config is not None:
        run_member(config, overrides, folder / name)
