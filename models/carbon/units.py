"""Conversions at the edges: inside, carbon is grams, energy joules, time seconds."""

J_PER_KWH = 3.6e6
S_PER_HOUR = 3600.0
S_PER_DAY = 86_400.0
#: A year of 8,760 h, as the studies of this field count it.
S_PER_YEAR = 365.0 * S_PER_DAY
G_PER_KG = 1000.0
MM2_PER_CM2 = 100.0


def grams(energy_j: float, intensity_g_per_kwh: float) -> float:
    """Carbon of so much energy at so much a kWh."""
    return energy_j * intensity_g_per_kwh / J_PER_KWH
