"""Rows that stream into parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

#: Rows kept before they are written as one row group.
ROW_GROUP = 32_768


class Table:
    """Rows of named columns: a file `NAME.parquet` in `folder`, or memory where there is none.

    `columns` maps a name to a pyarrow type name ("int64", "float64", "string", ...).
    `on_group`, if given, sees each row group (a pyarrow record batch) as it is written.
    """

    def __init__(
        self,
        name: str,
        columns: dict[str, str],
        folder: Path | None = None,
        on_group: Callable[[Any], None] | None = None,
    ) -> None:
        self.name = name
        self.columns = columns
        self.rows: list[Sequence[object]] = []
        self.append = self.rows.append
        self._folder = folder
        self._on_group = on_group
        self._schema: Any = None
        self._writer: Any = None
        self._batches: list[Any] = []

    def flush_when_full(self) -> None:
        """Write a row group if enough rows have gathered; call it now and then."""
        if len(self.rows) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._schema is None:
            self._schema = pa.schema(
                [(name, getattr(pa, kind)()) for name, kind in self.columns.items()]
            )
        columns: Iterator[Sequence[object]] | list[list[object]]
        columns = zip(*self.rows, strict=True) if self.rows else [[] for _ in self.columns]
        batch = pa.record_batch(
            [
                pa.array(column, type=field.type)
                for column, field in zip(columns, self._schema, strict=True)
            ],
            schema=self._schema,
        )
        self.rows.clear()
        if self._on_group is not None:
            self._on_group(batch)
        if self._folder is None:
            self._batches.append(batch)
            return
        if self._writer is None:
            # Dictionaries help where values repeat; of times they are a second copy.
            self._writer = pq.ParquetWriter(
                self._folder / f"{self.name}.parquet",
                self._schema,
                compression="zstd",
                use_dictionary=[name for name, kind in self.columns.items() if kind == "string"],
            )
        self._writer.write_batch(batch)

    def write(self) -> None:
        """Write the rows gathered, so that `on_group` has seen them all."""
        if self.rows or self._schema is None:
            self._flush()

    def close(self) -> Any:
        """Write what is left. Returns a pyarrow table, or None where it went into a file."""
        import pyarrow as pa

        self.write()
        if self._writer is not None:
            self._writer.close()
            return None
        return pa.Table.from_batches(self._batches, self._schema)
