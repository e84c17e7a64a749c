"""A user's own predictions."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.errors import ConfigError, TraceError
from models.length_prediction.charged import MOST, Charged
from models.prediction import Asked

_LONGEST_SHOWN = 60


class _Row(NamedTuple):
    line: int
    predicted: float
    remaining: Sequence[float] | None


@dataclass(frozen=True, kw_only=True)
class FromFile(Charged):
    """Predictions from a file of JSON lines, such as
    {"request": 0, "predicted": 123.0, "remaining": [120.5, 119.0, 117.2]}.

    `request`: its number in order of arrival, from 0. `predicted`: output tokens on arrival.
    `remaining` (optional): the predicted remaining tokens at each age, as many as the request has
    output tokens; without it `predicted` less the age, at least 0. Lines may stand in any order
    and name more requests than a run has.

    `predict` is not told the request's number: it is called once for each request in order of
    arrival, and this object counts. So it serves one run; `paths` checks the count. Raises
    TraceError with file, line, key and value for a bad file, and for a request that is not in it.
    """

    path: str | PathLike[str]
    _arrivals: Iterator[int] = field(default_factory=count, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.path, str | PathLike) or not str(self.path):
            raise ConfigError(f"predictor.path: {self.path!r} must be a file of JSON lines")

    def predict(self, prompt_tokens: int, output_tokens: int, rng: np.random.Generator) -> float:
        """What the file predicts for the next request; nothing is drawn."""
        return self._row(next(self._arrivals), output_tokens).predicted

    def paths(self, asked: Sequence[Asked], seed: int) -> list[Sequence[float]]:
        """Predicted remaining tokens at each age (see `Refining.paths`)."""
        paths: list[Sequence[float]] = []
        for request in asked:
            row = self._row(request.number, request.output_tokens)
            if row.predicted != request.predicted_tokens:
                raise ConfigError(
                    f"predictor: request {request.number} was predicted "
                    f"{request.predicted_tokens!r} tokens on arrival, {self.path}, line "
                    f"{row.line} says {row.predicted!r}; a predictor from a file serves one run"
                )
            if row.remaining is None:
                predicted = row.predicted
                ages = range(request.output_tokens)
                paths.append(array("d", (max(0.0, predicted - age) for age in ages)))
            else:
                paths.append(row.remaining)
        return paths

    def _row(self, number: int, output_tokens: int) -> _Row:
        row = self._rows.get(number)
        if row is None:
            raise TraceError(
                f"{self.path}: has no line for request {number}; every request has one"
            )
        if row.remaining is not None and len(row.remaining) != output_tokens:
            raise _wrong(
                self.path,
                row.line,
                f"remaining: has {len(row.remaining)} values; request {number} has "
                f"{output_tokens} output tokens, and each needs one",
            )
        return row

    @cached_property
    def _rows(self) -> Mapping[int, _Row]:
        rows: dict[int, _Row] = {}
        for line, text in enumerate(_lines(Path(self.path).expanduser()), 1):
            number, row = _parsed(self.path, line, text)
            if number in rows:
                raise _wrong(
                    self.path, line, f"request: {number} stands in line {rows[number].line} already"
                )
            rows[number] = row
        return rows


def _lines(path: Path) -> Iterator[str]:
    line = 0
    try:
        with path.open("rb") as file:
            for line, text in enumerate(file, 1):
                yield text.decode("utf-8-sig" if line == 1 else "utf-8")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path}, line {line}: is not text (UTF-8)") from None


def _parsed(path: object, line: int, text: str) -> tuple[int, _Row]:
    """A line's request number and row."""
    try:
        row = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        what = f"is not JSON: {error}" if text.strip() else "is blank"
        raise _wrong(path, line, what) from None
    if not isinstance(row, dict):
        raise _wrong(path, line, f"{_shown(row)} is not a JSON object")
    for key in ("request", "predicted"):
        if key not in row:
            raise _wrong(path, line, f"{key}: is missing")
    unknown = sorted(row.keys() - {"request", "predicted", "remaining"})
    if unknown:
        raise _wrong(
            path, line, f"{unknown[0]}: no such key; there are request, predicted, remaining"
        )
    number, predicted, remaining = row["request"], row["predicted"], row.get("remaining")
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise _wrong(path, line, f"request: {_shown(number)} must be a whole number >= 0")
    if not _tokens(predicted):
        raise _wrong(path, line, f"predicted: {_shown(predicted)} must be a number >= 0")
    if "remaining" not in row:
        return number, _Row(line, float(predicted), None)
    if not isinstance(remaining, list):
        raise _wrong(path, line, f"remaining: {_shown(remaining)} must be a list of numbers")
    for age, value in enumerate(remaining):
        if not _tokens(value):
            raise _wrong(path, line, f"remaining[{age}]: {_shown(value)} must be a number >= 0")
    return number, _Row(line, float(predicted), array("d", remaining))


def _tokens(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0.0 <= value <= MOST  # type: ignore[operator]


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of these keys; ValueError for a key that stands twice."""
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError(f"a key stands twice among {', '.join(key for key, _ in pairs)}")
    return row


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _wrong(path: object, line: int, what: str) -> TraceError:
    return TraceError(f"{path}, line {line}: {what}")
