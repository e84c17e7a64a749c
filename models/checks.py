"""Checks of numbers that a configuration gives."""

from __future__ import annotations

from math import isfinite

from models.errors import ConfigError


def _number(key: str, value: object, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ConfigError(f"{key} is {value!r}; it must be {wanted}")
    return value


def finite(key: str, value: object) -> float:
    """`value` as a finite number, else a `ConfigError` that names `key`."""
    return float(_number(key, value, "a finite number"))


def positive(key: str, value: object) -> float:
    """`value` as a number above 0, else a `ConfigError` that names `key`."""
    number = _number(key, value, "a number above 0")
    if not number > 0.0:
        raise ConfigError(f"{key} is {value!r}; it must be a number above 0")
    return float(number)


def at_least(key: str, value: object, low: float) -> float:
    """`value` as a number of at least `low`, else a `ConfigError` that names `key`."""
    wanted = f"a number of at least {low:g}"
    number = _number(key, value, wanted)
    if not number >= low:
        raise ConfigError(f"{key} is {value!r}; it must be {wanted}")
    return float(number)


def between(key: str, value: object, low: float, high: float) -> float:
    """`value` as a number in [low, high], else a `ConfigError` that names `key`."""
    wanted = f"a number from {low:g} to {high:g}"
    number = _number(key, value, wanted)
    if not low <= number <= high:
        raise ConfigError(f"{key} is {value!r}; it must be {wanted}")
    return float(number)


def whole(key: str, value: object, least: int = 1) -> int:
    """`value` as a whole number of at least `least` (1e6 counts as whole)."""
    wanted = f"a whole number of at least {least}"
    number = _number(key, value, wanted)
    if number != int(number) or number < least:
        raise ConfigError(f"{key} is {value!r}; it must be {wanted}")
    return int(number)


def whole_or_none(key: str, value: object, least: int = 1) -> int | None:
    """As `whole`, and `None` stays `None`."""
    return None if value is None else whole(key, value, least)


def flag(key: str, value: object) -> bool:
    """`value` as true or false, else a `ConfigError` that names `key`."""
    if not isinstance(value, bool):
        raise ConfigError(f"{key} is {value!r}; it must be true or false")
    return value
