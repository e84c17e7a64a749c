"""What every predictor of lengths has: checked settings, and what a prediction costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from models.errors import ConfigError

MOST = 1e15
"""More than any number of seconds or tokens."""


@dataclass(frozen=True, kw_only=True)
class Charged:
    """What a prediction costs; whoever runs the predictor charges it.

    arrival_s: seconds for each request on arrival. per_token_s: seconds for each sequence of an
    iteration. source: key -> document.
    """

    arrival_s: float = 0.0
    per_token_s: float = 0.0
    source: Mapping[str, str] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        number("arrival_s", self.arrival_s)
        number("per_token_s", self.per_token_s)


def number(key: str, value: object, low: float = 0.0, high: float = MOST) -> None:
    """Raise ConfigError where `value` is no number in [`low`, `high`]."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not (good and low <= value <= high):  # type: ignore[operator]
        raise ConfigError(f"predictor.{key}: {value!r} must be a number from {low:g} to {high:g}")


def whole(key: str, value: object, low: int = 1, high: float = inf) -> None:
    """Raise ConfigError where `value` is no whole number in [`low`, `high`]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        wanted = f"from {low} to {high:g}" if high < inf else f">= {low}"
        raise ConfigError(f"predictor.{key}: {value!r} must be a whole number {wanted}")


def flag(key: str, value: object) -> None:
    """Raise ConfigError where `value` is neither true nor false."""
    if not isinstance(value, bool):
        raise ConfigError(f"predictor.{key}: {value!r} must be true or false")
