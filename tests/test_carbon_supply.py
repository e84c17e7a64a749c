"""Supply of a site step by step: by hand, nothing lost, the same from arrays."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.reproduce.papers.carbon.settings import part
from models.carbon.battery import Battery, Store, dispatch
from models.carbon.matching import match_steps
from models.carbon.supply import FarmEnergy, Settled, at_the_end, g_per_it_j, settle, settle_steps
from models.carbon.units import J_PER_KWH, S_PER_HOUR
from models.errors import ConfigError

SPEC = part("carbon/battery/carbon_explorer")
#: No taper and no rate that binds, for hand traces.
PLAIN = replace(
    SPEC, taper_h=0.0, lower_h=0.0, charge=0.5, discharge=2.0, c_rate=100.0, life_years=1e30
)
KWH = J_PER_KWH


def kwh(**keys) -> Settled[float]:
    """`settle` of one hour with energies in kWh."""
    farms = [FarmEnergy(energy * KWH, g) for energy, g in keys.pop("farms", [])]
    return settle(it_j=keys.pop("it") * KWH, step_s=S_PER_HOUR, farms=farms, **keys)


def test_grid_alone() -> None:
    found = kwh(it=10.0, pue=1.2, intensity_g_per_kwh=300.0)
    assert (found.load_j, found.grid_j) == (12.0 * KWH, 12.0 * KWH)
    assert found.total_g == found.grid_g == pytest.approx(3600.0)
    # Carbon usage effectiveness of a site on the grid: PUE x intensity.
    assert g_per_it_j(found) * KWH == pytest.approx(360.0)


def test_two_farms_give_their_share_and_the_rest_is_curtailed() -> None:
    found = kwh(it=6.0, pue=1.0, intensity_g_per_kwh=300.0, farms=[(6.0, 10.0), (2.0, 50.0)])
    assert (found.matched_j, found.curtailed_j, found.grid_j) == (6 * KWH, 2 * KWH, 0.0)
    assert found.farm_g == pytest.approx(6.0 * (0.75 * 10.0 + 0.25 * 50.0))
    assert found.grid_g == 0.0


def test_a_surplus_kept_for_the_next_hour_by_hand() -> None:
    """8 kWh left over at 40 g go in and become 4; out of them 2 serve the load, with all their
    carbon and 2 x 2 kWh of cycles."""
    battery = Battery(PLAIN, 100.0 * KWH)
    noon = kwh(it=2.0, pue=1.0, intensity_g_per_kwh=300.0, farms=[(10.0, 40.0)], battery=battery)
    assert (noon.charged_j, noon.content_j) == (8.0 * KWH, 4.0 * KWH)
    assert (noon.content_g, noon.total_g) == (320.0, 80.0)
    store = Store(noon.content_j, noon.content_g)
    night = kwh(it=5.0, pue=1.0, intensity_g_per_kwh=300.0, battery=battery, store=store)
    assert (night.discharged_j, night.grid_j, night.content_j) == (2 * KWH, 3 * KWH, 0.0)
    assert (night.stored_g, night.grid_g) == (320.0, 900.0)
    assert night.wear_g == pytest.approx(4.0 * 74000.0 / 3000.0)
    assert night.content_g == 0.0


def test_charging_from_the_grid_when_asked() -> None:
    battery = Battery(PLAIN, 10.0 * KWH)
    found = kwh(
        it=4.0,
        pue=1.0,
        intensity_g_per_kwh=50.0,
        battery=battery,
        store=Store(2.0 * KWH, 7.0),
        from_grid_j=30.0 * KWH,
    )
    # Room for 8 kWh, which 16 fill; nothing comes out meanwhile.
    assert (found.grid_j, found.charged_j) == (20.0 * KWH, 16.0 * KWH)
    assert (found.discharged_j, found.content_j) == (0.0, 10.0 * KWH)
    assert found.content_g == pytest.approx(7.0 + 800.0)
    assert found.total_g == found.grid_g == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"pue": 0.9}, r"pue = 0\.9 must be >= 1"),
        ({"it": -1.0}, r"it_j = -3600000\.0"),
        ({"intensity_g_per_kwh": float("nan")}, "intensity_g_per_kwh = nan"),
        ({"farms": [(-1.0, 10.0)]}, "a farm's energy_j or g_per_kwh = -3600000"),
        ({"from_grid_j": 1.0}, "there is no battery"),
    ],
)
def test_impossible_numbers_are_named(keys, says) -> None:
    with pytest.raises(ConfigError, match=says):
        kwh(**{"it": 1.0, "pue": 1.0, "intensity_g_per_kwh": 1.0, **keys})


ENERGY = st.floats(0.0, 50.0).map(lambda x: x * KWH)
STEPS = st.lists(
    st.tuples(ENERGY, st.floats(1.0, 2.0), st.floats(0.0, 900.0), ENERGY, ENERGY),
    min_size=1,
    max_size=30,
)


def one_by_one(steps, battery, store, step_s) -> list[Settled[float]]:
    found = []
    for it_j, pue, grid, sun, wind in steps:
        found.append(
            settle(
                it_j=it_j,
                pue=pue,
                intensity_g_per_kwh=grid,
                step_s=step_s,
                farms=[FarmEnergy(sun, 55.0), FarmEnergy(wind, 12.0)],
                battery=battery,
                store=store,
            )
        )
        store = at_the_end(found[-1])
    return found


@given(STEPS, st.floats(0.0, 200.0), st.floats(0.0, 1.0), st.sampled_from([300.0, 3600.0]))
def test_nothing_is_lost(steps, capacity_kwh, full, step_s) -> None:
    battery = Battery(SPEC, capacity_kwh * KWH)
    start = battery.holding(full * battery.capacity_j, 5.0)
    store = start
    approx = {"rel": 1e-9, "abs": 1e-3}
    for step, found in zip(steps, one_by_one(steps, battery, start, step_s), strict=True):
        farm_j = step[3] + step[4]
        drawn = found.matched_j + found.discharged_j + found.grid_j
        assert drawn == pytest.approx(found.load_j, **approx)
        assert found.matched_j + found.charged_j + found.curtailed_j == pytest.approx(
            farm_j, **approx
        )
        assert -1e-3 <= found.content_j <= battery.capacity_j + 1e-3
        assert min(getattr(found, field.name) for field in fields(found)) >= -1e-3
        charged_g = found.charged_j * (step[3] * 55.0 + step[4] * 12.0) / max(farm_j, 1e-9) / KWH
        assert store.content_g + charged_g == pytest.approx(
            found.stored_g + found.content_g, **approx
        )
        store = Store(found.content_j, found.content_g)


@given(STEPS, st.sampled_from([0.0, 20.0, 200.0, None]))
def test_arrays_give_the_same(steps, capacity_kwh) -> None:
    battery = None if capacity_kwh is None else Battery(SPEC, capacity_kwh * KWH)
    store = Store() if battery is None else battery.holding(0.25 * battery.capacity_j, 3.0)
    columns = [np.array(column) for column in zip(*steps, strict=True)]
    arrays = settle_steps(
        it_j=columns[0],
        pue=columns[1],
        intensity_g_per_kwh=columns[2],
        step_s=S_PER_HOUR,
        farms=[FarmEnergy(columns[3], 55.0), FarmEnergy(columns[4], 12.0)],
        battery=battery,
        store=store,
    )
    for i, found in enumerate(one_by_one(steps, battery, store, S_PER_HOUR)):
        for field in fields(found):
            expected = getattr(found, field.name)
            assert getattr(arrays, field.name)[i] == pytest.approx(expected, rel=1e-12, abs=1e-6)
        assert arrays.total_g[i] == pytest.approx(found.total_g, rel=1e-12, abs=1e-9)


@given(STEPS)
def test_matching_and_dispatch_say_the_same(steps) -> None:
    it_j, _, grid, sun, _ = (np.array(column) for column in zip(*steps, strict=True))
    seconds = np.full(len(it_j), S_PER_HOUR)
    keys = {
        "it_j": it_j,
        "pue": 1.0,
        "intensity_g_per_kwh": grid,
        "step_s": S_PER_HOUR,
        "farms": [FarmEnergy(sun, 41.0)],
    }
    alone = settle_steps(**keys)
    matching = match_steps(seconds, it_j / S_PER_HOUR, sun / S_PER_HOUR, grid, 41.0)
    assert alone.total_g.sum() == pytest.approx(matching.hourly_g, rel=1e-9)
    assert alone.matched_j.sum() == pytest.approx(matching.matched_j, rel=1e-9)
    run = dispatch(SPEC, 10 * KWH, S_PER_HOUR, it_j / S_PER_HOUR, sun / S_PER_HOUR)
    stored = settle_steps(**keys, battery=Battery(SPEC, 10 * KWH))
    assert stored.content_j == pytest.approx(run.content_j[1:], rel=1e-9, abs=1e-3)
    assert stored.discharged_j == pytest.approx(run.discharge_w * S_PER_HOUR, rel=1e-9, abs=1e-3)
    # What the battery serves, the grid does not.
    assert (stored.grid_j <= alone.grid_j + 1e-3).all()


def test_lengths_that_differ_are_named() -> None:
    with pytest.raises(ConfigError, match="intensity_g_per_kwh has 2 steps, it_j 3"):
        settle_steps(it_j=np.ones(3), pue=1.0, intensity_g_per_kwh=np.ones(2), step_s=S_PER_HOUR)
