"""Targets of making: ACT's unit values, a bill of a Dell R740, GreenSKU's tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.reproduce.accepted import Finding, Table
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.carbon.settings import part
from experiments.reproduce.workers import Workers
from models.carbon.embodied import Die, Foundry, Storage
from models.carbon.greensku import SkuCarbon, rack_carbon
from models.carbon.units import G_PER_KG
from models.carbon.yields import FlatYield

#: By name: g of ACT's formula, written out from its published factors.
UNITS = {
    "logic, 145 mm2, 10 nm": (1.475 * 583.0 + 240.0 + 500.0) * 1.45 / 0.943543 + 150.0,
    "DRAM, 10 GB of DDR3 at 30 nm": 10.0 * 230.0 / 0.9 + 2 * 150.0,
}
#: By part: kg of the same, to what is published. Two processors of 6.98 cm2 on coal, 12 modules of
#: 36 GB at 600 g/GB, 8 drives of 3,840 GB at 31 g/GB.
R740 = {
    "CPU": 2 * ((0.9 * 820.0 + 175.0 + 500.0) * 6.98 / 0.875 + 2 * 150.0) / 1000.0,
    "main DRAM": 12 * (36.0 * 600.0 / 0.875 + 19 * 150.0) / 1000.0,
    "main SSDs": 8 * (3840.0 * 31.0 / 0.875 + 13 * 150.0) / 1000.0,
}
SKUS = {
    "Baseline": "baseline",
    "Resized": "resized",
    "Efficient": "efficient",
    "CXL": "cxl",
    "Full": "full",
}
#: Mean of GreenSKU's eight regions.
INTENSITY = 98.694

Skus = dict[tuple[str, bool], SkuCarbon]


def _units(workers: Workers) -> dict[str, float]:
    act: Foundry = part("carbon/foundry/act")
    fab = part("carbon/fab/act", "carbon.fab.abatement_percent=95")
    logic = replace(act, fab=fab, logic_yield=FlatYield(0.943543))
    dram = replace(act, memory_yield=FlatYield(0.9))
    return {
        "logic, 145 mm2, 10 nm": Die(name="die", area_mm2=145.0, node="10").grams(logic).mid,
        "DRAM, 10 GB of DDR3 at 30 nm": Storage(
            name="dram", kind="dram", technology="ddr3-30nm", capacity_gb=10.0, packages=2
        )
        .grams(dram)
        .mid,
    }


def _r740(workers: Workers) -> dict[str, float]:
    foundry = part("carbon/foundry/act_coal")
    names = {"CPU": "cpu", "main DRAM": "dram", "main SSDs": "ssd"}
    return {
        name: part(f"carbon/device/dell-r740-{file}").grams(foundry).mid / G_PER_KG
        for name, file in names.items()
    }


def _skus(workers: Workers) -> Skus:
    rack = part("carbon/greensku/rack")
    return {
        (name, released): rack_carbon(
            part(f"carbon/greensku/{file}"), rack, INTENSITY, as_released=released
        )
        for name, file in SKUS.items()
        for released in (True, False)
    }


def _sensitivity(workers: Workers) -> dict[str, float]:
    """An H100's die in kg, by what is believed of its fab."""
    die = part("carbon/device/h100-sxm").lines[0]
    act: Foundry = part("carbon/foundry/act")
    foundries = {
        "ACT, Taiwan 2022": act,
        "Taiwan 2023": replace(act, fab=part("carbon/fab/act_2023")),
        "imec's totals": replace(act, fab=part("carbon/fab/imec")),
        "yield by area": part("carbon/foundry/clustered"),
    }
    return {name: die.grams(foundry).mid / G_PER_KG for name, foundry in foundries.items()}


UNIT_VALUES = Study("act", _units)
BILL = Study("r740", _r740)
GREENSKU = Study("greensku", _skus)
SENSITIVITY = Study("fab", _sensitivity)


def exact(values: dict[str, float]) -> dict[str, Estimate]:
    """Figures without chance."""
    return {name: Estimate.exact(value) for name, value in values.items()}


