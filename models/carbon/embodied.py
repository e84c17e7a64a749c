"""Bills of materials in ACT's form: grams to make a device, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.carbon.estimate import Spread, total
from models.carbon.fab import Fab
from models.carbon.factors import BoardFactors, FactorTable
from models.carbon.units import MM2_PER_CM2
from models.carbon.yields import Yield
from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundry:
    """Everything that prices a bill.

    package_g: of each packaged chip. memory_yield: by which memory and drives are divided, as the
    released tool does and the paper's formula does not (None: not divided).
    """

    fab: Fab
    logic_yield: Yield
    memory_yield: Yield | None
    package_g: float
    dram: FactorTable
    ssd: FactorTable
    hdd: FactorTable
    boards: BoardFactors
    materials: FactorTable

    def __post_init__(self) -> None:
        if not self.package_g >= 0.0:
            raise ConfigError(f"foundry: package_g = {self.package_g!r} must be >= 0")


class Line(Protocol):
    """A line of a bill."""

    @property
    def name(self) -> str: ...

    def grams(self, foundry: Foundry) -> Spread:
        """Carbon of the whole line."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Die:
    """`count` equal dies of `area_mm2` each; `packages`: chips in packages among them, all told."""

    name: str
    area_mm2: float
    node: str
    count: int = 1
    packages: int = 1

    def grams(self, foundry: Foundry) -> Spread:
        area = _positive(self.name, "area_mm2", self.area_mm2) / MM2_PER_CM2
        each = area * foundry.fab.g_per_cm2(self.node) / foundry.logic_yield.of(area)
        return Spread.of(self.count * each + self.packages * foundry.package_g)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """`count` modules or drives of `capacity_gb` each. kind: dram, ssd or hdd; technology: a name
    in the foundry's table of that kind; packages: packaged chips of each."""

    name: str
    kind: str
    technology: str
    capacity_gb: float
    count: int = 1
    packages: int = 0

    def grams(self, foundry: Foundry) -> Spread:
        tables = {"dram": foundry.dram, "ssd": foundry.ssd, "hdd": foundry.hdd}
        if self.kind not in tables:
            raise ConfigError(f"{self.name}: kind = {self.kind!r} is none of {', '.join(tables)}")
        made = _positive(self.name, "capacity_gb", self.capacity_gb)
        made *= tables[self.kind][self.technology]
        if foundry.memory_yield is not None:
            made /= foundry.memory_yield.of(0.0)
        return Spread.of(self.count * (made + self.packages * foundry.package_g))


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A printed board."""

    name: str
    area_m2: float
    layers: int
    count: int = 1

    def grams(self, foundry: Foundry) -> Spread:
        area = _positive(self.name, "area_m2", self.area_m2)
        return Spread.of(self.count * area * foundry.boards.of(self.layers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """So much of a material."""

    name: str
    material: str
    mass_kg: float

    def grams(self, foundry: Foundry) -> Spread:
        mass = _positive(self.name, "mass_kg", self.mass_kg)
        return Spread.of(mass * foundry.materials[self.material])


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """`amount` times a figure that somebody else has counted, with its bounds."""

    name: str
    low_g: float
    mid_g: float
    high_g: float
    amount: float = 1.0

    def grams(self, foundry: Foundry) -> Spread:
        return Spread(self.low_g, self.mid_g, self.high_g).times(self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBill:
    """What a device is made of.

    life_s: over which its carbon is written off. source: line or key -> document.
    """

    name: str
    lines: Sequence[Line]
    life_s: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        where = f"bill {self.name}:"
        names = [line.name for line in self.lines]
        if not names:
            raise ConfigError(f"{where} has no lines")
        for name in [*names, "life_s"]:
            if not self.source.get(name):
                raise ConfigError(f"{where} {name} has no entry in `source`")
        if len(set(names)) != len(names):
            raise ConfigError(f"{where} two lines share a name in {names}")
        _positive(self.name, "life_s", self.life_s)

    def by_line(self, foundry: Foundry) -> dict[str, Spread]:
        """Grams of every line."""
        return {line.name: line.grams(foundry) for line in self.lines}

    def grams(self, foundry: Foundry) -> Spread:
        """Grams of the whole device."""
        return total(self.by_line(foundry).values())


def _positive(name: str, key: str, value: float) -> float:
    if not value > 0.0:
        raise ConfigError(f"{name}: {key} = {value!r} must be > 0")
    return value
