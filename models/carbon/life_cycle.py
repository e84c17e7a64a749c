"""When to replace a device: break-even, and the life that emits least."""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1, inf, sqrt

from models.carbon.units import grams
from models.errors import ConfigError


def break_even_s(
    embodied_g: float, saved_w: float, pue: float, intensity_g_per_kwh: float
) -> float:
    """Time after which a new device has saved its own making: infinite where it saves nothing.

    saved_w: P_old / throughput_old - P_new / throughput_new, times the throughput asked. What the
    old device cost to make is spent, and no part of this.
    """
    if not (embodied_g >= 0.0 and pue >= 1.0 and intensity_g_per_kwh >= 0.0):
        raise ConfigError(
            f"break-even: embodied_g = {embodied_g!r} and intensity_g_per_kwh = "
            f"{intensity_g_per_kwh!r} must be >= 0, pue = {pue!r} >= 1"
        )
    rate = grams(saved_w * pue, intensity_g_per_kwh)
    return embodied_g / rate if rate > 0.0 else inf


def saved_w(
    old_w: float, old_throughput: float, new_w: float, new_throughput: float, throughput: float
) -> float:
    """Power that the same work takes less on the new device; negative where it takes more."""
    return (old_w / old_throughput - new_w / new_throughput) * throughput


@dataclass(frozen=True, slots=True)
class Progress:
    """Devices that get better: a new one takes `embodied_g` to make; one bought at time s emits
    at operational_g_per_s x exp(-gain_per_s x s) for all of its life."""

    embodied_g: float
    operational_g_per_s: float
    gain_per_s: float

    def __post_init__(self) -> None:
        if not min(self.embodied_g, self.operational_g_per_s, self.gain_per_s) > 0.0:
            raise ConfigError(
                f"progress: embodied_g = {self.embodied_g!r}, operational_g_per_s = "
                f"{self.operational_g_per_s!r}, gain_per_s = {self.gain_per_s!r} must be > 0"
            )

    def excess_g_per_s(self, life_s: float) -> float:
        """Emission rate of the first of equal lives above always having the newest: making it,
        and being behind by its age."""
        x = self.gain_per_s * life_s
        behind = self.operational_g_per_s * (1.0 - (-expm1(-x)) / x)
        return self.embodied_g / life_s + behind

    def best_life_s(self) -> float:
        """The life of least excess, exact: E/o = [1 - (1 + gL) exp(-gL)] / g. Infinite where even
        endless progress does not repay a device (E g >= o)."""
        from scipy.optimize import brentq

        ratio = self.embodied_g * self.gain_per_s / self.operational_g_per_s
        if ratio >= 1.0:
            return inf

        def lack(x: float) -> float:
            # 1 - (1 + x) exp(-x), written so that small x keeps its digits.
            return -expm1(-x) - x * (expm1(-x) + 1.0) - ratio

        high = 1.0
        while lack(high) < 0.0:
            high *= 2.0
        return float(brentq(lack, 0.0, high, xtol=1e-14, rtol=1e-13)) / self.gain_per_s

    def best_life_formula_s(self) -> float:
        """sqrt(2 E / (o g)): good while g x life stays below a half."""
        return sqrt(2.0 * self.embodied_g / (self.operational_g_per_s * self.gain_per_s))

    def emitted_g(self, life_s: float, horizon_s: float) -> tuple[float, float]:
        """Operation and making over a horizon with replacement every `life_s`, device by device;
        the last one's making counts for the part of its life inside the horizon."""
        operation = making = 0.0
        bought = 0.0
        while bought < horizon_s:
            used = min(life_s, horizon_s - bought)
            operation += self.operational_g_per_s * (1.0 + expm1(-self.gain_per_s * bought)) * used
            making += self.embodied_g * used / life_s
            bought += life_s
        return operation, making
