"""Forecasts that are wrong by a known amount."""

from __future__ import annotations

import numpy as np

from models.carbon.signal import StepSignal
from models.errors import ConfigError


def noisy_forecast(signal: StepSignal, error: float, rng: np.random.Generator) -> StepSignal:
    """Each step off by an independent normal error of deviation `error` x the signal's mean, as in
    Let's Wait Awhile."""
    if not error >= 0.0:
        raise ConfigError(f"forecast: error = {error!r} must be >= 0")
    deviation = error * signal.mean(signal.start_s, signal.end_s)
    return signal.mapped(lambda values: values + deviation * rng.standard_normal(values.size))
