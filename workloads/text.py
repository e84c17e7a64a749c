"""Text files of requests, read line by line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from models.errors import TraceError
from workloads.cells import OPTIONAL, REQUIRED, Cells, Row, check_columns, listed, shown


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file with their ends, one at a time.

    Raises `TraceError` where the file cannot be read, or at the first line that is not text.
    """
    number = 0
    try:
        with path.expanduser().open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.decode()
                yield text.removeprefix("\ufeff") if number == 1 else text
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path}, line {number}: is not text (UTF-8)") from None


def integer_in(text: str) -> int | str:
    """The integer that plain decimal digits say; any other text as it is, for the error."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else text


def number_in(text: str) -> float | str:
    """The number that the text says; any other text as it is, for the error."""
    try:
        return text if "_" in text else float(text)
    except ValueError:
        return text


class CsvRows:
    """Rows of a CSV file with a header, each as long as the header.

    `columns` is the header; iterating yields the rows, `line` is the number of the last one (its
    last line, if quotes hold several). Raises `TraceError` for a file that is empty, misses a
    column, has one twice or has an unknown one (`optional`: those known besides; None: any), and
    for a row of another length.
    """

    def __init__(
        self, path: Path, required: Sequence[str], optional: Sequence[str] | None = ()
    ) -> None:
        self.path = path
        self._reader = csv.reader(text_lines(path), strict=True)
        try:
            self.columns = next(self._reader)
        except StopIteration:
            raise TraceError(f"{path}: is empty; it must start with a header") from None
        except csv.Error as error:
            self._not_csv(error)
        check_columns(path, self.columns, required, self.columns if optional is None else optional)

    @property
    def line(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        width = len(self.columns)
        try:
            for row in self._reader:
                if len(row) != width:
                    self._uneven(row)
                yield row
        except csv.Error as error:
            self._not_csv(error)

    def _not_csv(self, error: csv.Error) -> NoReturn:
        raise TraceError(f"{self.path}, line {self.line}: is not CSV: {error}") from None

    def _uneven(self, row: list[str]) -> NoReturn:
        what = f"has {len(row)} columns" if row else "is blank"
        raise TraceError(
            f"{self.path}, line {self.line}: {what}; the header has {len(self.columns)}: "
            f"{listed(self.columns)}"
        )


def csv_rows(path: Path) -> Iterator[Row]:
    """Requests of a CSV file in Orrery's own format, cells not yet checked."""
    rows = CsvRows(path, REQUIRED, OPTIONAL)
    where = {name: index for index, name in enumerate(rows.columns)}
    prompt, output = where["prompt_tokens"], where["output_tokens"]
    arrival, kind, origin = where.get("arrival_s"), where.get("kind"), where.get("origin")
    for row in rows:
        yield (
            rows.line,
            integer_in(row[prompt]),
            integer_in(row[output]),
            None if arrival is None else number_in(row[arrival]),
            None if kind is None else row[kind],
            None if origin is None else row[origin],
        )


def json_rows(path: Path) -> Iterator[Row]:
    """Requests of a file of JSON lines in Orrery's own format, cells not yet checked."""
    decode = json.JSONDecoder(object_pairs_hook=_distinct).decode
    cells = Cells(path)
    names: set[str] = set()
    for line, text in enumerate(text_lines(path), 1):
        try:
            row = decode(text)
        except (ValueError, RecursionError) as error:
            what = f"is not JSON: {error}" if text.strip() else "is blank"
            raise TraceError(f"{path}, line {line}: {what}") from None
        if not isinstance(row, dict):
            raise TraceError(
                f"{path}, line {line}: {shown(row)} is not a JSON object such as "
                '{"prompt_tokens": 12, "output_tokens": 34}'
            )
        if not names:
            check_columns(path, list(row), REQUIRED, OPTIONAL)
            names = set(row)
        elif row.keys() != names:
            other = min(row.keys() ^ names)
            has = f"has {shown(other)}" if other in row else f"has no {other}"
            raise TraceError(
                f"{path}, line {line}: {has}, unlike the first line; every line needs the same keys"
            )
        for key in OPTIONAL:
            if row.get(key, key) is None:
                raise cells.wrong(
                    line, key, None, "a value; leave the key out of every line instead"
                )
        yield (
            line,
            row["prompt_tokens"],
            row["output_tokens"],
            row.get("arrival_s"),
            row.get("kind"),
            row.get("origin"),
        )


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of these keys; `ValueError` for a key that stands twice."""
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError(f"a key stands twice among {shown([key for key, _ in pairs])}")
    return row
