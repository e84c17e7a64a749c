"""Readers of the measured profiles."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from models.errors import ConfigError, TraceError

LAYERS = "gpu_layer_profile.csv"
COLLECTIVES = "collective_profile.csv"
ITERATIONS = "llm_iteration_profile.csv"
SERVING = "serving_measurements.csv"


@dataclass(frozen=True, slots=True)
class LayerRow:
    """Measured operators of one layer: seconds by operator name."""

    gpu: str
    model: str
    tensor_parallel: int
    tokens: int
    shape: tuple[int, int, int, int]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class CollectiveRow:
    """One measured collective of `peers` GPUs, `per_node` of them on each node."""

    kind: str
    peers: int
    per_node: int
    size_bytes: float
    seconds: float


@dataclass(frozen=True, slots=True)
class IterationRow:
    """Measured prompt phase and token time of a whole model; power as a share of the peak, None
    where it was not measured."""

    model: str
    gpu: str
    tensor_parallel: int
    prompt_tokens: int
    sequences: int
    output_tokens: int
    prompt_s: float
    token_s: float
    whole_s: float
    average_power: float | None
    peak_power: float | None


@dataclass(frozen=True, slots=True)
class ServingRow:
    """One closed-loop benchmark run: nominal lengths, requests in flight, degrees of parallelism,
    and the means over all requests."""

    engine: str
    model: str
    system: str
    precision: str
    prompt_tokens: int
    output_tokens: int
    concurrency: int
    tensor_parallel: int
    pipeline_parallel: int
    ttft_s: float
    tpot_s: float


def data_folder(folder: str | None) -> Path:
    """The folder given, or that of the environment variable ORRERY_DATA."""
    found = folder or os.environ.get("ORRERY_DATA")
    if not found:
        raise ConfigError("no data: give --data FOLDER or set ORRERY_DATA to its folder")
    path = Path(found)
    if not path.is_dir():
        raise ConfigError(f"data = {found!r} is not a folder")
    return path


def read_layers(path: Path) -> list[LayerRow]:
    """All rows of a layer profile. Raises TraceError."""
    rows = []
    for cells in _rows(path):
        seconds = {
            key.removesuffix("_ms"): 1e-3 * cells.number(key)
            for key in cells.columns()
            if key.endswith("_ms")
        }
        shape = tuple(
            int(cells.number(key)) for key in ("n_embd", "n_expanded_embd", "n_head", "n_kv_head")
        )
        rows.append(
            LayerRow(
                gpu=cells.text("gpu"),
                model=cells.text("model"),
                tensor_parallel=int(cells.number("num_tensor_parallel_workers")),
                tokens=int(cells.number("num_tokens")),
                shape=(shape[0], shape[1], shape[2], shape[3]),
                seconds=seconds,
            )
        )
    return rows


def read_collectives(path: Path) -> list[CollectiveRow]:
    """All rows of a collective profile. Raises TraceError."""
    return [
        CollectiveRow(
            kind=cells.text("collective"),
            peers=int(cells.number("num_workers")),
            per_node=int(cells.number("devices_per_node")),
            size_bytes=cells.number("bytes"),
            seconds=1e-3 * cells.number("median_ms"),
        )
        for cells in _rows(path)
    ]


def read_iterations(path: Path) -> list[IterationRow]:
    """All rows of an iteration profile. Raises TraceError."""
    return [
        IterationRow(
            model=cells.text("model"),
            gpu=cells.text("hardware"),
            tensor_parallel=int(cells.number("tensor_parallel")),
            prompt_tokens=int(cells.number("prompt_size")),
            sequences=int(cells.number("batch_size")),
            output_tokens=int(cells.number("token_size")),
            prompt_s=1e-3 * cells.number("prompt_time"),
            token_s=1e-3 * cells.number("token_time"),
            whole_s=1e-3 * cells.number("e2e_time"),
            average_power=cells.number("average_power") or None,
            peak_power=cells.number("peak_power") or None,
        )
        for cells in _rows(path)
    ]


def read_serving(path: Path) -> list[ServingRow]:
    """All rows of a file of serving measurements. Raises TraceError."""
    return [
        ServingRow(
            engine=cells.text("backend"),
            model=cells.text("model"),
            system=cells.text("system"),
            precision=cells.text("precision"),
            prompt_tokens=cells.count("isl"),
            output_tokens=cells.count("osl"),
            concurrency=cells.count("concurrency"),
            tensor_parallel=cells.count("tp_size"),
            pipeline_parallel=cells.count("pp_size"),
            ttft_s=1e-3 * cells.positive("ttft_ms"),
            tpot_s=1e-3 * cells.positive("tpot_ms"),
        )
        for cells in _rows(path)
    ]


class _Cells:
    """One line of a file."""

    def __init__(self, path: Path, line: int, cells: dict[str, str | None]) -> None:
        self._where = f"{path}, line {line}"
        self._cells = cells

    def columns(self) -> list[str]:
        return list(self._cells)

    def text(self, column: str) -> str:
        value = self._cells.get(column)
        if not value:
            raise TraceError(f"{self._where}: column {column} is missing or empty")
        return value

    def number(self, column: str) -> float:
        value = self.text(column)
        try:
            number = float(value)
        except ValueError:
            raise TraceError(f"{self._where}: {column} = {value!r} is not a number") from None
        if not (isfinite(number) and number >= 0.0):
            raise TraceError(f"{self._where}: {column} = {value!r} must be finite and >= 0")
        return number

    def positive(self, column: str) -> float:
        number = self.number(column)
        if not number > 0.0:
            raise TraceError(f"{self._where}: {column} = {self.text(column)!r} must be > 0")
        return number

    def count(self, column: str) -> int:
        number = self.number(column)
        if number != int(number) or number < 1:
            raise TraceError(
                f"{self._where}: {column} = {self.text(column)!r} must be a whole number >= 1"
            )
        return int(number)


def _rows(path: Path) -> Iterator[_Cells]:
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        for cells in reader:
            yield _Cells(path, reader.line_num, cells)
