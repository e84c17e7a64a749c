"""Tables as text, and data frames as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sim.core.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".parquet", ".csv")


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns under their headings, the first `left` of them flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if place < left else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (headings, *rows)
    ]
    return "\n".join(lines)


def check_table_path(path: Path) -> None:
    """Raise ConfigError where no table can be written there."""
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"{path}: a table is a {' or '.join(_SUFFIXES)} file")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: cannot be written: its folder is none, or it is one itself")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table by its file's suffix, whole or not at all. Raises ConfigError."""
    check_table_path(path)
    draft = path.with_name(f".{path.name}.partial")
    try:
        if path.suffix == ".csv":
            frame.to_csv(draft, index=False)
        else:
            frame.to_parquet(draft, index=False)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
