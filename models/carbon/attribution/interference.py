"""Fair-CO2's option for work that shares a machine: who slows others down pays for it.

What a tenant uses beside others says more of its neighbours than of it. So its use alone counts,
times what it has suffered from and inflicted on others on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum, isfinite

from models.carbon.attribution.shares import IDLE, Interval, proportional
from models.errors import ConfigError

#: By tenant and neighbour: what the tenant takes beside it (of time or energy), over alone.
Ratios = Mapping[str, Mapping[str, float]]


def interference_factors(ratios: Ratios) -> dict[str, float]:
    """By tenant the mean of two means: of what it takes beside each neighbour, and of what
    neighbours take beside it, over alone. Pairs that nobody has seen are left out; one that was
    never seen beside another has the factor 1. Raises ConfigError for a ratio that is not > 0."""
    suffered: dict[str, list[float]] = {name: [] for name in ratios}
    inflicted: dict[str, list[float]] = {name: [] for name in ratios}
    for name, beside in ratios.items():
        for neighbour, ratio in beside.items():
            if not (ratio > 0.0 and isfinite(ratio)):
                raise ConfigError(f"interference: {name} beside {neighbour}: {ratio!r} must be > 0")
            suffered[name].append(ratio)
            inflicted.setdefault(neighbour, []).append(ratio)
    names = dict.fromkeys([*ratios, *inflicted])
    return {
        name: 0.5 * (_mean(suffered.get(name, [])) + _mean(inflicted.get(name, [])))
        for name in names
    }


def by_use_alone(
    interval: Interval,
    work_alone: Mapping[str, float],
    held_alone: Mapping[str, float],
    time_ratios: Ratios,
    energy_ratios: Ratios,
) -> dict[str, float]:
    """Dynamic carbon by the energy that each takes alone, standing carbon by the resource-time that
    it holds alone, each times its factor of interference (Fair-CO2)."""
    shares = (
        (interval.dynamic_g, work_alone, energy_ratios),
        (interval.standing_g, held_alone, time_ratios),
    )
    accounts = dict.fromkeys([*work_alone, *held_alone], 0.0)
    for grams, alone, ratios in shares:
        factors = interference_factors(ratios)
        weights = {name: factors.get(name, 1.0) * amount for name, amount in alone.items()}
        for name, part in proportional(grams, weights, IDLE).items():
            accounts[name] = accounts.get(name, 0.0) + part
    return accounts


def _mean(values: list[float]) -> float:
    return fsum(values) / len(values) if values else 1.0
