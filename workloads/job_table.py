"""Orrery's own plain format of batch jobs: CSV or JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from models.elastic import Level, Scaling
from models.errors import ConfigError, TraceError
from workloads.cells import Cells, check_columns
from workloads.checks import whole_or_none
from workloads.job_demand import JobDemand
from workloads.json_lines import json_objects
from workloads.text import CsvRows, integer_in, number_in

REQUIRED = ("arrival_s", "work_s", "deadline_s")
OPTIONAL = ("least_gpus", "most_gpus", "kind")
_EXAMPLE = '{"arrival_s": 0, "work_s": 3600, "deadline_s": 86400}'


class JobTable:
    """Jobs in the order of a file, one a row, with these columns (in any order) and no others:

    - `arrival_s`: seconds from the start of the run, at least 0, never decreasing;
    - `work_s`: seconds of work on the least number of GPUs, above 0;
    - `deadline_s`: seconds from the start of the run, after the arrival;
    - `least_gpus`, `most_gpus` (optional): whole numbers, at least 1; by default 1, and the least;
    - `kind` (optional): text.

    `.csv` (UTF-8, comma, a header) or `.jsonl` (an object a line). `scaling`: how fast work is on
    more GPUs. The file is read as it is needed. `limit` reads that many rows at most. Errors are
    `TraceError` with file, line, column and value.
    """

    def __init__(
        self, path: str | PathLike[str], scaling: Scaling, limit: int | None = None
    ) -> None:
        self.path = Path(path)
        self.scaling = scaling
        self.limit = whole_or_none("limit", limit)
        if self.path.suffix.lower() not in (".csv", ".jsonl"):
            raise ConfigError(f"path is {path}; its suffix must be one of .csv, .jsonl")

    def jobs(self, rng: np.random.Generator) -> Iterator[JobDemand]:
        before, read = 0.0, 0
        for line, row in self._rows():
            job = self._job(line, row)
            if job.arrival_s < before:
                wanted = f"at or after the {before!r} of the row before; sort the file by time"
                raise Cells(self.path).wrong(line, "arrival_s", job.arrival_s, wanted)
            before = job.arrival_s
            yield job
            read += 1
            if read == self.limit:
                return
        if read == 0:
            raise TraceError(f"{self.path}: holds no job")

    def _rows(self) -> Iterator[tuple[int, dict[str, object]]]:
        if self.path.suffix.lower() == ".csv":
            rows = CsvRows(self.path, REQUIRED, OPTIONAL)
            for cells in rows:
                texts = dict(zip(rows.columns, cells, strict=True))
                row: dict[str, object] = {name: number_in(texts[name]) for name in REQUIRED}
                for name in OPTIONAL:
                    if name in texts:
                        row[name] = texts[name] if name == "kind" else integer_in(texts[name])
                yield rows.line, row
            return
        for line, row in json_objects(self.path, _EXAMPLE):
            try:
                check_columns(self.path, list(row), REQUIRED, OPTIONAL)
            except TraceError as error:
                raise TraceError(f"{error} (line {line})") from None
            yield line, row

    def _job(self, line: int, row: dict[str, object]) -> JobDemand:
        cells = Cells(self.path)
        arrival, work, deadline = (cells.seconds(line, name, row[name]) for name in REQUIRED)
        if not work > 0.0:
            raise cells.wrong(line, "work_s", work, "above 0")
        if not deadline > arrival:
            raise cells.wrong(line, "deadline_s", deadline, f"after the arrival at {arrival!r} s")
        least = self._gpus(cells, line, "least_gpus", row.get("least_gpus", 1), 1)
        most = self._gpus(cells, line, "most_gpus", row.get("most_gpus", least), least)
        kind = row.get("kind", "")
        if type(kind) is not str:
            raise cells.wrong(line, "kind", kind, "text")
        return JobDemand(arrival, work, deadline, self._levels(line, least, most), kind)

    def _levels(self, line: int, least: int, most: int) -> tuple[Level, ...]:
        try:
            return self.scaling.levels(least, most)
        except ConfigError as error:
            raise TraceError(f"{self.path}, line {line}: {error}") from None

    @staticmethod
    def _gpus(cells: Cells, line: int, name: str, value: object, least: int) -> int:
        if type(value) is int and value >= least:
            return value
        raise cells.wrong(line, name, value, f"a whole number of at least {least}")
