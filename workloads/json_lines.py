"""Files of JSON lines, read one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from models.errors import TraceError
from workloads.cells import shown
from workloads.text import text_lines


def json_objects(path: Path, example: str) -> Iterator[tuple[int, dict[str, object]]]:
    """Each line's number (from 1) and object.

    Raises `TraceError` for a line that is blank, no JSON, or no object; `example` shows one.
    """
    decode = json.JSONDecoder(object_pairs_hook=_distinct).decode
    for line, text in enumerate(text_lines(path), 1):
        try:
            row = decode(text)
        except (ValueError, RecursionError) as error:
            what = f"is not JSON: {error}" if text.strip() else "is blank"
            if not text.endswith("\n"):
                what += "; the file ends within this line and may have been cut short"
            raise TraceError(f"{path}, line {line}: {what}") from None
        if not isinstance(row, dict):
            raise TraceError(
                f"{path}, line {line}: {shown(row)} is not a JSON object such as {example}"
            )
        yield line, row


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of these keys; `ValueError` for a key that stands twice."""
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError(f"a key stands twice among {shown([key for key, _ in pairs])}")
    return row
