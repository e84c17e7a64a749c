"""Signals on the clock of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.compose import compose
from models.carbon.factors import FactorTable
from models.carbon.signal import StepSignal
from models.carbon.synthetic import PeakAndTrough, SyntheticIntensity
from models.errors import ConfigError, TraceError
from sim.core.result import Result
from sim.core.run import run
from workloads.carbon import sources
from workloads.carbon.sources import Constant, FromFile, MadeUp, OfPlace
from workloads.carbon.stamps import day

RNG = np.random.default_rng(0)
HOURS = "time,g\n2024-02-28T23:00:00,1\n2024-02-29T00:00:00,2\n2024-02-29T01:00:00,3\n"
HOME = "sites.sites.home"
WARM = [f"carbon/pue@{HOME}.pue=temperature"]
TABLE = FactorTable(name="t", unit="g/kWh", values={"here": 7.0}, source={"values": "made up"})


def made_up(**changes: Any) -> MadeUp:
    day = PeakAndTrough(name="day", amplitude=0.5, peak_hour=18.0, trough_hour=6.0)
    keys = ("mean_g_per_kwh", "day", "weekend_drop", "noise_sd", "noise_hourly", "floor")
    intensity = SyntheticIntensity(
        name="made up",
        mean_g_per_kwh=100.0,
        day=day,
        weekend_drop=0.0,
        noise_sd=0.0,
        noise_hourly=0.0,
        floor=0.0,
        source=dict.fromkeys(keys, "made up"),
    )
    return MadeUp(intensity, **{"days": 7, "step_s": 3600.0} | changes)


def test_constant_lasts() -> None:
    signal = Constant(5.0).on_clock(RNG)
    assert signal.at(0.0) == signal.at(1e12) == 5.0
    with pytest.raises(ConfigError, match="must be a finite number"):
        Constant(float("nan"))


def test_made_up_begins_at_its_hour() -> None:
    whole = made_up().on_clock(np.random.default_rng(0))
    later = made_up(from_hour=6.0).on_clock(np.random.default_rng(0))
    assert later.at(0.0) == whole.at(6 * 3600.0)
    assert later.end_s == whole.end_s - 6 * 3600.0
    for changes, says in (
        ({"days": 0}, "days is 0"),
        ({"step_s": -1.0}, "step_s is -1"),
        ({"first_weekday": 7}, "first_weekday is 7"),
        ({"from_hour": 168.0}, "from_hour is 168.0"),
    ):
        with pytest.raises(ConfigError, match=says):
            made_up(**changes)


def test_a_file_begins_at_its_date(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text(HOURS)

    def signal(**changes: Any) -> StepSignal:
        settings = {"path": str(path), "starts": "2024-02-29"} | changes
        return FromFile(**settings).on_clock(RNG)

    assert [signal().at(t) for t in (-1.0, 0.0, 3599.0, 3600.0)] == [1.0, 2.0, 2.0, 3.0]
    assert signal().end_s == 7200.0
    assert signal(scale=10.0).at(0.0) == 20.0
    # Midnight in Paris is 23:00 in Greenwich, for the file's times and for the start alike.
    assert signal(zone="Europe/Paris").at(0.0) == 2.0
    assert signal(starts="2024-02-28T23:30:00").at(0.0) == 1.0
    with pytest.raises(TraceError, match=r"starts = 2024-03-01T00:00:00 lies outside .*02-28T23"):
        signal(starts="2024-03-01")
    with pytest.raises(ConfigError, match="starts is 'yesterday'; it must be a date"):
        signal(starts="yesterday")
    with pytest.raises(ConfigError, match="layout is 'xml'"):
        signal(layout="xml")
    path.write_text(HOURS + "2024-02-29T09:00:00,4\n")
    with pytest.raises(TraceError, match=r"grid.csv, line 5, .*gaps=hold"):
        signal()


def test_a_place_has_its_factor() -> None:
    assert OfPlace("here", TABLE).on_clock(RNG).at(1e6) == 7.0
    with pytest.raises(ConfigError, match="no 'there'; there are here"):
        OfPlace("there", TABLE).on_clock(RNG)


def test_a_place_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Countries, or the regions of one, never the table beside it."""
    tables = {"countries": 8.0, "usa": 9.0}
    own = {name: replace(TABLE, values={"here": value}) for name, value in tables.items()}
    monkeypatch.setattr(sources, "codecarbon_countries", lambda: own["countries"])
    monkeypatch.setattr(sources, "codecarbon_regions", own.__getitem__)
    for library, value in ((True, 8.0), ("usa", 9.0), (False, 7.0)):
        assert OfPlace("here", TABLE, library).on_clock(RNG).at(0.0) == value
    words = ["sites=place", "sites.sites.home.intensity.library=mars"]
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"no regions of 'mars'; there are usa, china, nordic"):
        run(compose([*words, "workload.count=1"]))


