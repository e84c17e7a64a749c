"""What it takes to make things: ACT's figures by hand, bills, lives, wear."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.reproduce.papers.carbon.settings import part
from models.carbon.embodied import Board, DeviceBill, Die, Given, Mass, Storage
from models.carbon.estimate import Spread, lognormal
from models.carbon.lifetime import EARLY, Life, Stage, write_off
from models.carbon.units import G_PER_KG
from models.carbon.wear import Odometer, WeibullLife, fit_for_second_life
from models.carbon.yields import FlatYield, NegativeBinomialYield
from models.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
FILES = sorted((CONFIGS / "carbon").glob("*/*.yaml"))
#: kg of a square centimetre, intensity 583 and 642, yield 0.875, 97 % abated (ACT, as published).
CPA = {
    "28": (1.328, 1.389),
    "20": (1.542, 1.623),
    "14": (1.557, 1.638),
    "10": (1.777, 1.877),
    "8": (1.807, 1.910),
    "7": (2.318, 2.463),
    "5": (2.778, 2.963),
    "3": (3.163, 3.382),
}
#: kg of the dies, the whole and its bounds where given.
DEVICES = {
    "h100-sxm": (22.6, 164, 90, 273),
    "a100-80-sxm": (19.2, 140, 70, 273),
    "v100": (12.7, 90, 0, 273),
    "a10g": (11.4, 45, 25, 80),
    "l4": (8.2, 30, 0, 273),
    "t4": (8.5, 25, 12, 60),
    "jetson-orin-agx-32": (8.2, 25, 0, 273),
    "epyc-7742": (20.2, 21, 0, 273),
    "epyc-7763": (21.5, 22, 0, 273),
    "epyc-9654": (33.2, 34, 0, 273),
    "xeon-8275cl": (10.8, 11, 0, 273),
    "xeon-8480plus": (28.4, 29, 0, 273),
}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_every_file_makes_a_part_and_says_what_it_is(file) -> None:
    assert part(f"carbon/{file.parent.name}/{file.stem}") is not None
    text = file.read_text()
    assert text.startswith("# ")
    # Tables of alternatives are made of parts that bring their sources.
    assert "source" in text or "defaults" in text or file.stem == "affine"


@pytest.mark.parametrize("node", CPA)
@pytest.mark.parametrize(("fab", "at"), [("act", 0), ("act_2023", 1)])
def test_a_square_centimetre_as_published(node, fab, at) -> None:
    found = part(f"carbon/fab/{fab}").g_per_cm2(node) / 0.875 / G_PER_KG
    assert found == pytest.approx(CPA[node][at], abs=6e-4)


def test_nodes_between_stand_for_others_and_unknown_ones_are_named() -> None:
    fab = part("carbon/fab/act")
    assert fab.g_per_cm2("4") == fab.g_per_cm2("5")
    assert fab.g_per_cm2("16") == fab.g_per_cm2("12") == fab.g_per_cm2("14")
    with pytest.raises(ConfigError, match=r"fab act: no node '9'.*28, 20, 14"):
        fab.g_per_cm2("9")
    with pytest.raises(ConfigError, match="abatement_percent = 90"):
        replace(fab, abatement_percent=90)
    with pytest.raises(ConfigError, match="intensity_g_per_kwh = -1"):
        replace(fab, intensity_g_per_kwh=-1.0)


@pytest.mark.parametrize("name", DEVICES)
def test_devices_as_tabulated(name) -> None:
    foundry = part("carbon/foundry/act")
    bill = part(f"carbon/device/{name}")
    die, mid, low, high = DEVICES[name]
    lines = [line for line in bill.lines if isinstance(line, Die)]
    dies = sum(line.grams(replace(foundry, package_g=0.0)).mid for line in lines)
    assert dies / G_PER_KG == pytest.approx(die, abs=0.15)
    whole = bill.grams(foundry)
    assert whole.mid / G_PER_KG == pytest.approx(mid, rel=0.01)
    assert whole.low / G_PER_KG >= low * 0.99
    assert whole.high / G_PER_KG <= high * 1.01


def test_units_by_hand() -> None:
    act = part("carbon/foundry/act")
    dram = Storage(
        name="d", kind="dram", technology="ddr3-30nm", capacity_gb=10.0, count=3, packages=2
    )
    by_hand = 3 * (2300.0 / 0.875 + 300.0)
    assert dram.grams(act).mid == pytest.approx(by_hand, rel=1e-12)
    paper = part("carbon/foundry/paper")
    assert dram.grams(paper).mid == pytest.approx(3 * (2300.0 + 300.0), rel=1e-12)
    assert Board(name="b", area_m2=0.1, layers=12).grams(act).mid == pytest.approx(143.0)
    assert Mass(name="m", material="steel", mass_kg=10.0).grams(act).mid == 18_900.0
    hdd = Storage(name="h", kind="hdd", technology="exos-x16", capacity_gb=16_000.0)
    assert hdd.grams(paper).mid == pytest.approx(16_000.0 * 1.334)
    for bad, match in (
        (replace(dram, kind="tape"), "kind = 'tape'"),
        (replace(dram, technology="ddr9"), "no 'ddr9'; there are ddr3-50nm"),
        (replace(dram, capacity_gb=0.0), "capacity_gb = 0.0"),
        (Board(name="b", area_m2=0.1, layers=5), "no board of 5 layers"),
    ):
        with pytest.raises(ConfigError, match=match):
            bad.grams(act)


def test_a_bill_needs_a_source_for_every_line() -> None:
    line = Given(name="card", low_g=1.0, mid_g=2.0, high_g=3.0)
    with pytest.raises(ConfigError, match="bill x: card has no entry in `source`"):
        DeviceBill(name="x", lines=[line], life_s=1.0, source={"life_s": "y"})
    with pytest.raises(ConfigError, match="two lines share a name"):
        DeviceBill(name="x", lines=[line, line], life_s=1.0, source={"life_s": "y", "card": "z"})


@given(st.floats(0.01, 20.0), st.floats(0.0, 2.0), st.floats(0.5, 10.0))
def test_yield_falls_with_area_and_nears_poisson(area, density, clustering) -> None:
    found = NegativeBinomialYield(density, clustering)
    assert 0.0 < found.of(area) <= 1.0
    assert found.of(2.0 * area) <= found.of(area)
    poisson = np.exp(-area * density)
    assert found.of(area) >= poisson * (1.0 - 1e-12)
    assert NegativeBinomialYield(density, 1e9).of(area) == pytest.approx(poisson, rel=1e-5)


def test_yield_of_a_reticle() -> None:
    assert NegativeBinomialYield(0.1, 3.0).of(8.2) == pytest.approx(0.48, abs=0.005)
    assert FlatYield(0.875).of(8.2) == 0.875
    with pytest.raises(ConfigError):
        FlatYield(0.0)


def test_chiplets_take_less_than_one_large_die() -> None:
    foundry = part("carbon/foundry/clustered")
    whole = Die(name="a", area_mm2=800.0, node="5").grams(foundry).mid
    split = Die(name="b", area_mm2=100.0, node="5", count=8).grams(foundry).mid
    assert split < 0.75 * whole


def test_spread() -> None:
    assert Spread(1.0, 2.0, 3.0).times(2.0) == Spread(2.0, 4.0, 6.0)
    assert Spread(1.0, 2.0, 3.0).at("high") == 3.0
    with pytest.raises(ConfigError):
        Spread(2.0, 1.0, 3.0)
    rng = np.random.default_rng(1)
    draws = [lognormal(7.0, 0.3, rng) for _ in range(20_000)]
    assert np.mean(draws) == pytest.approx(7.0, rel=0.01)
    assert np.std(np.log(draws)) == pytest.approx(0.3, rel=0.02)


# ---- lives ----

STAGES = st.lists(
    st.tuples(st.floats(0.0, 1e9), st.floats(1.0, 1e9), st.booleans()), min_size=1, max_size=6
)


@given(st.floats(0.0, 1e9), STAGES)
def test_nothing_is_lost_however_a_life_is_split(embodied, stages) -> None:
    made = [
        Stage(name=str(i), deployed_s=d, planned_s=p, carries=c and i < len(stages) - 1)
        for i, (d, p, c) in enumerate(stages)
    ]
    found = write_off(embodied, made)
    assert min(found.values()) >= 0.0
    assert sum(found.values()) == pytest.approx(embodied, rel=1e-12, abs=1e-9)


@given(st.floats(1.0, 1e9), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_a_full_life_is_the_whole_whatever_the_periods(embodied, cuts) -> None:
    life = Life(embodied, 1e8)
    ages = [0.0, *sorted(cut * 1e8 for cut in cuts), 1e8]
    parts = [life.accrued_g(a, b) for a, b in itertools.pairwise(ages)]
    assert sum(parts) == pytest.approx(embodied, rel=1e-12)
    assert life.accrued_g(1e8, 2e8) == 0.0


def test_a_second_life_by_hand() -> None:
    early = Stage(name="first", deployed_s=3.0, planned_s=4.0, carries=True)
    late = Stage(name="second", deployed_s=1.0, planned_s=5.0)
    found = write_off(1000.0, [early, late])
    assert found == pytest.approx({"first": 750.0, "second": 50.0, EARLY: 200.0})
    free = write_off(1000.0, [replace(early, carries=False), late])
    assert free == pytest.approx({"first": 750.0, "second": 0.0, EARLY: 250.0})
    with pytest.raises(ConfigError, match="carries, but no stage follows"):
        write_off(1.0, [early])
    assert Life(1000.0, 8.0).g_per_s == Life(1000.0, 4.0).g_per_s / 2.0
    with pytest.raises(ConfigError, match="goes backwards"):
        Life(1.0, 1.0).accrued_g(1.0, 0.5)


def test_wear_decides_on_a_second_life() -> None:
    worn = Odometer().plus(on_s=3e8, written_bytes=4e14)
    limits = Odometer(written_bytes=1e15)
    assert worn.worn(limits) == pytest.approx(0.4)
    life = WeibullLife(mean_s=6e8, shape=1.5)
    assert WeibullLife(5.0, 1.0).survives(7.0, 5.0) == pytest.approx(np.exp(-1.0))
    assert life.survives(3e8, 1e8) < life.survives(0.0, 1e8)
    both = life.survives(0.0, 3e8) * life.survives(3e8, 1e8)
    assert both == pytest.approx(life.survives(0.0, 4e8))
    assert fit_for_second_life(worn, limits, life, 1e8, survival=0.8)
    assert not fit_for_second_life(worn, limits, life, 1e9, survival=0.8)
    assert not fit_for_second_life(worn, Odometer(written_bytes=3e14), life, 1e8, survival=0.8)
    with pytest.raises(ConfigError, match="wear does not go back"):
        worn.plus(on_s=-1.0)
