"""CSV files with a column of times and one of values: the plainest form of a signal."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from models.carbon.signal import StepSignal
from models.errors import TraceError
from workloads.carbon.stamps import Stamps
from workloads.carbon.steps import STRICT, Oddities, StepRows
from workloads.cells import Cells, listed
from workloads.text import CsvRows


def read_column(
    path: str | PathLike[str],
    value: str | None = None,
    time: str | None = None,
    *,
    zone: str = "UTC",
    odd: Oddities = STRICT,
    unit: str = "g/kWh",
) -> StepSignal:
    """A signal from a CSV file with a header; times in seconds since 1970, UTC.

    value, time: the columns; by default the time is the first, and there is one other. `zone`: of
    times without an offset. Steps may be of mixed length: a value holds until the next row, so that
    means weigh by time. Raises TraceError with file, line, column and value.
    """
    file = Path(path)
    rows = header(file)
    names = rows.columns
    if value is None and len(names) != 2:
        raise TraceError(
            f"{file}, line 1: has the columns {listed(names)}",
            "{key}value names the one of values (and {key}time that of times, if not the first)",
        )
    if time is None:
        time = next((name for name in names if name != value), names[0])
    if value is None:
        value = next(name for name in names if name != time)
    for name in (time, value):
        if name not in names:
            raise TraceError(
                f"{file}, line 1: has no column {name}; its columns are: {listed(names)}"
            )
    at, of = names.index(time), names.index(value)
    stamps = Stamps(zone)
    if stamps.seconds(time) is not None:
        raise TraceError(f"{file}, line 1: holds a row ({time}); it must name the columns")
    steps = StepRows(Cells(file), stamps, time, [value], odd)
    for row in rows:
        steps.add(rows.line, row[at], stamps.seconds(row[at]), [row[of]])
    return steps.signals(unit)[value]


def header(path: Path) -> CsvRows:
    """Rows of a file whose columns are whatever its header says, each once. Raises TraceError for
    columns that are not apart by commas."""
    rows = CsvRows(path, (), None)
    for name, sign in (("semicolons", ";"), ("tabs", "\t")):
        if len(rows.columns) == 1 and sign in rows.columns[0]:
            raise TraceError(
                f"{path}, line 1: {rows.columns[0]!r} has {name} between its columns; a CSV has "
                "commas there, and points in decimals"
            )
    return rows
