"""A bar for long work."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress_bar(items: Iterable[Item], total: int, unit: str, shown: bool) -> Iterator[Item]:
    """The items, with a bar on stderr where `shown`."""
    if not shown or not total:
        yield from items
        return
    from tqdm import tqdm

    bar = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}]"
    yield from tqdm(items, total=total, unit=unit, bar_format=bar, file=sys.stderr, leave=False)