def test_sites_of_configs_run(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("time,g\n2024-01-01T00:00:00,100\n2024-01-01T01:00:00,200\n")
    where = "sites.sites.home.intensity"
    at = ["sites=from_file", f"{where}.path={path}", f"{where}.starts=2024-01-01T00:59:50"]
    result = run(compose(["workload.count=40", *at]))
    mean = result.number("sites.home.intensity_g_per_kwh.mean")
    lasted_s = result.number("simulated_s")
    assert mean == pytest.approx((10.0 * 100.0 + (lasted_s - 10.0) * 200.0) / lasted_s)
    path.write_text("time,g\n2024-01-01T00:00:00,1\n2024-01-01T01:00:00,2\n2024-01-01T09:00:00,3\n")
    with pytest.raises(
        TraceError, match=r"line 4.*; sites\.sites\.home\.intensity\.odd\.gaps=hold"
    ):
        run(compose(["workload.count=5", *at]))
    held = run(compose(["workload.count=5", *at, f"{where}.odd.gaps=hold"]))
    assert held["sites.home.intensity_g_per_kwh.mean"] == pytest.approx(1.0, abs=1.0)
    place = run(compose(["workload.count=5", "sites=place", f"{where}.place=iceland"]))
    assert place["sites.home.intensity_g_per_kwh.mean"] == pytest.approx(7.3)
    none = run(compose(["workload.count=5", "carbon=none"]))
    assert "carbon_g" not in none.summary
    assert place["energy_j"] == none["energy_j"]
    assert set(place.tables) == {"carbon", "carbon_attribution", "requests", "series"}
    assert set(none.tables) == {"requests", "series"}


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["power_cap=abc"], "^power_cap is 'abc'; it must be a number"),
        (["power_cap=[0.7]"], r"power_cap is \[0\.7\]; it must be a number"),
        (["power_cap=true"], "power_cap is True; it must be a number"),
        (["carbon.age_years=abc"], "^carbon.age_years is 'abc'"),
        (["carbon.embodied.drives_tb=abc"], "carbon.embodied.drives_tb is 'abc'"),
        (["carbon.requests=maybe"], "carbon.requests is 'maybe'; it must be true or false"),
        (
            [
                "sites=from_file",
                f"{HOME}.intensity.path=a.csv",
                f"{HOME}.intensity.starts=1/6/2020",
            ],
            r"^sites.sites.home.intensity.starts is '1/6/2020'; it must be a date",
        ),
        (["sites=constant", f"{HOME}.intensity.value=null"], "home.intensity.value is None"),
        ([f"{HOME}.pue.value=.inf"], "home.pue.value is '.inf'"),
        (
            [f"+{HOME}.outside={{_target_: workloads.carbon.sources.Constant, value: 10.0}}"],
            "sites.home.outside: the site's pue looks at no temper",
        ),
        (
            [*WARM, f"+{HOME}.outside.value=10"],
            r"home.outside is {'value': 10}; it must have a _ta",
        ),
        (
            ["sites=from_file", f"{HOME}.intensity.path=x.csv", f"{HOME}.intensity.starts=2020"],
            "starts is 2020; it must be a date",
        ),
    ],
)
def test_settings_of_another_kind_are_named(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run(compose(["workload.count=1", *overrides]))


def test_keys_that_a_layout_does_not_look_at() -> None:
    maps = {"path": "x.csv", "starts": "2020-01-01", "layout": "electricity_maps"}
    for given in ({"value": "direct"}, {"time": "t"}):
        with pytest.raises(ConfigError, match="which layout=electricity_maps does not look at"):
            FromFile(**maps, **given)
    with pytest.raises(ConfigError, match="factors is 'direct', which layout=column does not"):
        FromFile("x.csv", "2020-01-01", factors="direct")


def test_two_files_begin_at_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("time,g\n2024-01-01T00:00:00,100\n2024-01-01T01:00:00,200\n")

    def settings(east: str) -> list[str]:
        grids = [f"sites.sites.{name}.intensity" for name in ("west", "east")]
        starts = ("2024-01-01T00:30", east)
        return [
            "sites=two_files",
            "cluster=two_regions",
            *[f"{grid}.path={path}" for grid in grids],
            *[f"{grid}.starts={start}" for grid, start in zip(grids, starts, strict=True)],
            f"{grids[1]}.zone=Europe/Paris",
        ]

    with pytest.raises(ConfigError, match=r"one moment, not at sites.west.intensity 2024-01-01T0"):
        run(compose(["workload.count=1", *settings("2024-01-01T00:30")]))
    clocks = [
        FromFile(str(path), start, zone=zone).clock
        for start, zone in (("2024-01-01T00:30", "UTC"), ("2024-01-01T01:30", "Europe/Paris"))
    ]
    assert [(clock.hour, clock.date_s) for clock in clocks if clock is not None] == [
        (0.5, day("2024-01-01T00:30")),
        (1.5, day("2024-01-01T00:30")),
    ]


def test_the_example_of_farms_and_a_battery() -> None:
    """Calm days of jobs: what farm and battery serve the grid does not, and a larger farm more."""
    words = ["experiment=carbon_jobs", "carbon=ledger", "sites=farms", "jobs.count=6"]
    words += ["jobs.days=1", "jobs.most_hours=12", "seed=2"]

    def farmed(times: float, *more: str) -> Result:
        config = compose([*words, *more])
        config.sites.sites.home.farms[0].rated_w *= times
        return run(config)

    found = farmed(2.0)
    assert 0.0 < found.number("sites.home.coverage") < 1.0
    assert found.number("sites.home.battery.discharged_j") > 0.0
    assert found.number("carbon.operational_g") < found.number("sites.home.location_g")
    assert farmed(4.0).number("sites.home.coverage") > found.number("sites.home.coverage")
    by_minute = farmed(2.0, "sites.sites.home.netting_s=60")
    assert by_minute.number("sites.home.coverage") <= found.number("sites.home.coverage")
    assert by_minute.table("carbon").end_s.nunique() > found.table("carbon").end_s.nunique()


def test_an_outside_temperature_as_the_readme_gives_it() -> None:
    outside = "{_target_: workloads.carbon.sources.Constant, value: 30.0}"
    words = ["workload.count=5", "carbon/pue@sites.sites.home.pue=temperature"]
    found = run(compose([*words, f"+sites.sites.home.outside={outside}"]))
    pue = found.number("sites.home.energy_j") / found.number("sites.home.it_energy_j")
    assert pue == pytest.approx(1.08 + 0.006 * 12.0)
