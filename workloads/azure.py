"""The Azure LLM inference traces (Azure/AzurePublicDataset, CC-BY)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from os import PathLike
from pathlib import Path

import numpy as np

from models.errors import TraceError
from workloads.cells import Cells
from workloads.checks import whole_or_none
from workloads.demand import Demand
from workloads.text import CsvRows, integer_in

TIME, PROMPT, OUTPUT = COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
STAMP = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)?", re.ASCII)
EPOCH = datetime(1970, 1, 1)


class AzureLlm:
    """Requests of an Azure LLM inference trace, in the order and at the times of the file.

    A CSV file with the columns TIMESTAMP (such as 2023-11-16 18:15:46.6805900, up to nine digits
    of a second, never decreasing), ContextTokens and GeneratedTokens (whole numbers of at least
    1). `arrival_s` counts from the first row. `limit` reads that many rows at most; what stands
    behind them is not looked at. Errors are `TraceError` with file, line, column and value, and
    come when the row is reached.
    """

    finite = True
    count = None

    def __init__(self, path: str | PathLike[str], limit: int | None = None) -> None:
        self.path = Path(path)
        self.limit = whole_or_none("limit", limit)

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        cells = Cells(self.path)
        rows = CsvRows(self.path, COLUMNS)
        time, prompt, output = (rows.columns.index(name) for name in COLUMNS)
        first_ns = before_ns = -1
        read = 0
        for row in rows:
            line = rows.line
            now_ns = nanoseconds(row[time])
            if now_ns is None:
                wanted = "a time such as 2023-11-16 18:15:46.6805900"
                raise cells.wrong(line, TIME, row[time], wanted)
            if read == 0:
                first_ns = now_ns
            elif now_ns < before_ns:
                wanted = "at or after the time of the row before; sort the file by time"
                raise cells.wrong(line, TIME, row[time], wanted)
            before_ns = now_ns
            yield Demand(
                cells.tokens(line, PROMPT, integer_in(row[prompt])),
                cells.tokens(line, OUTPUT, integer_in(row[output])),
                (now_ns - first_ns) / 1e9,
            )
            read += 1
            if read == self.limit:
                return
        if read == 0:
            raise TraceError(f"{self.path}: has a header and no request")


def nanoseconds(text: str) -> int | None:
    """Nanoseconds since 1970 of a timestamp in UTC, exactly; `None` if it is none."""
    match = STAMP.fullmatch(text)
    if match is None:
        return None
    try:
        since = datetime.fromisoformat(match[1]) - EPOCH
    except ValueError:
        return None
    fraction = int(match[2].ljust(9, "0")) if match[2] else 0
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + fraction
