"""Timelines in the Chrome trace event format, which Perfetto and chrome://tracing open."""

from __future__ import annotations

import gzip
import json
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sim.core.errors import ConfigError

if TYPE_CHECKING:
    from sim.core.simulation import Simulation

#: Events kept before they are compressed and written.
_BUFFER = 4096

_ENCODE = json.JSONEncoder(separators=(",", ":")).encode

Event = dict[str, Any]


def event(ph: str, name: str, pid: int, tid: int, time_s: float, **fields: Any) -> Event:
    """A trace event of phase `ph` on thread `tid` of process `pid`."""
    return {"ph": ph, "name": name, "pid": pid, "tid": tid, "ts": microseconds(time_s), **fields}


def span(name: str, pid: int, tid: int, start_s: float, end_s: float, **fields: Any) -> Event:
    """A complete event: something that lasted."""
    lasts = microseconds(end_s) - microseconds(start_s)
    return event("X", name, pid, tid, start_s, dur=lasts, **fields)


def check_drawn(simulation: Simulation, kind: type, what: str) -> None:
    """Raise ConfigError once the systems have started, if none is of the kind that a timeline
    draws: it would be empty."""

    def check() -> None:
        if not any(isinstance(system, kind) for system in simulation.systems):
            names = ", ".join(system.name for system in simulation.systems)
            raise ConfigError(
                f"timeline: this one draws {what}, of which the run has none (its systems: "
                f"{names}); `orrery list timeline` shows the others"
            )

    simulation.on_started(check)


def microseconds(time_s: float) -> int:
    """A simulated time as a trace timestamp. Whole numbers, so that spans which touch in the
    simulation touch in every viewer."""
    return round(time_s * 1e6)


class TraceEvents:
    """Trace events on their way into `timeline.json.gz` of `folder`, or into the list `events`
    where there is none.

    At most `max_events` are taken, and one more that says why it ended there. The file is valid
    JSON once closed, and is closed at the latest when the object goes.
    """

    def __init__(self, folder: Path | None, max_events: int) -> None:
        if isinstance(max_events, bool) or not isinstance(max_events, int) or max_events < 1:
            raise ConfigError(f"timeline.max_events: {max_events!r} is not a whole number >= 1")
        self.max_events = max_events
        self.written = 0
        self.events: list[Event] = []
        self._file = None if folder is None else _TraceFile(folder / "timeline.json.gz")
        if self._file is not None:
            self._close = weakref.finalize(self, self._file.close)

    def add(self, events: Sequence[Event]) -> bool:
        """Take these events, all or none. Returns whether there was room."""
        if self.written + len(events) > self.max_events:
            return False
        self._put(events)
        return True

    def end(self, marker: Event | None = None) -> None:
        """Close the file, with a last event that may exceed `max_events`."""
        if marker is not None:
            self._put([marker])
        if self._file is not None:
            self._close()

    def _put(self, events: Sequence[Event]) -> None:
        self.written += len(events)
        if self._file is None:
            self.events += events
        else:
            self._file.write(events)


class _TraceFile:
    """A gzip file with one JSON object; the same events give the same bytes."""

    def __init__(self, path: Path) -> None:
        try:
            self._raw: BinaryIO = path.open("wb")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
        self._zip = gzip.GzipFile("", "wb", compresslevel=4, fileobj=self._raw, mtime=0)
        self._zip.write(b'{"displayTimeUnit": "ms", "traceEvents": [')
        self._waiting: list[Event] = []
        self._separator = b"\n"

    def write(self, events: Sequence[Event]) -> None:
        self._waiting += events
        if len(self._waiting) >= _BUFFER:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._zip.write(b"\n]}\n")
        self._zip.close()
        self._raw.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        lines = ",\n".join(map(_ENCODE, self._waiting))
        self._zip.write(self._separator + lines.encode())
        self._separator = b",\n"
        self._waiting.clear()
