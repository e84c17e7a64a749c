"""Mean, percentiles and maximum of a figure over many."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.core.result import Value


def spread(name: str, values: Any) -> dict[str, Value]:
    """Mean, percentiles (linear interpolation) and maximum of values; None of no values."""
    keys = ("mean", "p50", "p90", "p99", "max")
    if not len(values):
        return {f"{name}.{key}": None for key in keys}
    p50, p90, p99 = np.percentile(values, [50, 90, 99]).tolist()
    numbers = (float(values.mean()), p50, p90, p99, float(values.max()))
    return {f"{name}.{key}": number for key, number in zip(keys, numbers, strict=True)}
