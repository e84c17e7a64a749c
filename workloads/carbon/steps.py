"""Rows with a time and values made into step signals, with a stated answer to all that is odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite

from models.carbon.signal import StepSignal
from models.errors import ConfigError, TraceError
from workloads.carbon.stamps import Stamps
from workloads.cells import Cells
from workloads.checks import positive
from workloads.text import number_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddities:
    """What is done about rows that do not fit.

    grid_s: keep only the rows at multiples of it since 1970 (None: all). longest_step_s: a longer
    step is a gap, in which a row is missing (None: the most common step is the longest; of two as
    common, more than once each, the longer, up to twice the other). gaps: "error", or "hold": the
    value before a gap holds through it. duplicates, rows of one time: "error", "first" or "mean".
    negative, values below 0: "error", "zero", or "keep" (a marginal intensity may be negative).
    """

    grid_s: float | None = None
    longest_step_s: float | None = None
    gaps: str = "error"
    duplicates: str = "error"
    negative: str = "error"

    def __post_init__(self) -> None:
        for key, allowed in (
            ("gaps", ("error", "hold")),
            ("duplicates", ("error", "first", "mean")),
            ("negative", ("error", "zero", "keep")),
        ):
            if getattr(self, key) not in allowed:
                raise ConfigError(f"{key} is {getattr(self, key)!r}; it is one of {allowed}")
        for key in ("grid_s", "longest_step_s"):
            if getattr(self, key) is not None:
                positive(key, getattr(self, key))


STRICT = Oddities()
#: Before the names of its settings in hints.
_ODD = "{key}odd."


@dataclass(slots=True)
class StepRows:
    """Collects the rows of a file, in order of time as `stamps` reads it, one value for each of
    `columns`."""

    cells: Cells
    stamps: Stamps
    time_column: str
    columns: Sequence[str]
    odd: Oddities = STRICT
    _times: list[float] = field(default_factory=list)
    _lines: list[int] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)
    _rows: list[list[float]] = field(default_factory=list)
    _same: int = 1

    def add(self, line: int, stamp: str, time_s: float | None, texts: Sequence[str]) -> None:
        """One row; its time is None where `stamp` is none. Raises TraceError with file, line,
        column and value."""
        if time_s is None:
            wanted, hint = self.stamps.wanted(stamp)
            raise self.cells.wrong(line, self.time_column, stamp, wanted, hint)
        if self.odd.grid_s is not None and time_s % self.odd.grid_s:
            return
        row = [
            self._number(line, column, text)
            for column, text in zip(self.columns, texts, strict=True)
        ]
        if self._times and time_s < self._times[-1]:
            wanted = f"at or after {self._texts[-1]} of line {self._lines[-1]}; sort the file"
            raise self.cells.wrong(line, self.time_column, stamp, wanted)
        if self._times and time_s == self._times[-1]:
            self._again(line, stamp, row)
            return
        self._same = 1
        self._times.append(time_s)
        self._lines.append(line)
        self._texts.append(stamp)
        self._rows.append(row)

    def signals(self, unit: str = "g/kWh") -> dict[str, StepSignal]:
        """A signal for each column: a value holds from its time to that of the next row, the last
        one as long as is most common. Raises TraceError for a gap, or fewer than two rows."""
        times = self._times
        if len(times) < 2:
            raise TraceError(f"{self.cells.path}: holds {len(times)} rows; a signal needs two")
        widths = [b - a for a, b in pairwise(times)]
        counts = Counter(widths)
        often = max(counts.values())
        most = [width for width, count in counts.items() if count == often]
        common = min(most)
        # A step that comes once may be a row that is missing.
        mixed = min(max(most), 2.0 * common) if often > 1 else common
        longest = self.odd.longest_step_s or mixed
        if self.odd.gaps == "error":
            for i, width in enumerate(widths):
                if width > longest:
                    raise self.cells.wrong(
                        self._lines[i + 1],
                        self.time_column,
                        self._texts[i + 1],
                        f"within {longest:g} s of {self._texts[i]} of line {self._lines[i]}",
                        f"{_ODD}gaps=hold lets the value before it hold, {_ODD}longest_step_s="
                        f"{width:g} allows such steps",
                    )
        edges = [*times, times[-1] + common]
        return {
            column: StepSignal(
                edges, [row[i] for row in self._rows], f"{self.cells.path.name}: {column}", unit
            )
            for i, column in enumerate(self.columns)
        }

    def _again(self, line: int, stamp: str, row: list[float]) -> None:
        if self.odd.duplicates == "error":
            wanted = f"a new time: line {self._lines[-1]} has it too"
            hint = f"{_ODD}duplicates=first takes that one, {_ODD}duplicates=mean the mean"
            raise self.cells.wrong(line, self.time_column, stamp, wanted, hint)
        if self.odd.duplicates == "mean":
            self._same += 1
            share = 1.0 / self._same
            self._rows[-1] = [
                old + share * (new - old) for old, new in zip(self._rows[-1], row, strict=True)
            ]

    def _number(self, line: int, column: str, text: str) -> float:
        value = number_in(text.strip())
        if isinstance(value, str) or not isfinite(value):
            raise self.cells.wrong(line, column, text, "a number")
        if value < 0.0 and self.odd.negative != "keep":
            if self.odd.negative == "error":
                hint = f"{_ODD}negative=zero makes it 0, {_ODD}negative=keep is for marginal ones"
                raise self.cells.wrong(line, column, text, "at least 0", hint)
            return 0.0
        return value
