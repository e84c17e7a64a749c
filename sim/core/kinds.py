"""Settings that are no number, or neither true nor false, where a parameter wants one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from sim.core.errors import ConfigError
from sim.core.keys import typed_key

#: Annotations of parameters that are numbers.
_NUMBERS = {"float", "int", "float | None", "int | None"}


def check_kinds(key: str, part: Any, written: Any) -> None:
    """Raises ConfigError, naming the key, for text, a list, true or false (or nothing) where a
    parameter of a `_target_` is annotated as a number, and for anything but true or false where it
    is a bool. `written`: all settings, plain and unresolved, for the key that was written."""
    for name, annotation, value in _settings(key, part):
        lacks = value is None and annotation in ("float", "int")
        if lacks or (annotation in _NUMBERS and isinstance(value, str | list | bool)):
            raise ConfigError(f"{typed_key(written, name)} is {value!r}; it must be a number")
        if annotation == "bool" and not isinstance(value, bool):
            raise ConfigError(f"{typed_key(written, name)} is {value!r}; it must be true or false")


def _settings(key: str, part: Any) -> Iterator[tuple[str, str, Any]]:
    """Key, annotation and value of each setting of a target, at any depth."""
    if isinstance(part, list):
        for i, value in enumerate(part):
            yield from _settings(f"{key}.{i}", value)
    if not isinstance(part, dict):
        return
    annotations = _annotations(part["_target_"]) if "_target_" in part else {}
    for name, value in part.items():
        if name in annotations:
            yield f"{key}.{name}", annotations[name], value
        yield from _settings(f"{key}.{name}", value)


def _annotations(target: Any) -> dict[str, str]:
    """Of a target's parameters, as written; none where there is no such target, of which Hydra
    tells."""
    from hydra.utils import get_object

    try:
        parameters = inspect.signature(get_object(target)).parameters
    except Exception:
        return {}
    return {name: str(parameter.annotation) for name, parameter in parameters.items()}
