"""Orrery's own plain format of requests: CSV, JSON lines or parquet."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from models.errors import ConfigError, TraceError
from workloads.cells import Cells
from workloads.checks import whole_or_none
from workloads.demand import Demand
from workloads.parquet import parquet_rows
from workloads.text import csv_rows, json_rows

READERS = {".csv": csv_rows, ".jsonl": json_rows, ".parquet": parquet_rows}


class RequestTable:
    """Requests in the order of a file in Orrery's own plain format.

    One request a row, with these columns (in any order) and no others:

    - `prompt_tokens`, `output_tokens`: whole numbers of at least 1;
    - `arrival_s` (optional): seconds from the start of the run, at least 0, never decreasing;
    - `kind` (optional): text, the class of traffic or the tenant;
    - `origin` (optional): text, the region it is sent from.

    The suffix of the file says how it is written: `.csv` (UTF-8, comma, a header with the names),
    `.jsonl` (an object a line, each with the same keys as the first) or `.parquet` (integer
    columns; integer or floating-point `arrival_s`; string `kind` and `origin`). No value may be
    missing. The file is read as it is needed and never held whole. `limit` reads that many rows at
    most; what stands behind them is not looked at. Errors are `TraceError` with file, line
    (parquet: row, from 1), column and value, and come when the row is reached.
    """

    finite = True
    count = None

    def __init__(self, path: str | PathLike[str], limit: int | None = None) -> None:
        self.path = Path(path)
        self.limit = whole_or_none("limit", limit)
        if self.path.suffix.lower() not in READERS:
            raise ConfigError(f"path is {path}; its suffix must be one of {', '.join(READERS)}")

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        suffix = self.path.suffix.lower()
        cells = Cells(self.path, "row" if suffix == ".parquet" else "line")
        before = 0.0
        read = 0
        for number, prompt, output, arrival, kind, origin in READERS[suffix](self.path):
            at = None
            if arrival is not None:
                at = cells.seconds(number, "arrival_s", arrival)
                if at < before:
                    wanted = f"at or after the {before!r} of the row before; sort the file by time"
                    raise cells.wrong(number, "arrival_s", arrival, wanted)
                before = at
            yield Demand(
                cells.tokens(number, "prompt_tokens", prompt),
                cells.tokens(number, "output_tokens", output),
                at,
                cells.text(number, "kind", kind),
                origin=cells.text(number, "origin", origin),
            )
            read += 1
            if read == self.limit:
                return
        if read == 0:
            raise TraceError(f"{self.path}: holds no request")
