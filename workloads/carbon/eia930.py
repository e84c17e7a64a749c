"""Hourly generation by source of the US Energy Information Administration, form 930."""

from __future__ import annotations

from dataclasses import replace
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
#: Column behind the prefix -> source of a factor table; several may be of one source.
SOURCES = {
    "Coal": "coal",
    "Natural Gas": "gas",
    "Nuclear": "nuclear",
    "All Petroleum Products": "oil",
    "Hydropower and Pumped Storage": "hydro",
    "Hydropower Excluding Pumped Storage": "hydro",
    "Solar": "solar",
    "Solar without Integrated Battery Storage": "solar",
    "Solar with Integrated Battery Storage": "solar",
    "Wind": "wind",
    "Wind without Integrated Battery Storage": "wind",
    "Wind with Integrated Battery Storage": "wind",
    "Geothermal": "geothermal",
    "Other Fuel Sources": "other",
    "Unknown Fuel Sources": "other",
}
#: What a storage gives back has been generated before: no source.
STORAGES = (
    "Pumped Storage",
    "Battery Storage",
    "Other Energy Storage",
    "Unknown Energy Storage",
)
#: Columns that hold what others, if they are there, hold in parts.
TOTALS = ("Hydropower and Pumped Storage", "Solar", "Wind")
#: Of one column in several states the last of these counts.
STATES = ("", " (Imputed)", " (Adjusted)")
FORMATS = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")
S_PER_HOUR = 3600.0


def read_generation(
    path: str | PathLike[str], authority: str, *, odd: Oddities = STRICT
) -> dict[str, StepSignal]:
    """Generation in MW by source of one balancing authority of a six-month balance file.

    Of reported, imputed and adjusted columns the adjusted ones count; what storages give back does
    not. Stamps are the ends of hours in UTC; a value holds over the hour before its stamp, and an
    hour that is missing is a gap, unless `odd` says how long a step may be.
    Thousands may have commas; an empty cell is no generation where the whole column is empty for
    the authority, and else an error. A total with generation beside its parts is an error, as both
    would count. Negative generation is mostly a plant's own use or a storage that charges:
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
    where = _generation(file, rows.columns)
    if not where:
        raise TraceError(f"{file}: has no column that begins with {PREFIX!r}")
    own = [(rows.line, row) for row in rows if row[who] == authority]
    if not own:
        raise TraceError(f"{file}: has no row of the balancing authority {authority!r}")
    where = {name: at for name, at in where.items() if any(row[at].strip() for _, row in own)}
    if not where:
        raise TraceError(f"{file}: has no generation of the balancing authority {authority!r}")
    for total in TOTALS:
        parts = [name for name in where if name != total and SOURCES[name] == SOURCES[total]]
        if total in where and parts:
            raise TraceError(
                f"{file}: has generation of {authority} from {total!r} and from {parts[0]!r}, "
                "which would count twice; leave one of the columns out"
            )
    stamps = Stamps("UTC", FORMATS)
    columns = [rows.columns[at] for at in where.values()]
    steps = StepRows(Cells(file), stamps, TIME, columns, hourly(odd))
    for line, row in own:
        end_s = stamps.seconds(row[when])
        start_s = None if end_s is None else end_s - S_PER_HOUR
        steps.add(line, row[when], start_s, [row[at].replace(",", "") for at in where.values()])
    signals = steps.signals("MW")
    found: dict[str, StepSignal] = {}
    for name, at in where.items():
        signal, source = signals[rows.columns[at]], SOURCES[name]
        values = signal.values + (found[source].values if source in found else 0.0)
        found[source] = StepSignal(signal.edges_s, values, f"{file.name}: {source}", "MW")
    return found


def read_eia930(
    path: str | PathLike[str], authority: str, factors: FactorTable, *, odd: Oddities = STRICT
) -> StepSignal:
    """Average intensity of an authority's own generation with one set of factors."""
    generation = read_generation(path, authority, odd=odd)
    edges = next(iter(generation.values())).edges_s
    by_source = {name: signal.values for name, signal in generation.items()}
    return average_intensity(edges, by_source, factors, name=f"{Path(path).name}: {authority}")


def hourly(odd: Oddities) -> Oddities:
    """The same for a file of hours."""
    return replace(odd, longest_step_s=odd.longest_step_s or S_PER_HOUR)


def _generation(path: Path, columns: list[str]) -> dict[str, int]:
    """Where each generation stands, by its name behind the prefix. Raises TraceError for one that
    is neither a source nor a storage."""
    found: dict[str, int] = {}
    for state in STATES:
        for at, column in enumerate(columns):
            name = column.removeprefix(PREFIX)
            if name == column or not name.endswith(state) or (not state and name.endswith(")")):
                continue
            name = name.removesuffix(state)
            if name in SOURCES:
                found[name] = at
            elif name not in STORAGES and not name.endswith(STATES[1:]):
                raise TraceError(
                    f"{path}: generation from {name!r} is of no known source; those known are "
                    f"{', '.join((*SOURCES, *STORAGES))}"
                )
    return found
