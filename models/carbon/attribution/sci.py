"""Software Carbon Intensity (ISO/IEC 21031)."""

from __future__ import annotations

from models.carbon.units import grams
from models.errors import ConfigError


def embodied_share_g(
    embodied_g: float,
    reserved_s: float,
    life_s: float,
    resources: float,
    all_resources: float,
) -> float:
    """M = TE x (TiR / EL) x (RR / ToR): total embodied, share of the life, share of the device."""
    if not (0.0 <= reserved_s <= life_s and 0.0 <= resources <= all_resources):
        raise ConfigError(
            f"SCI: reserved_s = {reserved_s!r} must be in [0, {life_s!r}] and resources = "
            f"{resources!r} in [0, {all_resources!r}]"
        )
    return embodied_g * (reserved_s / life_s) * (resources / all_resources)


def intensity(
    energy_j: float, intensity_g_per_kwh: float, embodied_g: float, functional_units: float
) -> float:
    """SCI = (E x I + M) per R, in grams; offsets do not count."""
    if not functional_units > 0.0:
        raise ConfigError(f"SCI: functional_units = {functional_units!r} must be > 0")
    return (grams(energy_j, intensity_g_per_kwh) + embodied_g) / functional_units
