"""Yield: the share of a wafer's area that works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from models.errors import ConfigError


class Yield(Protocol):
    def of(self, area_cm2: float) -> float:
        """Share of dies of this area that work, in (0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class FlatYield:
    """ACT's: one share for dies of all sizes."""

    share: float

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ConfigError(f"yield: share = {self.share!r} must be in (0, 1]")

    def of(self, area_cm2: float) -> float:
        return self.share


@dataclass(frozen=True, slots=True)
class NegativeBinomialYield:
    """Defects in clusters: (1 + area x density / clustering)^-clustering."""

    defects_per_cm2: float
    clustering: float

    def __post_init__(self) -> None:
        if not (self.defects_per_cm2 >= 0.0 and self.clustering > 0.0):
            raise ConfigError(
                f"yield: defects_per_cm2 = {self.defects_per_cm2!r} must be >= 0 and clustering = "
                f"{self.clustering!r} > 0"
            )

    def of(self, area_cm2: float) -> float:
        mean = area_cm2 * self.defects_per_cm2
        return float((1.0 + mean / self.clustering) ** -self.clustering)
