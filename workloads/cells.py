"""Checks of the cells and columns of a file of requests, with errors that say where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import TraceError
from workloads.lengths import MOST_TOKENS

REQUIRED = ("prompt_tokens", "output_tokens")
OPTIONAL = ("arrival_s", "kind", "origin")

Row = tuple[int, object, object, object, object, object]
"""A request as it stands in a file: number of its line or row (from 1), prompt, output, arrival,
kind, origin; `None` for the last three where there is no such column."""

MOST_SECONDS = 1e15
LONGEST_SHOWN = 60
MOST_LISTED = 12


def shown(value: object) -> str:
    """`value` as an error message shows it: never more than a few words."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def listed(columns: Sequence[str]) -> str:
    """Names of columns as an error message shows them."""
    first = ", ".join(columns[:MOST_LISTED])
    more = len(columns) - MOST_LISTED
    return f"{first} and {more} more" if more > 0 else first


def check_columns(
    path: Path, columns: Sequence[str], required: Sequence[str], optional: Sequence[str] = ()
) -> None:
    """Raise `TraceError` unless `columns` are all of `required` and none beyond `optional`."""
    for name in required:
        if name not in columns:
            raise TraceError(f"{path}: has no column {name}; its columns are: {listed(columns)}")
    for name in columns:
        if name not in required and name not in optional:
            allowed = listed((*required, *optional))
            raise TraceError(f"{path}: has a column {shown(name)}; it may have: {allowed}")
        if columns.count(name) > 1:
            raise TraceError(f"{path}: has column {name} twice")


class Cells:
    """Cells of the file `path`, whose requests are numbered by `unit` ("line" or "row")."""

    __slots__ = ("path", "unit")

    def __init__(self, path: Path, unit: str = "line") -> None:
        self.path = path
        self.unit = unit

    def wrong(
        self, number: int, column: str, value: object, wanted: str, hint: str = ""
    ) -> TraceError:
        """The error of one cell, which is not `wanted`; `hint` as of `TraceError`."""
        return TraceError(
            f"{self.path}, {self.unit} {number}, column {column}: {shown(value)} is not {wanted}",
            hint,
        )

    def tokens(self, number: int, column: str, value: object) -> int:
        """`value` as a number of tokens: an integer of at least 1."""
        if type(value) is int and 1 <= value <= MOST_TOKENS:
            return value
        raise self.wrong(number, column, value, f"a whole number of tokens, 1 to {MOST_TOKENS}")

    def text(self, number: int, column: str, value: object) -> str:
        """`value` as text; none where there is no such column."""
        if value is None:
            return ""
        if type(value) is str:
            return value
        raise self.wrong(number, column, value, "text")

    def seconds(self, number: int, column: str, value: object) -> float:
        """`value` as a time: a number of at least 0 (and not beyond any clock)."""
        if (
            isinstance(value, float | int)
            and not isinstance(value, bool)
            and 0.0 <= value <= MOST_SECONDS
        ):
            return float(value)
        raise self.wrong(number, column, value, "a time in seconds: a number of at least 0")
