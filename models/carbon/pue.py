"""Power usage effectiveness: a site's power over that of its computers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from models.errors import ConfigError


class Pue(Protocol):
    """`by_temperature`: whether the outside counts."""

    @property
    def by_temperature(self) -> bool: ...

    def at(self, outside_c: float | None) -> float:
        """Effectiveness at an outside temperature in degrees Celsius, at least 1."""
        ...


@dataclass(frozen=True, slots=True)
class ConstantPue:
    value: float
    by_temperature: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 1.0 <= self.value < float("inf"):
            raise ConfigError(f"pue: value = {self.value!r} must be finite and >= 1")

    def at(self, outside_c: float | None) -> float:
        return self.value


@dataclass(frozen=True, slots=True)
class TemperaturePue:
    """1 + fixed + per_degree for each degree above `free_below_c`, where outside air is enough."""

    fixed: float
    per_degree: float
    free_below_c: float
    by_temperature: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (self.fixed >= 0.0 and self.per_degree >= 0.0):
            raise ConfigError(
                f"pue: fixed = {self.fixed!r} and per_degree = {self.per_degree!r} must be >= 0"
            )

    def at(self, outside_c: float | None) -> float:
        if outside_c is None:
            raise ConfigError("pue: by temperature needs an outside temperature; the site has none")
        return 1.0 + self.fixed + self.per_degree * max(0.0, outside_c - self.free_below_c)
