"""Tables of factors with their source: grams for a GB, a kg, a kWh by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorTable:
    """One author's factors. `unit`: of all of them, such as g/GB. `values`: by name."""

    name: str
    unit: str
    values: Mapping[str, float]
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("factors", self, may_be_zero=tuple(str(key) for key in self.values))

    def __getitem__(self, name: str) -> float:
        """A factor. Raises ConfigError that names the known ones."""
        if name not in self.values:
            raise ConfigError(
                f"factors {self.name}: no {name!r}; there are {', '.join(map(str, self.values))}"
            )
        return self.values[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFactors:
    """Printed boards: g/m2 by number of layers, and beyond the largest a rest for each layer."""

    name: str
    g_per_m2: Mapping[str, float]
    g_per_m2_per_further_layer: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("factors", self)

    def of(self, layers: int) -> float:
        """Grams for a square metre of a board. Raises ConfigError between those known."""
        if str(layers) in self.g_per_m2:
            return self.g_per_m2[str(layers)]
        most = max(map(int, self.g_per_m2))
        if layers <= most:
            raise ConfigError(
                f"factors {self.name}: no board of {layers} layers; there are "
                f"{', '.join(self.g_per_m2)} and all above {most}"
            )
        return self.g_per_m2[str(most)] + (layers - most) * self.g_per_m2_per_further_layer
