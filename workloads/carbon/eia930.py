"""Hourly generation by source of the US Energy Information Administration, form 930."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from models.carbon.factors import FactorTable
from models.carbon.mix import average_intensity
from models.carbon.signal import StepSignal
from models.errors import TraceError
from workloads.carbon.columns import header
from workloads.carbon.stamps import Stamps
from workloads.carbon.steps import STRICT, Oddities, StepRows
from workloads.cells import Cells, listed

AUTHORITY, TIME = "Balancing Authority", "UTC Time at End of Hour"
PREFIX = "Net Generation (MW) from "
#: Beginning of a column's name behind the prefix -> source of a factor table.
SOURCES = {
    "Coal": "coal",
    "Natural Gas": "gas",
    "Nuclear": "nuclear",
    "All Petroleum Products": "oil",
    "Hydropower and Pumped Storage": "hydro",
    "Solar": "solar",
    "Wind": "wind",
    "Geothermal": "geothermal",
    "Other Fuel Sources": "other",
}
FORMATS = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")
S_PER_HOUR = 3600.0


def read_generation(
    path: str | PathLike[str], authority: str, *, odd: Oddities = STRICT
) -> dict[str, StepSignal]:
    """Generation in MW by source of one balancing authority of a six-month balance file.

    Stamps are the ends of hours in UTC; a value holds over the hour before its stamp. Thousands may
    have commas; an empty cell is no generation where the whole column is empty for the authority,
    and else an error. Negative generation is mostly a plant's own use or a storage that charges:
    `odd.negative` zero takes it as none. Raises TraceError.
    """
    file = Path(path)
    rows = header(file)
    for name in (AUTHORITY, TIME):
        if name not in rows.columns:
            raise TraceError(
                f"{file}: has no column {name}; its columns are: {listed(rows.columns)}"
            )
    who, when = rows.columns.index(AUTHORITY), rows.columns.index(TIME)
    where = _sources(rows.columns)
    if not where:
        raise TraceError(f"{file}: has no column that begins with {PREFIX!r}")
    own = [(rows.line, row) for row in rows if row[who] == authority]
    if not own:
        raise TraceError(f"{file}: has no row of the balancing authority {authority!r}")
    where = {name: at for name, at in where.items() if any(row[at].strip() for _, row in own)}
    stamps = Stamps("UTC", FORMATS)
    steps = StepRows(Cells(file), TIME, [rows.columns[at] for at in where.values()], odd)
    for line, row in own:
        end_s = stamps.seconds(row[when])
        start_s = None if end_s is None else end_s - S_PER_HOUR
        steps.add(line, row[when], start_s, [row[at].replace(",", "") for at in where.values()])
    found = steps.signals("MW")
    return {name: found[rows.columns[at]] for name, at in where.items()}


def read_eia930(
    path: str | PathLike[str], authority: str, factors: FactorTable, *, odd: Oddities = STRICT
) -> StepSignal:
    """Average intensity of an authority's own generation with one set of factors."""
    generation = read_generation(path, authority, odd=odd)
    edges = next(iter(generation.values())).edges_s
    by_source = {name: signal.values for name, signal in generation.items()}
    return average_intensity(edges, by_source, factors, name=f"{Path(path).name}: {authority}")


def _sources(columns: Iterable[str]) -> dict[str, int]:
    """Where each source stands; of columns adjusted and not, the first."""
    found: dict[str, int] = {}
    for at, column in enumerate(columns):
        if column.startswith(PREFIX):
            name = column.removeprefix(PREFIX).removesuffix(" (Adjusted)")
            if name in SOURCES:
                found.setdefault(SOURCES[name], at)
    return found
