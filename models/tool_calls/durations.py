"""Predictions of how long a tool call lasts: models of their error that know the truth."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Protocol

import numpy as np

from models.errors import ConfigError


class DurationPredictor(Protocol):
    """Predicts the duration of a call before it begins."""

    def predict(self, kind: str, duration_s: float, rng: np.random.Generator) -> float:
        """Predicted seconds, at least 0, for a call of that kind whose true duration is
        `duration_s`, from a random stream."""
        ...


class OracleDuration:
    """Knows the duration."""

    def predict(self, kind: str, duration_s: float, rng: np.random.Generator) -> float:
        return duration_s


class ClassMeanDuration:
    """The mean of the call's kind, as LAMPS predicts.

    `mean_s`: kind -> seconds. `default_s`: for kinds that are not there; without it they raise
    ConfigError. `source`: where the means come from.
    """

    def __init__(
        self,
        mean_s: Mapping[str, float],
        default_s: float | None = None,
        source: Mapping[str, str] | None = None,
    ) -> None:
        for kind, seconds in mean_s.items():
            _not_negative(f"mean_s.{kind}", seconds)
        if default_s is not None:
            _not_negative("default_s", default_s)
        self.mean_s = dict(mean_s)
        self.default_s = default_s
        self.source = dict(source or {})

    def predict(self, kind: str, duration_s: float, rng: np.random.Generator) -> float:
        mean = self.mean_s.get(kind, self.default_s)
        if mean is None:
            raise ConfigError(
                f"call_predictor.mean_s: no mean for calls of kind {kind!r}; there are "
                f"{', '.join(sorted(self.mean_s)) or 'none'}; add it, or give default_s"
            )
        return mean


class NoisyDuration:
    """The duration times 1 + N(0, `error`), at least 0: the error model of LAMPS's release."""

    def __init__(self, error: float) -> None:
        _not_negative("error", error)
        self.error = error

    def predict(self, kind: str, duration_s: float, rng: np.random.Generator) -> float:
        return max(0.0, duration_s * (1.0 + self.error * float(rng.standard_normal())))


def _not_negative(key: str, value: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and isfinite(value) and value >= 0.0):
        raise ConfigError(f"call_predictor.{key}: {value!r} must be finite and >= 0")
