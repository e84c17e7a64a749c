"""What the report reads of a run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.report.formats import known
from sim.core.errors import ConfigError
from sim.core.result import Result

Numbers = NDArray[np.float64]

_REQUEST_COLUMNS = (
    "prompt_tokens",
    "output_tokens",
    "arrival_s",
    "scheduled_s",
    "finish_s",
    "ttft_s",
    "tpot_s",
    "e2e_latency_s",
    "queue_s",
    "replica",
)
_GAUGES = ("running", "waiting", "kv_blocks", "output_tokens", "energy_j")


def read_result(folder: Path) -> Result:
    """The result in a folder. Raises ConfigError naming the file that is missing or broken."""
    for name in ("summary.json", "provenance.json"):
        path = folder / name
        if not path.is_file():
            raise ConfigError(f"{path}: missing, so this is no folder of a finished run")
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: cannot be read as JSON: {error}") from error
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: holds a {type(content).__name__} instead of an object")
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        return Result.read(folder)
    except (YAMLError, OmegaConfBaseException, OSError, AssertionError, UnicodeError) as error:
        settings = folder / ".hydra" / "config.yaml"
        raise ConfigError(f"{settings}: cannot be read as settings: {error}") from error


def systems(result: Result, counted: str = "requests_arrived") -> list[str]:
    """Names of the systems in a run that count that: by default the serving systems."""
    ending = f".{counted}"
    return [key.removesuffix(ending) for key in result.summary if key.endswith(ending)]


class SystemRun:
    """One system of a run, and its figures."""

    def __init__(self, result: Result, name: str) -> None:
        self.result = result
        self.name = name
        self.simulated_s = known(result.summary.get("simulated_s")) or 0.0

    def figure(self, metric: str) -> float | None:
        """A metric of this system; None where it is not defined."""
        return known(self.result.summary.get(f"{self.name}.{metric}"))

    def count(self, metric: str) -> int:
        """A metric that counts; 0 where there is none."""
        return int(self.figure(metric) or 0)

    def parts(self, metric: str, *after: str) -> list[str]:
        """What stands for X in this system's metrics METRIC.X, or in METRIC.X.AFTER."""
        words = [self.name, *metric.split(".")]
        found = [key.split(".") for key in self.result.summary]
        return [
            key[len(words)]
            for key in found
            if key[: len(words)] == words and key[len(words) + 1 :] == list(after)
        ]


class ServingRun(SystemRun):
    """One serving system of a run: its figures, its requests by column, its series.

    Columns are float64, NaN where a request has no such value; `replica` is -1 there. `finished`
    selects the finished requests, `served` those that were not rejected.
    """

    def __init__(self, result: Result, name: str) -> None:
        super().__init__(result, name)
        prefix = "" if name == "serving" else f"{name}_"
        self.columns: dict[str, Numbers] = {key: np.empty(0) for key in _REQUEST_COLUMNS}
        self.finished = self.served = np.empty(0, dtype=bool)
        if f"{prefix}requests" in result.tables:
            self._read_requests(_path(result, f"{prefix}requests"))
        replicas = self.columns["replica"]
        self.replicas = max(1, int(replicas.max()) + 1) if len(replicas) else 1
        self.series: Series | None = None
        if f"{prefix}series" in result.tables:
            series = Series(_path(result, f"{prefix}series"))
            self.replicas = max(self.replicas, series.replicas)
            if len(series.time_s) >= 2:
                self.series = series

    def of_finished(self, column: str) -> Numbers:
        """The defined values of a column over the finished requests."""
        values = self.columns[column][self.finished]
        defined: Numbers = values[~np.isnan(values)]
        return defined

    def objective(self, latency: str) -> float | None:
        """The service level objective of "ttft_s" or "tpot_s", if one was set."""
        return known(self.result.config.get(f"slo_{latency}"))

    @property
    def arrivals_s(self) -> tuple[float, float]:
        """Times of the first and the last arrival."""
        times = self.columns["arrival_s"]
        return (float(times.min()), float(times.max())) if len(times) else (0.0, 0.0)

    @property
    def kv_blocks(self) -> float | None:
        """KV blocks of one replica."""
        total = self.figure("kv_blocks")
        return total / self.replicas if total else None

    def in_system(self, at_s: Numbers) -> tuple[Numbers, Numbers]:
        """Requests that run, and that wait to be admitted, at these times, from the table of
        requests: one that was preempted counts as running."""
        arrived = _reached(self.columns["arrival_s"][self.served], at_s)
        admitted = _reached(self.columns["scheduled_s"][self.served], at_s)
        finished = _reached(self.columns["finish_s"][self.served], at_s)
        return admitted - finished, arrived - admitted

    def _read_requests(self, path: Path) -> None:
        import pyarrow.compute as pc

        table = _read(path, (*_REQUEST_COLUMNS, "status"))
        for key in _REQUEST_COLUMNS:
            self.columns[key] = _floats(table.column(key))
        self.columns["replica"] = np.nan_to_num(self.columns["replica"], nan=-1.0)
        status = table.column("status")
        self.finished = pc.equal(status, "finished").to_numpy().astype(bool)
        self.served = ~pc.equal(status, "rejected").to_numpy().astype(bool)


class Series:
    """Gauges and counters at `time_s`; each an array (times, replicas)."""

    def __init__(self, path: Path) -> None:
        table = _read(path, ("time_s", "replica", *_GAUGES))
        time_s = _floats(table.column("time_s"))
        replica = _floats(table.column("replica"))
        self.replicas = int(replica.max()) + 1 if len(replica) else 0
        if self.replicas and len(replica) % self.replicas:
            raise ConfigError(f"{path}: {len(replica)} rows for {self.replicas} replicas")
        order = np.lexsort((replica, time_s))
        shape = (-1, max(1, self.replicas))
        self.time_s: Numbers = time_s[order].reshape(shape)[:, 0]
        self._gauges = {key: _floats(table.column(key))[order].reshape(shape) for key in _GAUGES}

    def __getitem__(self, gauge: str) -> Numbers:
        return self._gauges[gauge]

    def total(self, gauge: str) -> Numbers:
        """Sum over the replicas."""
        total: Numbers = self._gauges[gauge].sum(axis=1)
        return total

    def rate(self, counter: str) -> tuple[Numbers, Numbers]:
        """Ends of intervals, and the mean rate over all replicas in each."""
        edges = thinned(self.time_s)
        steps = np.diff(self.total(counter)[edges]) / np.diff(self.time_s[edges])
        return self.time_s[edges], steps


def thinned(values: Numbers, most: int = 400) -> NDArray[np.intp]:
    """Indices of at most so many of the values, evenly spread, first and last among them."""
    return np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(np.intp))


def read_columns(result: Result, table: str, columns: tuple[str, ...]) -> Any:
    """Columns of a table as a pyarrow table. Raises ConfigError naming the file."""
    return _read(_path(result, table), columns)


def _path(result: Result, table: str) -> Path:
    assert result.folder is not None
    return result.folder / f"{table}.parquet"


def _read(path: Path, columns: tuple[str, ...]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise ConfigError(f"{path}: has no column {missing[0]!r}")
            return file.read(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as parquet: {error}") from error


def _floats(column: Any) -> Numbers:
    values: Numbers = column.to_numpy().astype(np.float64)
    return values


def _reached(times: Numbers, at_s: Numbers) -> Numbers:
    """How many of the times have passed at each of `at_s`."""
    known_times = np.sort(times[~np.isnan(times)])
    return np.searchsorted(known_times, at_s, side="right").astype(np.float64)
