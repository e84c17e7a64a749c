"""The rule of every data sheet: numbers are possible, and each has a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any

from models.errors import ConfigError


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number inside a value with its dotted path; parts with sources of their own, and parts
    yet to be made, are left to themselves. Items of a sequence are named by their `name`, else by
    position."""
    if isinstance(value, bool) or value is None or isinstance(value, str) or callable(value):
        return
    if isinstance(value, (int, float)):
        yield path, value
    elif is_dataclass(value):
        if path and hasattr(value, "source"):
            return
        for field in fields(value):
            if field.name != "source":
                yield from numbers(getattr(value, field.name), _join(path, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, _join(path, str(key)))
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from numbers(item, _join(path, str(getattr(item, "name", index))))
    else:
        raise ConfigError(f"{path}: {value!r} is neither a number, a text nor a part")


def covered(path: str, source: Mapping[str, str]) -> bool:
    """Whether `source` has an entry for this path or for a part that holds it."""
    while path:
        if source.get(path):
            return True
        path = path.rpartition(".")[0]
    return False


def check(kind: str, spec: Any, may_be_zero: Sequence[str] = ()) -> None:
    """Raise ConfigError where a number of `spec` is impossible or has no source.

    Numbers are finite and > 0, those named in `may_be_zero` (last part of the path) >= 0.
    """
    if not spec.name:
        raise ConfigError(f"{kind}: name is empty; give the part's name")
    for path, value in numbers(spec):
        where = f"{kind} {spec.name}: {path} = {value!r}"
        zero = path.rpartition(".")[2] in may_be_zero
        if not (isfinite(value) and (value > 0 or (zero and value == 0))):
            raise ConfigError(f"{where} must be finite and {'>= 0' if zero else '> 0'}")
        if not covered(path, spec.source):
            raise ConfigError(f"{where} has no entry in `source`")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
