"""Lengths of requests as NEO's release has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from models.errors import TraceError
from workloads.cells import Cells, shown
from workloads.checks import whole_or_none
from workloads.demand import Demand

KEYS = ("prompt", "max_tokens")


class RequestLengths:
    """Requests without times, in the order of a file of lengths (NEO-MLSys25/NEO, Apache-2.0).

    One JSON list of objects with the keys `prompt` and `max_tokens`, whole numbers of at least 1.
    The file is read whole; `limit` takes that many entries from its start at most. Errors are
    `TraceError` with file, entry (from 1), key and value.
    """

    finite = True
    count = None

    def __init__(self, path: str | PathLike[str], limit: int | None = None) -> None:
        self.path = Path(path)
        self.limit = whole_or_none("limit", limit)

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        cells = Cells(self.path, "entry")
        entries = self._entries()
        for number, entry in enumerate(entries[: self.limit], 1):
            if not isinstance(entry, dict) or sorted(entry) != sorted(KEYS):
                raise TraceError(
                    f"{self.path}, entry {number}: {shown(entry)} is not an object such as "
                    '{"prompt": 269, "max_tokens": 42}'
                )
            prompt, output = (cells.tokens(number, key, entry[key]) for key in KEYS)
            yield Demand(prompt, output)

    def _entries(self) -> list[object]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except OSError as error:
            raise TraceError(f"{self.path}: cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise TraceError(f"{self.path}: is not JSON: {error}") from None
        if not isinstance(found, list) or not found:
            raise TraceError(f"{self.path}: is not a list of requests, or an empty one")
        return found
