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

    value, time: the columns; by default a file has two, the time first. `zone`: of times without an
    offset. Steps may be of mixed length: a value holds until the next row, so that means weigh by
    time. Raises TraceError with file, line, column and value.
    """
    file = Path(path)
    rows = header(file)
    names = rows.columns
    if value is None or time is None:
        if len(names) != 2:
            raise TraceError(f"{file}: has the columns {listed(names)}; say which is the value")
        time, value = time or names[0], value or names[1]
    for name in (time, value):
        if name not in names:
            raise TraceError(f"{file}: has no column {name}; its columns are: {listed(names)}")
    at, of = names.index(time), names.index(value)
    stamps = Stamps(zone)
    if stamps.seconds(time) is not None:
        raise TraceError(f"{file}: line 1 holds a row ({time}); it must name the columns")
    steps = StepRows(Cells(file), time, [value], odd)
    for row in rows:
        steps.add(rows.line, row[at], stamps.seconds(row[at]), [row[of]])
    return steps.signals(unit)[value]


def header(path: Path) -> CsvRows:
    """Rows of a file whose columns are whatever its header says, each once."""
    return CsvRows(path, (), None)
