"""Hourly files of Electricity Maps."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from models.carbon.signal import StepSignal
from models.errors import ConfigError, TraceError
from workloads.carbon.columns import header
from workloads.carbon.stamps import Stamps
from workloads.carbon.steps import STRICT, Oddities, StepRows
from workloads.cells import Cells, listed

#: What the columns were called over the years, and in excerpts of the files, in lower case.
TIMES = ("datetime (utc)", "datetime", "timestamp", "time_utc")
VALUES = {
    "direct": (
        "carbon intensity gco₂eq/kwh (direct)",
        "carbon intensity gco2eq/kwh (direct)",
        "carbon_intensity_direct_avg",
        "direct_gco2e_per_kwh",
    ),
    "lifecycle": (
        "carbon intensity gco₂eq/kwh (life cycle)",
        "carbon intensity gco₂eq/kwh (lca)",
        "carbon intensity gco2eq/kwh (lca)",
        "carbon_intensity_avg",
        "lifecycle_gco2e_per_kwh",
    ),
}


def read_electricity_maps(
    path: str | PathLike[str], factors: str = "lifecycle", *, odd: Oddities = STRICT
) -> StepSignal:
    """Carbon intensity by hour, in UTC as the files are. `factors`: lifecycle, or direct for what
    comes out of chimneys alone; never both in one account. Raises TraceError."""
    if factors not in VALUES:
        raise ConfigError(f"factors is {factors!r}; it is one of {', '.join(VALUES)}")
    file = Path(path)
    rows = header(file)
    time = _column(file, rows.columns, TIMES, "time")
    value = _column(file, rows.columns, VALUES[factors], factors)
    at, of = rows.columns.index(time), rows.columns.index(value)
    stamps = Stamps("UTC")
    steps = StepRows(Cells(file), stamps, time, [value], odd)
    for row in rows:
        steps.add(rows.line, row[at], stamps.seconds(row[at]), [row[of]])
    return steps.signals()[value]


def _column(path: Path, names: list[str], known: tuple[str, ...], what: str) -> str:
    for name in names:
        if name.strip().lower() in known:
            return name
    raise TraceError(
        f"{path}: has no column for {what}, such as {known[0]!r}; its columns are: {listed(names)}"
    )
