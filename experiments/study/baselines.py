"""Stored summaries, one YAML file an experiment, each metric with its tolerance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from experiments.own_groups import check_keys
from sim.core.errors import ConfigError
from sim.core.result import Value

_KEYS = ("settings", "tolerances", "metrics")
_METRIC = re.compile(r"^(?P<head>\s+(?P<name>[^\s:#]+):)\s*(?P<value>.*?)(?P<comment>\s+#.*)?$")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest accepted change: the larger of `relative` x |stored value| and `absolute`."""

    relative: float = 1e-9
    absolute: float = 0.0

    def accepts(self, stored: Value, now: Value) -> bool:
        """Whether `now` is near enough; what is no number must be the same."""
        if isinstance(stored, int | float) and isinstance(now, int | float):
            return abs(now - stored) <= max(self.relative * abs(stored), self.absolute)
        return stored == now

    def __str__(self) -> str:
        return f"{self.relative:g}" + (f" or {self.absolute:g} in all" if self.absolute else "")


@dataclass(frozen=True, slots=True)
class Change:
    """A metric that changed, appeared (nothing `stored`) or disappeared (nothing `now`)."""

    metric: str
    stored: Value
    now: Value
    tolerance: Tolerance
    kind: str = "changed"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Settings of an experiment and what its summary was.

    The file holds `settings` (a list, as for `orrery run`), `tolerances` (patterns of metric names
    -> relative, absolute; the last that fits counts) and, as its last key, `metrics`.
    """

    path: Path
    settings: list[str]
    tolerances: dict[str, Tolerance]
    metrics: dict[str, Value]

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Raises ConfigError naming the file and key."""
        try:
            return cls._parse(path, path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error

    @classmethod
    def _parse(cls, path: Path, text: str) -> Baseline:
        import yaml

        check_keys(text, str(path))
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
        if not isinstance(found, dict):
            raise ConfigError(f"{path}: holds no {', '.join(_KEYS)}")
        for key in found:
            if key not in _KEYS:
                raise ConfigError(f"{path}: {key}: unknown key; there are {', '.join(_KEYS)}")
        settings = found.get("settings")
        if not isinstance(settings, list) or not all(isinstance(word, str) for word in settings):
            raise ConfigError(f"{path}: settings: must be a list such as [ordering=fcfs, seed=1]")
        tolerances = {
            str(pattern): _tolerance(path, str(pattern), part)
            for pattern, part in _mapping(path, "tolerances", found.get("tolerances")).items()
        }
        metrics: dict[str, Value] = {}
        for name, value in _mapping(path, "metrics", found.get("metrics")).items():
            if value is not None and not isinstance(value, str) and not _is_number(value):
                raise ConfigError(f"{path}: metrics: {name}: {value!r} is no metric's value")
            metrics[str(name)] = value
        return cls(path, settings, tolerances, metrics)

    def tolerance(self, metric: str) -> Tolerance:
        """What holds for this metric: the last pattern that fits."""
        fitting = [part for key, part in self.tolerances.items() if fnmatchcase(metric, key)]
        return fitting[-1] if fitting else Tolerance()

    def changes(self, summary: Mapping[str, Value]) -> list[Change]:
        """What differs beyond its tolerance, appeared or disappeared, by name."""
        changes = []
        for name in sorted({*self.metrics, *summary}):
            tolerance = self.tolerance(name)
            if name not in summary:
                changes.append(Change(name, self.metrics[name], None, tolerance, "disappeared"))
            elif name not in self.metrics:
                changes.append(Change(name, None, summary[name], tolerance, "appeared"))
            elif not tolerance.accepts(self.metrics[name], summary[name]):
                changes.append(Change(name, self.metrics[name], summary[name], tolerance))
        return changes

    def update(self, summary: Mapping[str, Value]) -> None:
        """Rewrite the metrics that `changes` names, and nothing else of the file.

        Comments stay; what is within its tolerance keeps its stored value. Raises ConfigError
        where the file is not laid out with `metrics` last and one metric a line.
        """
        changed = {change.metric for change in self.changes(summary)}
        values = {
            name: summary[name] if name in changed else self.metrics[name] for name in summary
        }
        text = self._with_metrics(self.path.read_text(), values)
        if self._parse(self.path, text) != replace(self, metrics=values):
            raise ConfigError(f"{self.path}: metrics must come last, one a line, to be rewritten")
        draft = self.path.with_name(f".{self.path.name}.partial")
        try:
            draft.write_text(text)
            draft.replace(self.path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _with_metrics(self, text: str, values: Mapping[str, Value]) -> str:
        lines = text.rstrip("\n").split("\n")
        start = next((n for n, line in enumerate(lines) if line.startswith("metrics:")), len(lines))
        before: dict[str, list[str]] = {}
        after: dict[str, str] = {}
        gathered: list[str] = []
        for line in lines[start + 1 :]:
            found = _METRIC.match(line)
            if found:
                name = found["name"].strip("\"'")
                before[name], after[name] = gathered, found["comment"] or ""
                gathered = []
            else:
                gathered.append(line)
        body = []
        for name in sorted(values):
            written = f"  {name}: {_scalar(values[name])}{after.get(name, '')}"
            body += [*before.get(name, []), written]
        return "\n".join([*lines[:start], "metrics:", *body, *gathered]) + "\n"


def _tolerance(path: Path, pattern: str, part: Any) -> Tolerance:
    given = _mapping(path, f"tolerances: {pattern}", part)
    numbers = {}
    for key, value in given.items():
        where = f"{path}: tolerances: {pattern}: {key}"
        if key not in ("relative", "absolute"):
            raise ConfigError(f"{where}: unknown key; there are relative, absolute")
        try:
            # YAML reads 1e-6, without a point, as text.
            numbers[str(key)] = float(value)
        except (TypeError, ValueError):
            raise ConfigError(f"{where}: {value!r} is not a number") from None
        if not 0.0 <= numbers[str(key)] < math.inf:
            raise ConfigError(f"{where}: {value} is not a number >= 0")
    return Tolerance(numbers.get("relative", 0.0), numbers.get("absolute", 0.0))


def _mapping(path: Path, key: str, part: Any) -> dict[Any, Any]:
    if part is not None and not isinstance(part, dict):
        raise ConfigError(f"{path}: {key}: must hold names and values")
    return part or {}


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _scalar(value: Value) -> str:
    """As YAML reads it back."""
    import yaml

    text: str = yaml.safe_dump(value, width=1_000_000)
    return text.removesuffix("...\n").strip()
