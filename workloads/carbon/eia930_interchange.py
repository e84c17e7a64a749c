"""Hourly exchange between balancing authorities of form EIA-930, and intensity with imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from os import PathLike
from pathlib import Path

import numpy as np

from models.carbon.factors import FactorTable
from models.carbon.mix import average_intensity
from models.carbon.signal import Floats, StepSignal
from models.errors import TraceError
from workloads.carbon.columns import header
from workloads.carbon.eia930 import (
    AUTHORITY,
    FORMATS,
    S_PER_HOUR,
    TIME,
    hourly,
    read_eia930,
    read_generation,
)
from workloads.carbon.stamps import Stamps
from workloads.carbon.steps import STRICT, Oddities, StepRows
from workloads.cells import Cells, listed

NEIGHBOUR = "Directly Interconnected Balancing Authority"
FLOW = "Interchange (MW)"


def read_imports(
    path: str | PathLike[str], authority: str, *, odd: Oddities = STRICT
) -> dict[str, StepSignal]:
    """Imports in MW of one balancing authority by neighbour, from a six-month interchange file.

    The file counts what flows out as positive; hours of export to a neighbour have no imports from
    it. Neighbours that never sent anything are left out. Stamps and oddities as in
    `read_generation`, negative flows being flows. Raises TraceError.
    """
    file = Path(path)
    rows = header(file)
    at = {}
    for name in (AUTHORITY, NEIGHBOUR, FLOW, TIME):
        if name not in rows.columns:
            raise TraceError(
                f"{file}: has no column {name}; its columns are: {listed(rows.columns)}"
            )
        at[name] = rows.columns.index(name)
    stamps, odd = Stamps("UTC", FORMATS), replace(hourly(odd), negative="keep")
    flows: dict[str, StepRows] = {}
    for row in rows:
        if row[at[AUTHORITY]] != authority:
            continue
        steps = flows.setdefault(
            row[at[NEIGHBOUR]], StepRows(Cells(file), stamps, TIME, [FLOW], odd)
        )
        end_s = stamps.seconds(row[at[TIME]])
        start_s = None if end_s is None else end_s - S_PER_HOUR
        steps.add(rows.line, row[at[TIME]], start_s, [row[at[FLOW]].replace(",", "")])
    if not flows:
        raise TraceError(f"{file}: has no row of the balancing authority {authority!r}")
    found = {}
    for neighbour, steps in flows.items():
        flow = steps.signals("MW")[FLOW]
        if (flow.values < 0.0).any():
            found[neighbour] = flow.mapped(lambda values: np.maximum(0.0, -values))
    return found


def read_eia930_with_imports(
    balance: str | PathLike[str],
    interchange: str | PathLike[str],
    authority: str,
    factors: FactorTable,
    *,
    elsewhere: Mapping[str, StepSignal] | None = None,
    odd: Oddities = STRICT,
) -> StepSignal:
    """Average intensity of what an authority generates and imports, imports with the mix that the
    exporter generates (what that imports itself is not looked at).

    balance, interchange: the two files of one half-year. elsewhere: intensity of neighbours that
    the balance file does not have (those abroad). Raises TraceError for a neighbour of unknown
    intensity, or where a neighbour's hours do not cover those of the authority.
    """
    generation = read_generation(balance, authority, odd=odd)
    edges = next(iter(generation.values())).edges_s
    known = _authorities(Path(balance))
    imports: list[tuple[Floats, StepSignal]] = []
    for neighbour, flow in read_imports(interchange, authority, odd=odd).items():
        if elsewhere is not None and neighbour in elsewhere:
            intensity = elsewhere[neighbour]
        elif neighbour in known:
            intensity = read_eia930(balance, neighbour, factors, odd=odd)
        else:
            raise TraceError(
                f"{interchange}: {authority} imports from {neighbour}, which {balance} does not "
                f"have; give its intensity (elsewhere={{{neighbour!r}: ...}})"
            )
        means = [flow.mean(a, b) for a, b in pairwise(edges.tolist())]
        imports.append((np.array(means), intensity))
    name = f"{Path(balance).name}: {authority} with imports"
    by_source = {source: signal.values for source, signal in generation.items()}
    return average_intensity(edges, by_source, factors, imports, name)


def _authorities(balance: Path) -> set[str]:
    rows = header(balance)
    who = rows.columns.index(AUTHORITY)
    return {row[who] for row in rows}
