"""Carbon of operation: power x PUE x intensity, integrated exactly across all their steps."""

from __future__ import annotations

from models.carbon.pue import Pue
from models.carbon.signal import StepSignal, product_integral
from models.carbon.units import J_PER_KWH


def pue_signal(pue: Pue, outside_c: StepSignal) -> StepSignal:
    """Effectiveness over time, by the outside temperature."""
    return StepSignal(
        outside_c.edges_s,
        [pue.at(value) for value in outside_c.values.tolist()],
        f"PUE of {outside_c.name}",
        "",
    )


def operational_g(
    power_w: StepSignal,
    intensity: StepSignal,
    from_s: float,
    to_s: float,
    pue: StepSignal | float = 1.0,
) -> float:
    """Grams of the computers' power over an interval. `pue`: over time, or constant. Raises
    TraceError where one of the signals does not cover the interval."""
    if isinstance(pue, StepSignal):
        joule_intensity = product_integral(power_w, pue, intensity, from_s=from_s, to_s=to_s)
    else:
        joule_intensity = pue * product_integral(power_w, intensity, from_s=from_s, to_s=to_s)
    return joule_intensity / J_PER_KWH
