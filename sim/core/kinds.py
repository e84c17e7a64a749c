"""Settings that are not of the kind that a parameter wants."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from sim.core.errors import ConfigError
from sim.core.keys import typed_key

#: Annotations of parameters that are numbers.
_NUMBERS = {"float", "int", "float | None", "int | None"}
_TEXTS = {"str", "str | None"}
_OF_PARTS = re.compile(r"\b(?:Sequence|Mapping)\[(?:str, )?(\w+)\]")
_PART = re.compile(r"(\w+)(?: \| None)?")
_OURS = {"models", "policies", "workloads", "sim", "experiments"}


def check_kinds(key: str, part: Any, written: Any) -> None:
    """Raises ConfigError, naming the key, for what a parameter of a `_target_` cannot take by its
    annotation: text, a list, true or false (or nothing) for a number, anything but true or false
    for a bool, a list or mapping for text, a number for a list, and anything but settings with a
    `_target_` for an object of Orrery's. `written`: all settings, plain and unresolved, for the key
    that was written."""
    for name, annotation, value, known in _settings(key, part):
        for place, wrong, wanted in _wrong(annotation, value, known):
            raise ConfigError(f"{typed_key(written, name + place)} is {wrong!r}; it must {wanted}")


def _wrong(annotation: str, value: Any, known: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Where inside a value, what stands there, and what it must be; `known`: names that the
    annotation may use."""
    if annotation in _NUMBERS:
        lacks = value is None and annotation in ("float", "int")
        if lacks or isinstance(value, str | list | bool):
            yield "", value, "be a number"
        elif annotation.startswith("int") and isinstance(value, float) and value % 1.0 != 0.0:
            yield "", value, "be a whole number"
    elif annotation == "bool":
        if not isinstance(value, bool):
            yield "", value, "be true or false"
    elif annotation in _TEXTS:
        if isinstance(value, list | dict | bool):
            yield "", value, "be text"
    elif (found := _PART.fullmatch(annotation)) is not None:
        if value is not None and _is_part(known.get(found[1])) and not _described(value):
            yield "", value, "have a _target_: choose it, or set what it has"
    elif (found := _OF_PARTS.search(annotation)) is not None and _is_part(known.get(found[1])):
        if value is not None and not isinstance(value, dict | list):
            yield "", value, "be settings with a _target_ each"
            return
        for place, item in value.items() if isinstance(value, dict) else enumerate(value or ()):
            if not _described(item):
                yield f".{place}", item, "have a _target_"
    elif annotation.startswith("Sequence[") and isinstance(value, bool | int | float):
        yield "", value, "be a list"


def _is_part(kind: Any) -> bool:
    """Whether it is a class of Orrery's, of which settings describe an object."""
    return isinstance(kind, type) and kind.__module__.split(".")[0] in _OURS


def _described(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _settings(key: str, part: Any) -> Iterator[tuple[str, str, Any, Mapping[str, Any]]]:
    """Key, annotation and value of each setting of a target, at any depth, and the names that the
    annotation may use."""
    if isinstance(part, list):
        for i, value in enumerate(part):
            yield from _settings(f"{key}.{i}", value)
    if not isinstance(part, dict):
        return
    annotations, known = _annotations(part["_target_"]) if "_target_" in part else ({}, {})
    for name, value in part.items():
        if name in annotations:
            yield f"{key}.{name}", annotations[name], value, known
        yield from _settings(f"{key}.{name}", value)


def _annotations(target: Any) -> tuple[dict[str, str], Mapping[str, Any]]:
    """Of a target's parameters, as written; none where there is no such target, of which Hydra
    tells. And the names of its module."""
    from hydra.utils import get_object

    try:
        found = get_object(target)
        parameters = inspect.signature(found).parameters
    except Exception:
        return {}, {}
    names = {name: str(parameter.annotation) for name, parameter in parameters.items()}
    return names, vars(sys.modules.get(getattr(found, "__module__", ""), sys))