def savings(skus: Skus, released: bool) -> dict[str, float]:
    """Percent for a core by kind and figure, against the baseline."""
    base = skus["Baseline", released]
    return {
        f"{name}, {figure}": 100.0 * (1.0 - getattr(skus[name, released], key) / getattr(base, key))
        for name in list(SKUS)[1:]
        for figure, key in (
            ("operational", "operational_kg"),
            ("embodied", "embodied_kg"),
            ("total", "total_kg"),
        )
    }


def _per_core(skus: Skus, released: bool, key: str) -> dict[str, Estimate]:
    return exact({name: getattr(skus[name, released], key) for name in SKUS})


CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="act-units",
        where="ACT, released tool",
        what="carbon of a die and of a memory module",
        published="2608.70 g and 2855.6 g",
        accepted=Table(UNITS, relative=1e-6),
        study=UNIT_VALUES,
        measure=exact,
        unit="g",
    ),
    Claim(
        id="r740",
        where="ACT, bill of a Dell R740",
        what="carbon of its processors, main memory and main drives",
        published="23.143, 330.43 and 1103.97 kg",
        accepted=Table(R740, relative=1e-6),
        study=BILL,
        measure=exact,
        unit="kg",
    ),
    Claim(
        id="fab-sensitivity",
        where="-",
        what="an H100's die, by what is believed of its fab",
        published="-",
        accepted=Finding(),
        study=SENSITIVITY,
        measure=exact,
        unit="kg",
        note="A flat yield of 0.875 is optimistic for a die of 8 cm2",
    ),
    Claim(
        id="greensku-operation",
        where="GreenSKU, released code",
        what="carbon of operation for a core sold, over six years",
        published="9.107, 8.558, 7.683 kg",
        accepted=Table({"Baseline": 9.107, "Resized": 8.558, "Efficient": 7.683}, absolute=5e-4),
        study=GREENSKU,
        measure=lambda skus: _per_core(skus, True, "operational_kg"),
        unit="kg",
    ),
    Claim(
        id="greensku-embodied-released",
        where="GreenSKU, released code",
        what="embodied carbon for a core sold, parts multiplied by PUE and power factor",
        published="9.458, 8.482, 8.141 kg",
        accepted=Table({"Baseline": 9.458, "Resized": 8.482, "Efficient": 8.141}, absolute=5e-4),
        study=GREENSKU,
        measure=lambda skus: _per_core(skus, True, "embodied_kg"),
        unit="kg",
    ),
    Claim(
        id="greensku-embodied",
        where="GreenSKU, corrected",
        what="embodied carbon for a core sold, parts as they are",
        published="11.997, 10.676, 10.510 kg",
        accepted=Table({"Baseline": 11.997, "Resized": 10.676, "Efficient": 10.510}, absolute=5e-4),
        study=GREENSKU,
        measure=lambda skus: _per_core(skus, False, "embodied_kg"),
        unit="kg",
    ),
    Claim(
        id="greensku-table",
        where="GreenSKU, table VIII",
        what="savings for a core against the baseline, as released, in whole percent",
        published="6 / 10 / 8, 16 / 14 / 15, 15 / 32 / 24 and 14 / 38 / 26 %",
        accepted=Table(
            {
                "Resized, operational": 6.0,
                "Resized, embodied": 10.0,
                "Resized, total": 8.0,
                "Efficient, operational": 16.0,
                "Efficient, embodied": 14.0,
                "Efficient, total": 15.0,
                "CXL, operational": 15.0,
                "CXL, embodied": 32.0,
                "CXL, total": 24.0,
                "Full, operational": 14.0,
                "Full, embodied": 38.0,
                "Full, total": 26.0,
            }
        ),
        study=GREENSKU,
        measure=lambda skus: exact(
            {name: float(round(value)) for name, value in savings(skus, True).items()}
        ),
        unit="%",
    ),
    Claim(
        id="greensku-savings",
        where="GreenSKU, corrected",
        what="savings in total carbon for a core against the baseline, parts as they are",
        published="8.86 and 13.79 %",
        accepted=Table({"Resized, total": 8.86, "Efficient, total": 13.79}, absolute=5e-3),
        study=GREENSKU,
        measure=lambda skus: exact(savings(skus, False)),
        unit="%",
        note="The released code multiplies what making parts costs by PUE and power factor; the "
        "order of the kinds stays, and reused memory and drives (CXL, Full) save 24.8 and 28.1 %",
    ),
]
