"""Parquet files of requests, read in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import TraceError
from workloads import draws
from workloads.cells import OPTIONAL, REQUIRED, Cells, Row, check_columns

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_rows(path: Path) -> Iterator[Row]:
    """Requests of a parquet file in Orrery's own format, numbered from 1, values not yet checked.

    Raises `TraceError` for a file that cannot be read, a column of a wrong type, or a null.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    above = 0
    try:
        with pq.ParquetFile(path.expanduser(), pre_buffer=False) as file:
            _check_types(path, file.schema_arrow)
            for batch in file.iter_batches(draws.BLOCK, use_threads=False):
                yield from zip(count(above + 1), *_columns(path, batch, above), strict=False)
                above += batch.num_rows
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except pa.ArrowException as error:
        raise TraceError(f"{path}: is not a parquet file that can be read: {error}") from None


def _check_types(path: Path, schema: pa.Schema) -> None:
    from pyarrow import types

    check_columns(path, schema.names, REQUIRED, OPTIONAL)
    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if field.name in REQUIRED:
            fits, wanted = types.is_integer(kind), "an integer type"
        elif field.name == "arrival_s":
            fits = types.is_integer(kind) or types.is_floating(kind)
            wanted = "a floating-point or integer type, in seconds"
        else:
            fits, wanted = types.is_string(kind) or types.is_large_string(kind), "a string type"
        if not fits:
            raise TraceError(f"{path}: column {field.name} is of {field.type}; it must be {wanted}")


def _columns(path: Path, batch: pa.RecordBatch, above: int) -> list[Iterable[object]]:
    """Values of the columns in the order of `Row`; `above` rows stand before the batch."""
    columns: list[Iterable[object]] = []
    for name in (*REQUIRED, *OPTIONAL):
        if name not in batch.schema.names:
            columns.append(repeat(None))
            continue
        column = batch.column(name)
        if column.null_count:
            row = above + 1 + column.is_null().index(True).as_py()
            raise Cells(path, "row").wrong(row, name, None, "a value; no value may be missing")
        columns.append(column.to_pylist())
    return columns
