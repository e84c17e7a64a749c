"""Folders that runs are written into: whole or not at all, and never over what is not theirs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from sim.core.errors import ConfigError

#: What a run writes besides tables.
_FILES = {"summary.json", "provenance.json", "report.html", "timeline.json.gz", ".hydra"}
#: What tells its folder.
_MARKS = ("summary.json", "provenance.json")


def check_own(folder: Path) -> None:
    """Raise ConfigError where a run may not take the place of what is there: of a file, of the
    present folder, of files that are no run's."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is a file, not a folder to write a run into")
    if folder.resolve() == Path.cwd():
        raise ConfigError(f"{folder}: is the present folder; choose one in it")
    found = sorted(path.name for path in folder.iterdir())
    if found and not all(mark in found for mark in _MARKS):
        raise ConfigError(f"{folder}: holds files that are no run of Orrery; choose another folder")
    others = [
        name for name in found if name not in _FILES and not name.endswith((".parquet", ".partial"))
    ]
    if others:
        raise ConfigError(
            f"{folder}: holds {others[0]} beside an earlier run, which the new one would replace; "
            "move it away, or choose another folder"
        )


def stepless(folder: str | Path) -> Path:
    """The path without steps up, which lead elsewhere once the folders on the way are made."""
    path = Path(folder)
    return path.resolve() if ".." in path.parts else path


def draft_beside(target: Path) -> Path:
    """A new folder that `put_in_place` makes the target of. Raises ConfigError where the target
    cannot be written, or holds what is not a run's (see `check_own`)."""
    check_own(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}") from error
    return draft


def put_in_place(draft: Path, target: Path) -> None:
    """The draft becomes the target, instead of the run that was there, if any. Raises ConfigError
    where files came there meanwhile that are no run's; nothing is lost then but the draft."""
    if not target.exists():
        draft.rename(target)
        return
    check_own(target)
    before = target.with_name(f"{draft.name}.before.partial")
    target.rename(before)
    try:
        draft.rename(target)
    except BaseException:
        before.rename(target)
        raise
    shutil.rmtree(before, ignore_errors=True)
