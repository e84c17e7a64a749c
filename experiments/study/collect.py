"""The members of a sweep as one table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.study.member import PLAN
from sim.core.errors import ConfigError
from sim.core.result import Result

if TYPE_CHECKING:
    import pandas as pd


def collect(folder: str | Path) -> pd.DataFrame:
    """A row for each finished run in `folder`: `member`, its overrides by key, its metrics.

    A sweep with arms has the column `arm` too. Runs stand in the order of the sweep, others behind
    them by name. A column of overrides (named in `attrs["settings"]` of the frame) is typed as the
    run read it; where a run lacks one, or a metric, the cell is missing. Raises ConfigError where
    no run is finished or one cannot be read.
    """
    import pandas as pd

    folder = Path(folder)
    arms = _read_plan(folder).get("arms")
    rows, keys = [], dict[str, None]()
    for name in _finished(folder):
        result = Result.read(folder / name)
        overrides = dict(map(_typed, read_overrides(folder / name)))
        keys |= dict.fromkeys(overrides)
        twice = sorted(set(overrides) & set(result.summary))
        if twice:
            raise ConfigError(f"{folder / name}: {twice[0]} is a setting and a metric")
        rows.append({"member": name} | overrides | dict(result.summary))
    metrics = sorted({key for row in rows for key in row} - set(keys) - {"member"})
    frame = pd.DataFrame(rows, columns=["member", *keys, *metrics])
    if arms:
        frame.insert(1, "arm", frame["member"].map(arms))
    for key in frame.columns:
        if frame[key].dtype == object:
            frame[key] = _one_type(frame[key])
    frame.attrs["settings"] = list(keys)
    return frame


def missing(folder: str | Path) -> list[str]:
    """Members of the last sweep into `folder` that are not finished."""
    finished = set(_finished(Path(folder)))
    return [name for name in plan(Path(folder)) if name not in finished]


def plan(folder: Path) -> dict[str, list[str]]:
    """Name -> overrides of the members of the last sweep into `folder`; none where there is none.

    Raises ConfigError where it cannot be read.
    """
    members: dict[str, list[str]] = _read_plan(folder)["members"]
    return members


def _read_plan(folder: Path) -> dict[str, Any]:
    import yaml

    if not (folder / PLAN).is_file():
        return {"members": {}}
    try:
        found = yaml.safe_load((folder / PLAN).read_text())
        return {"members": found["members"], "arms": found.get("arms")}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"{folder / PLAN}: cannot be read as the plan of a sweep") from error


def read_overrides(run: Path) -> list[str]:
    """The settings with which a run was made. Raises ConfigError where they cannot be read."""
    import yaml

    path = run / ".hydra" / "overrides.yaml"
    try:
        words = yaml.safe_load(path.read_text()) or []
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(words, list):
        raise ConfigError(f"{path}: holds no list of settings")
    return [str(word) for word in words]


def _finished(folder: Path) -> Sequence[str]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is not a folder")
    names = {path.parent.name for path in folder.glob("*/summary.json")}
    names = {name for name in names if not name.startswith(".")}
    if not names:
        raise ConfigError(f"{folder}: holds no finished run of a sweep")
    planned = [name for name in plan(folder) if name in names]
    return [*planned, *sorted(names.difference(planned))]


@cache
def _typed(word: str) -> tuple[str, Any]:
    """Key and value of an override, as Hydra reads it; what is no scalar as text."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    override = OverridesParser.create().parse_override(word)
    value = override.value()
    key = override.key_or_group
    if value is None or isinstance(value, bool | int | float | str):
        return key, value
    return key, override.get_value_string().strip("'\"")


def _one_type(column: Any) -> Any:
    """A column of mixed values as text, so that a file can hold it."""
    kinds = {type(value) for value in column if value is not None and value == value}
    if len(kinds) <= 1 or kinds == {int, float}:
        return column
    return column.map(lambda value: None if value is None or value != value else str(value))
