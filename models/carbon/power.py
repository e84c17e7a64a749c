"""Power curves: watts of a device by how busy it is, or by what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Literal, Protocol

from models.errors import ConfigError


class PowerCurve(Protocol):
    def watts(self, utilisation: float) -> float:
        """Draw at a utilisation in [0, 1]."""
        ...


def _check_range(idle_w: float, peak_w: float) -> None:
    if not (0.0 <= idle_w <= peak_w and isfinite(peak_w)):
        raise ConfigError(f"power: need 0 <= idle_w <= peak_w, not {idle_w!r} and {peak_w!r}")


def _check_share(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"power: {name} = {value!r} must be in [0, 1]")
    return value


@dataclass(frozen=True, slots=True)
class ExponentPower:
    """idle + (peak - idle) u^exponent; an exponent of 1 is the affine curve."""

    idle_w: float
    peak_w: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        _check_range(self.idle_w, self.peak_w)
        if not self.exponent > 0.0:
            raise ConfigError(f"power: exponent = {self.exponent!r} must be > 0")

    def watts(self, utilisation: float) -> float:
        busy = _check_share("utilisation", utilisation)
        return float(self.idle_w + (self.peak_w - self.idle_w) * busy**self.exponent)


@dataclass(frozen=True, slots=True)
class FanPower:
    """idle + (peak - idle) (2u - u^r), r = 1.4 by default (Fan, Weber and Barroso, ISCA 2007)."""

    idle_w: float
    peak_w: float
    bend: float

    def __post_init__(self) -> None:
        _check_range(self.idle_w, self.peak_w)
        if not self.bend >= 1.0:
            raise ConfigError(f"power: bend = {self.bend!r} must be >= 1")

    def watts(self, utilisation: float) -> float:
        busy = _check_share("utilisation", utilisation)
        return float(self.idle_w + (self.peak_w - self.idle_w) * (2.0 * busy - busy**self.bend))


@dataclass(frozen=True, slots=True)
class DeratedPower:
    """Shares of the thermal design power at given loads, straight between them (GreenSKU).

    shares: by load in percent. Below the first load and above the last the end's share holds.
    idle_w: the draw is never below it.
    """

    peak_w: float
    shares: Mapping[int, float]
    idle_w: float = 0.0

    def __post_init__(self) -> None:
        _check_range(self.idle_w, self.peak_w)
        loads = list(self.shares)
        if not loads or loads != sorted(loads):
            raise ConfigError(f"power: loads of `shares` must rise; they are {loads}")
        for load, share in self.shares.items():
            _check_share(f"shares.{load}", share)

    def watts(self, utilisation: float) -> float:
        load = 100.0 * _check_share("utilisation", utilisation)
        return max(self.idle_w, self.peak_w * self._share(load))

    def _share(self, load: float) -> float:
        points = list(self.shares.items())
        if load <= points[0][0]:
            return points[0][1]
        for (low, below), (high, above) in pairwise(points):
            if load <= high:
                return below + (above - below) * (load - low) / (high - low)
        return points[-1][1]


Phase = Literal["off", "idle", "context", "prefill", "decode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmPower:
    """A GPU that serves a language model: draw by phase, not by utilisation.

    idle_w: nothing loaded. peak_w: thermal design power. Shares of it: `context` (model loaded, no
    work), `prefill`, and decode = `decode` + `decode_per_sequence` x batch, at most `decode_most`.
    """

    idle_w: float
    peak_w: float
    context: float
    prefill: float
    decode: float
    decode_per_sequence: float
    decode_most: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        _check_range(self.idle_w, self.peak_w)
        for name in ("context", "prefill", "decode", "decode_most"):
            _check_share(name, getattr(self, name))
        if not self.decode_per_sequence >= 0.0:
            raise ConfigError(
                f"power: decode_per_sequence = {self.decode_per_sequence!r} must be >= 0"
            )

    def watts(self, phase: Phase, batch: int = 1) -> float:
        """Draw in a phase; `batch`: sequences that decode. Raises ConfigError for no phase."""
        if phase == "off":
            return 0.0
        if phase == "idle":
            return self.idle_w
        if phase == "context":
            return max(self.idle_w, self.peak_w * self.context)
        if phase == "prefill":
            return max(self.idle_w, self.peak_w * self.prefill)
        if phase == "decode":
            share = min(self.decode_most, self.decode + self.decode_per_sequence * batch)
            return max(self.idle_w, self.peak_w * share)
        raise ConfigError(
            f"power: phase = {phase!r} is none of off, idle, context, prefill, decode"
        )


@dataclass(frozen=True, slots=True)
class CappedSpeed:
    """What a power cap leaves of the speed: (cap / peak)^exponent down to `least_share` of peak."""

    exponent: float
    least_share: float

    def speed(self, cap_share: float) -> float:
        """Share of the full speed at a cap. Raises ConfigError below the least cap."""
        if not self.least_share <= cap_share <= 1.0:
            raise ConfigError(
                f"power cap: {cap_share!r} of peak must be in [{self.least_share!r}, 1]"
            )
        return float(cap_share**self.exponent)

    def g_per_work(
        self, cap_share: float, peak_w: float, g_per_j: float, embodied_g_per_s: float
    ) -> float:
        """Carbon of a second's work at full speed, done at the cap: energy, and the embodied
        carbon of the longer time on the device."""
        return (cap_share * peak_w * g_per_j + embodied_g_per_s) / self.speed(cap_share)
