"""Accounts hour by hour over years: calendar and lives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.carbon.calendar import Calendar
from models.carbon.hourly import Deployment, hourly_accounts
from models.carbon.lifetime import Life, Stage, write_off
from models.carbon.units import S_PER_DAY, S_PER_HOUR
from models.errors import ConfigError

# ---- calendar ----


def test_leap_years() -> None:
    calendar = Calendar(2019, 3)
    assert calendar.hours == 8760 + 8784 + 8760
    assert calendar.by_year(np.ones(calendar.hours)) == {2019: 8760, 2020: 8784, 2021: 8760}
    assert list(np.bincount(calendar.year_of_hours())[2019:]) == [8760, 8784, 8760]
    assert Calendar(1900, 1).hours == 8760
    assert Calendar(2000, 1).hours == 8784


def test_quarters_begin_with_their_months() -> None:
    days = [s / S_PER_DAY for s in Calendar(2020, 2).months_s()]
    assert days == [0, 91, 182, 274, 366, 456, 547, 639]
    with pytest.raises(ConfigError, match="every = 5 months"):
        Calendar(2020, 1).months_s(5)


def test_a_year_repeated_has_the_29_of_february_where_there_is_one() -> None:
    day_of_year = np.repeat(np.arange(365.0), 24)
    found = Calendar(2023, 2).repeated(day_of_year).reshape(-1, 24)
    assert (found == found[:, :1]).all()
    # 28 February is day 58; 1 March, day 59, comes after it twice.
    assert list(found[365 + 57 : 365 + 62, 0]) == [57, 58, 58, 59, 60]
    back = Calendar(2023, 1).repeated(found[365:].ravel())
    assert (back == day_of_year).all()
    with pytest.raises(ConfigError, match="100 values are no year"):
        Calendar(2023, 1).repeated(np.zeros(100))
    with pytest.raises(ConfigError, match="24 values for 8760 hours"):
        Calendar(2023, 1).by_year(np.zeros(24))


# ---- lives ----


def test_a_constant_load_over_years_by_hand() -> None:
    """1 kW at PUE 1.25 on 400 g/kWh: 12 kg a day; a device of 1,461 days written off evenly."""
    calendar = Calendar(2021, 4)
    hours = calendar.hours
    found = hourly_accounts(
        it_w=np.full(hours, 1000.0),
        intensity_g_per_kwh=np.full(hours, 400.0),
        pue=1.25,
        devices=[Deployment(name="gpu", life=Life(1.461e6, 1461 * S_PER_DAY), from_s=0.0)],
    )
    operation = calendar.by_year(found.supply.total_g)
    assert operation == pytest.approx({y: 12e3 * (366 if y == 2024 else 365) for y in operation})
    making = calendar.by_year(found.embodied_g)
    assert making == pytest.approx({y: 1e3 * (366 if y == 2024 else 365) for y in making})
    assert found.early_g.sum() == 0.0
    assert found.by_device_g == pytest.approx({"gpu": 1.461e6})


def test_early_retirement_is_expensed_in_its_hour() -> None:
    life = Life(1000.0, 10 * S_PER_HOUR)
    zeros = np.zeros(12)
    found = hourly_accounts(
        it_w=zeros,
        intensity_g_per_kwh=zeros,
        devices=[
            Deployment(name="old", life=life, from_s=0.0, to_s=4.5 * S_PER_HOUR, count=2.0),
            Deployment(name="at an edge", life=life, from_s=0.0, to_s=6 * S_PER_HOUR),
            Deployment(name="carried on", life=life, from_s=0.0, to_s=6 * S_PER_HOUR, carries=True),
            Deployment(name="past", life=life, from_s=-20 * S_PER_HOUR, to_s=S_PER_HOUR),
        ],
    )
    assert list(found.early_g[[4, 6]]) == pytest.approx([1100.0, 400.0])
    assert found.early_g.sum() == pytest.approx(1500.0)
    assert found.embodied_g[4] == pytest.approx(100.0 + 100.0 + 100.0)
    assert found.by_device_g["old"] == pytest.approx(2000.0)
    assert found.by_device_g["at an edge"] == pytest.approx(1000.0)
    assert found.by_device_g["carried on"] == pytest.approx(600.0)
    assert found.by_device_g["past"] == 0.0


def test_impossible_deployments_are_named() -> None:
    with pytest.raises(ConfigError, match=r"deployment gpu: from_s = 2\.0 must be before"):
        Deployment(name="gpu", life=Life(1.0, 1.0), from_s=2.0, to_s=1.0)


HOURS = st.floats(0.1, 90.0)


@given(st.floats(0.0, 1e6), HOURS, HOURS, HOURS, HOURS, st.booleans())
def test_two_uses_of_a_device_cost_its_making(embodied, first, plan, second, plan2, carries):
    """However it is split, and as `write_off` says."""
    life = Life(embodied, plan * S_PER_HOUR)
    middle, end = first * S_PER_HOUR, (first + second) * S_PER_HOUR
    book = life.book_g(middle) if carries else 0.0
    uses = [
        Deployment(name="first", life=life, from_s=0.0, to_s=middle, carries=carries),
        Deployment(name="second", life=Life(book, plan2 * S_PER_HOUR), from_s=middle, to_s=end),
    ]
    zeros = np.zeros(200)
    found = hourly_accounts(it_w=zeros, intensity_g_per_kwh=zeros, devices=uses)
    assert found.total_g.sum() == pytest.approx(embodied, rel=1e-9, abs=1e-9)
    stages = write_off(
        embodied,
        [
            Stage(name="a", deployed_s=middle, planned_s=plan * S_PER_HOUR, carries=carries),
            Stage(name="b", deployed_s=end - middle, planned_s=plan2 * S_PER_HOUR),
        ],
    )
    approx = {"rel": 1e-9, "abs": 1e-6}
    assert found.early_g.sum() == pytest.approx(stages["early-retirement"], **approx)
    assert found.embodied_g.sum() == pytest.approx(stages["a"] + stages["b"], **approx)


@given(st.floats(0.0, 1e6), st.floats(0.1, 50.0), st.lists(st.floats(0.0, 200.0), max_size=5))
def test_books_of_many_ages_are_those_of_each(embodied, planned, ages) -> None:
    life = Life(embodied, planned)
    assert list(life.books_g(np.array(ages))) == [life.book_g(age) for age in ages]
