"""What a square centimetre of logic costs to make, before yield (ACT, ISCA 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from models.errors import ConfigError
from models.hardware.sourced import check


class Fab(Protocol):
    def g_per_cm2(self, node: str) -> float:
        """Grams for a square centimetre of wafer of the process `node`, before yield."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One node: energy, and gases at 95 % and at 99 % abatement."""

    name: str
    energy_kwh_per_cm2: float
    gas_95_g_per_cm2: float
    gas_99_g_per_cm2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActFab:
    """ACT's fab: energy x intensity + gases + materials.

    processes: the nodes. stands_for: node without figures -> the one to use. intensity_g_per_kwh:
    of the fab's power. abatement_percent: of its gases, 95, 99 or 97 (the mean of both).
    materials_g_per_cm2: the same at every node.
    """

    name: str
    processes: Sequence[Process]
    stands_for: Mapping[str, str]
    intensity_g_per_kwh: float
    abatement_percent: float
    materials_g_per_cm2: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("fab", self)
        if self.abatement_percent not in (95, 97, 99):
            raise ConfigError(
                f"fab {self.name}: abatement_percent = {self.abatement_percent!r} is none of "
                "95, 97, 99"
            )

    def g_per_cm2(self, node: str) -> float:
        known = {process.name: process for process in self.processes}
        process = known.get(self.stands_for.get(node, node))
        if process is None:
            raise ConfigError(_no_node(self.name, node, [*known, *self.stands_for]))
        share = (self.abatement_percent - 95.0) / 4.0
        gas = process.gas_95_g_per_cm2 + share * (
            process.gas_99_g_per_cm2 - process.gas_95_g_per_cm2
        )
        energy = self.intensity_g_per_kwh * process.energy_kwh_per_cm2
        return energy + gas + self.materials_g_per_cm2


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalFab:
    """A fab known by its total for an area (imec's net-zero figures)."""

    name: str
    totals_g_per_cm2: Mapping[str, float]
    stands_for: Mapping[str, str]
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("fab", self)

    def g_per_cm2(self, node: str) -> float:
        known = self.stands_for.get(node, node)
        if known not in self.totals_g_per_cm2:
            raise ConfigError(_no_node(self.name, node, [*self.totals_g_per_cm2, *self.stands_for]))
        return self.totals_g_per_cm2[known]


def _no_node(fab: str, node: str, known: list[str]) -> str:
    return f"fab {fab}: no node {node!r}; there are {', '.join(known)}"
