"""Intensity from the plants that run: average by mix, marginal by merit order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.carbon.factors import FactorTable
from models.carbon.signal import Floats, StepSignal
from models.errors import ConfigError, TraceError


def average_intensity(
    edges_s: Floats,
    generation: Mapping[str, Floats],
    factors: FactorTable,
    imports: Sequence[tuple[Floats, StepSignal]] = (),
    name: str = "average intensity",
) -> StepSignal:
    """Generation-weighted mean of the sources' factors, step by step.

    generation: power by source, one value a step, >= 0 (a storage that charges is a load, not a
    source). imports: power from a neighbour (>= 0) with the neighbour's own intensity. Raises
    TraceError for negative power or a step without any, ConfigError for a source without a factor.
    """
    steps = len(edges_s) - 1
    power = np.zeros(steps)
    carbon = np.zeros(steps)
    for source, values in generation.items():
        factor = factors[source]
        power += _checked(name, source, values, steps)
        carbon += factor * values
    for values, intensity in imports:
        power += _checked(name, f"imports with {intensity.name}", values, steps)
        means = [intensity.mean(a, b) for a, b in pairwise(edges_s.tolist())]
        carbon += np.array(means) * values
    if not (power > 0.0).all():
        at = int(np.argmin(power > 0.0))
        raise TraceError(f"{name}: nothing generates from {edges_s[at]!r} s (step {at})")
    return StepSignal(edges_s, carbon / power, name)


def _checked(name: str, source: str, values: Floats, steps: int) -> Floats:
    if len(values) != steps:
        raise TraceError(f"{name}: {source} has {len(values)} values for {steps} steps")
    if not (values >= 0.0).all():
        at = int(np.argmin(values >= 0.0))
        raise TraceError(f"{name}: {source} is {values[at]!r} in step {at}; it must be >= 0")
    return values


@dataclass(frozen=True, slots=True)
class Plant:
    """One rung of a merit order: what it emits and how much it can give."""

    source: str
    g_per_kwh: float
    capacity_w: float


def merit_order(demand_w: float, plants: Sequence[Plant]) -> tuple[float, float]:
    """Average and marginal intensity in g/kWh where plants run in their order until demand is met.

    Marginal: of the plant that the next watt comes from. Raises ConfigError where the plants
    cannot serve that next watt.
    """
    carbon = met = 0.0
    for plant in plants:
        used = min(plant.capacity_w, demand_w - met)
        carbon += used * plant.g_per_kwh
        met += used
        if used < plant.capacity_w:
            average = carbon / demand_w if demand_w > 0.0 else plant.g_per_kwh
            return average, plant.g_per_kwh
    raise ConfigError(
        f"merit order: {demand_w:g} W and the next one are not served by the {met:g} W of "
        f"{len(plants)} plants"
    )
