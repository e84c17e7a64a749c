"""Readers of carbon data: published formats, and a stated answer to everything odd."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from experiments.reproduce.papers.carbon.settings import part
from models.carbon.signal import StepSignal
from models.errors import ConfigError, TraceError
from workloads.carbon.codecarbon import (
    FILE,
    REGIONS,
    codecarbon_countries,
    codecarbon_regions,
)
from workloads.carbon.columns import read_column
from workloads.carbon.eia930 import AUTHORITY, PREFIX, TIME, read_eia930, read_generation
from workloads.carbon.eia930_interchange import (
    FLOW,
    NEIGHBOUR,
    read_eia930_with_imports,
    read_imports,
)
from workloads.carbon.electricity_maps import read_electricity_maps
from workloads.carbon.stamps import Stamps, day, weekday_and_hour
from workloads.carbon.steps import Oddities

DATA = os.environ.get("ORRERY_DATA")
measured = pytest.mark.skipif(not DATA, reason="ORRERY_DATA is not set")


@pytest.fixture
def csv(tmp_path):
    def write(*lines, name="ci.csv"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def hourly(count, start="2020-01-01", first=100.0):
    base = day(start)
    return [
        f"{np.datetime64(round(base) + 3600 * i, 's')},{first + i}".replace("T", " ")
        for i in range(count)
    ]


# ---- times ----


def test_zones_and_offsets() -> None:
    assert Stamps("UTC").seconds("1970-01-02") == 86_400.0
    assert Stamps("Europe/Berlin").seconds("2020-07-01 12:00") == day("2020-07-01T10:00")
    assert Stamps("Europe/Berlin").seconds("2020-07-01T12:00+00:00") == day("2020-07-01T12:00")
    assert Stamps("UTC").seconds("2020-07-01T12:00:00Z") == day("2020-07-01T12:00")
    assert Stamps("UTC").seconds("1 July") is None
    with pytest.raises(ConfigError, match="zone is 'Mars'"):
        Stamps("Mars")
    with pytest.raises(ConfigError, match="starts is 'soon'; it must be a date"):
        day("soon")
    assert weekday_and_hour(day("2020-02-29T13:30")) == (5, 13.5)
    assert weekday_and_hour(day("2020-07-01T23:00"), "Europe/London") == (3, 0.0)


def test_the_hour_that_daylight_saving_repeats_comes_twice() -> None:
    stamps = Stamps("Europe/London")
    texts = ["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"]
    found = [stamps.seconds(f"2020-10-25 {text}") for text in texts]
    assert np.diff(found) == pytest.approx(1800.0)
    assert Stamps("Europe/London").seconds("2020-03-29 01:30") is None


def test_local_files_over_a_whole_change_of_clocks(csv) -> None:
    path = csv(
        "t,v",
        "2020-10-25 00:00,1",
        "2020-10-25 01:00,2",
        "2020-10-25 01:00,3",
        "2020-10-25 02:00,4",
    )
    signal = read_column(path, zone="Europe/London")
    assert np.diff(signal.edges_s) == pytest.approx(3600.0)
    assert signal.values == pytest.approx([1, 2, 3, 4])
    with pytest.raises(TraceError, match=r"line 4, column t: .*01:00.* is not a new time"):
        read_column(path)
    skipped = csv("t,v", "2020-03-29 00:30,1", "2020-03-29 01:30,2")
    with pytest.raises(TraceError, match=r"line 3, column t: .* daylight saving skips"):
        read_column(skipped, zone="Europe/London")


def test_a_leap_year_has_its_day(csv) -> None:
    signal = read_column(csv("time,ci", *hourly(24 * 366)))
    assert signal.end_s == day("2021-01-01")
    february = signal.part(day("2020-02-01"), day("2020-03-01"))
    assert february.values.size == 24 * 29


# ---- columns ----


def test_two_columns_whatever_their_names(csv) -> None:
    signal = read_column(csv("Time,Carbon Intensity", *hourly(3)))
    assert signal.start_s == day("2020-01-01")
    assert signal.end_s == signal.start_s + 3 * 3600.0
    assert signal.values == pytest.approx([100, 101, 102])
    assert signal.name == "ci.csv: Carbon Intensity"
    three = csv("time,a,b", "2020-01-01,1,2", "2020-01-02,3,4")
    assert read_column(three, "b", "time").values == pytest.approx([2, 4])
    with pytest.raises(TraceError, match=r"line 1: has the columns time, a, b; value names"):
        read_column(three)
    with pytest.raises(TraceError, match="has no column c"):
        read_column(three, "c", "time")


def test_mixed_steps_weigh_by_time(csv) -> None:
    path = csv(
        "t,v",
        "2020-01-01 00:00,10",
        "2020-01-01 00:30,20",
        "2020-01-01 01:00,40",
        "2020-01-01 01:15,80",
        "2020-01-01 01:30,20",
    )
    signal = read_column(path)
    assert signal.mean(signal.start_s, signal.end_s) == pytest.approx(
        (10 * 2 + 20 * 2 + 40 + 80 + 20) / 7
    )
    halves = read_column(path, odd=Oddities(grid_s=1800.0))
    assert halves.values == pytest.approx([10, 20, 40, 20])


@pytest.mark.parametrize(
    ("rows", "where"),
    [
        (["2020-01-01,x"], r"line 2, column v: 'x' is not a number"),
        (["2020-01-01,nan"], r"line 2, column v: 'nan' is not a number"),
        (["2020-01-01,"], r"line 2, column v: '' is not a number"),
        (["2020-01-01,-1"], r"line 2, column v: '-1' is not at least 0"),
        (["later,1"], r"line 2, column t: 'later' is not a time"),
        (["2020-01-02,1", "2020-01-01,1"], r"line 3, column t: '2020-01-01' is not at or after"),
        (["2020-01-01,1", "2020-01-01,2"], r"line 3, column t: .* is not a new time: line 2"),
        (["2020-01-01,1,2"], r"line 2: has 3 columns"),
        (["2020-01-01,1"], r"holds 1 rows; a signal needs two"),
        ([], r"holds 0 rows"),
        (
            ["2020-01-01,1", "2020-01-02,1", "2020-01-03,1", "2020-01-09,1"],
            r"line 5, column t: '2020-01-09' is not within 86400 s of 2020-01-03 of line 4",
        ),
    ],
)
def test_errors_name_file_line_column_and_value(csv, rows, where) -> None:
    path = csv("t,v", *rows)
    with pytest.raises(TraceError, match=where) as caught:
        read_column(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("step_s", [3600.0, 1800.0])
def test_one_row_that_is_missing(csv, step_s) -> None:
    times = [
        np.datetime64("2020-01-01T00:00") + int(step_s) * i * np.timedelta64(1, "s")
        for i in range(6)
    ]
    rows = [f"{time},{i}" for i, time in enumerate(times)]
    assert read_column(csv("t,v", *rows)).values.size == 6
    with pytest.raises(TraceError, match=rf"line 5, .*within {step_s:g} s of .* of line 4"):
        read_column(csv("t,v", *rows[:3], *rows[4:]))


def test_of_two_steps_the_longer_is_a_gap(csv) -> None:
    """Three rows, an hour apart and two: a row may be missing, unless told."""
    rows = csv("t,v", "2020-01-01T00:00,1", "2020-01-01T01:00,2", "2020-01-01T03:00,3")
    said = r"line 4, .*not within 3600 s of .*; odd\.gaps=hold .*, odd\.longest_step_s=7200 allows"
    with pytest.raises(TraceError, match=said):
        read_column(rows)
    for odd in (Oddities(gaps="hold"), Oddities(longest_step_s=7200.0)):
        assert np.diff(read_column(rows, odd=odd).edges_s).tolist() == [3600.0, 7200.0, 3600.0]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            ["t;v", "2020-01-01;1,5"],
            r"line 1: 't;v' has semicolons between its columns; a CSV has c",
        ),
        (["t\tv", "2020-01-01\t1"], r"line 1: 't\\tv' has tabs between its columns"),
        (
            ["t,v", "2020-01-01,1", "31/01/2020 10:00,2"],
            r"line 3, column t: '31/01/2020 10:00' is not a time of ISO 8601, such as 2020-",
        ),
        (["t,z,v", "2020-01-01,x,1"], r"line 1: has the columns t, z, v; value names the one of v"),
    ],
)
def test_what_would_be_right(csv, lines, says) -> None:
    with pytest.raises(TraceError, match=says):
        read_column(csv(*lines))


def test_a_time_that_daylight_saving_skips_is_told_apart(csv) -> None:
    path = csv("t,v", "2020-03-29T00:30,1", "2020-03-29T01:30,2")
    with pytest.raises(
        TraceError, match=r"not a time of Europe/London, where daylight .*; see zone"
    ):
        read_column(path, zone="Europe/London")


def test_the_time_is_the_first_column(csv) -> None:
    path = csv("t,zone,v", "2020-01-01,x,1", "2020-01-02,x,2")
    assert read_column(path, "v").values.tolist() == [1.0, 2.0]
    swapped = csv("v,t", "1,2020-01-01", "2,2020-01-02", name="swapped.csv")
    assert read_column(swapped, "v").values.tolist() == [1.0, 2.0]
    assert read_column(swapped, time="t").values.tolist() == [1.0, 2.0]


def test_shorter_steps_are_no_gaps(csv) -> None:
    """A file that changes from half to quarter hours, as the one of Great Britain does."""
    rows = [f"2020-01-01T{m // 60:02}:{m % 60:02},1" for m in (0, 30, 60, 90, 120, 150, 165, 180)]
    assert np.diff(read_column(csv("t,v", *rows)).edges_s)[-2:].tolist() == [900.0, 1800.0]


def test_what_may_be_done_about_oddities(csv) -> None:
    gap = csv("t,v", "2020-01-01,1", "2020-01-02,2", "2020-01-03,3", "2020-01-09,4", name="g.csv")
    held = read_column(gap, odd=Oddities(gaps="hold"))
    assert held.at(day("2020-01-08")) == 3.0
    wide = read_column(gap, odd=Oddities(longest_step_s=7 * 86_400.0))
    assert np.array_equal(wide.values, held.values)
    twice = csv("t,v", "2020-01-01,1", "2020-01-01,2", "2020-01-01,6", "2020-01-02,5")
    assert read_column(twice, odd=Oddities(duplicates="first")).values == pytest.approx([1, 5])
    assert read_column(twice, odd=Oddities(duplicates="mean")).values == pytest.approx([3, 5])
    below = csv("t,v", "2020-01-01,-7", "2020-01-02,5")
    assert read_column(below, odd=Oddities(negative="zero")).values == pytest.approx([0, 5])
    assert read_column(below, odd=Oddities(negative="keep")).values == pytest.approx([-7, 5])
    with pytest.raises(ConfigError, match="gaps is 'fill'"):
        Oddities(gaps="fill")
    with pytest.raises(ConfigError, match="grid_s"):
        Oddities(grid_s=0.0)
    with pytest.raises(TraceError, match="cannot be read"):
        read_column(Path("nowhere.csv"))


# ---- Electricity Maps ----


def test_electricity_maps_by_factors(csv) -> None:
    path = csv(
        "Datetime (UTC),Country,Carbon Intensity gCO₂eq/kWh (direct),"
        "Carbon Intensity gCO₂eq/kWh (LCA)",
        "2022-01-01 00:00:00,US,200,270",
        "2022-01-01 01:00:00,US,210,280",
    )
    assert read_electricity_maps(path).values == pytest.approx([270, 280])
    assert read_electricity_maps(path, "direct").values == pytest.approx([200, 210])
    with pytest.raises(ConfigError, match="factors is 'both'"):
        read_electricity_maps(path, "both")
    with pytest.raises(TraceError, match="has no column for time"):
        read_electricity_maps(csv("a,b", "1,2", name="other.csv"))


# ---- EIA-930 ----


def eia_file(csv, rows, sources=("Coal", "Wind", "Solar")):
    names = [AUTHORITY, "Demand (MW)", TIME, *(PREFIX + source for source in sources)]
    return csv(",".join(names), *rows)


def test_generation_by_source_at_the_hour_before_its_stamp(csv) -> None:
    path = eia_file(
        csv,
        [
            'CISO,5,01/01/2022 1:00:00 AM,"1,000",3000,',
            "PJM,5,01/01/2022 1:00:00 AM,7,7,7",
            "CISO,5,01/01/2022 2:00:00 AM,0,50,",
        ],
    )
    found = read_generation(path, "CISO")
    assert set(found) == {"coal", "wind"}
    assert found["coal"].start_s == day("2022-01-01")
    assert found["coal"].values == pytest.approx([1000, 0])
    factors = part("carbon/factors/supply_act")
    signal = read_eia930(path, "CISO", factors)
    assert signal.values == pytest.approx([(820 + 33) / 4, 11.0])
    assert signal.name == "ci.csv: CISO"
    with pytest.raises(TraceError, match="no row of the balancing authority 'BPAT'"):
        read_generation(path, "BPAT")


def test_adjusted_columns_count_sources_add_up_and_storages_do_not(csv) -> None:
    sources = (
        "Wind without Integrated Battery Storage",
        "Wind with Integrated Battery Storage",
        "Battery Storage",
        "Coal",
        "Coal (Imputed)",
        "Coal (Adjusted)",
    )
    rows = [f"CISO,5,01/01/2022 {hour}:00:00 AM,1,2,9,,4,4" for hour in (1, 2)]
    found = read_generation(eia_file(csv, rows, sources), "CISO")
    assert {name: signal.values[0] for name, signal in found.items()} == {"wind": 3.0, "coal": 4.0}
    both = eia_file(csv, ["CISO,5,01/01/2022 1:00:00 AM,1,2"], ("Wind", sources[0]))
    with pytest.raises(TraceError, match=r"from 'Wind' and from 'Wind without .* count twice"):
        read_generation(both, "CISO")
    strange = eia_file(csv, ["CISO,5,01/01/2022 1:00:00 AM,1"], ("Fusion",))
    with pytest.raises(TraceError, match="generation from 'Fusion' is of no known source"):
        read_generation(strange, "CISO")


def test_errors_of_generation(csv) -> None:
    night = eia_file(
        csv, ["CISO,5,01/01/2022 1:00:00 AM,1,2,-3", "CISO,5,01/01/2022 2:00:00 AM,1,2,3"]
    )
    with pytest.raises(TraceError, match=r"line 2, column .*Solar: '-3' is not at least 0"):
        read_generation(night, "CISO")
    assert read_generation(night, "CISO", odd=Oddities(negative="zero"))["solar"].values[0] == 0.0
    hole = eia_file(
        csv, ["CISO,5,01/01/2022 1:00:00 AM,1,2,", "CISO,5,01/01/2022 2:00:00 AM,1,2,3"]
    )
    with pytest.raises(TraceError, match=r"line 2, column .*Solar: '' is not a number"):
        read_generation(hole, "CISO")
    missing = eia_file(csv, [f"CISO,5,01/01/2022 {h}:00:00 AM,1,2,3" for h in (1, 2, 3, 5)])
    with pytest.raises(TraceError, match=r"line 5, .*'01/01/2022 5:00:00 AM' is not within 3600 s"):
        read_generation(missing, "CISO")
    with pytest.raises(TraceError, match="has no column Balancing Authority"):
        read_generation(csv("a,b", "1,2"), "CISO")


def exchange_file(csv, *rows):
    names = [AUTHORITY, "Data Date", NEIGHBOUR, FLOW, TIME]
    return csv(",".join(names), *rows, name="exchange.csv")


def test_imports_come_with_the_mix_of_the_exporter(csv) -> None:
    """CISO makes 100 MW of solar; it exports 40 MW to BPAT in the first hour, has 300 MW of its
    hydro in the second, and 100 MW of PJM's coal in both."""
    hours = ("1:00:00 AM", "2:00:00 AM")
    sources = ("Solar", "Hydropower and Pumped Storage", "Coal")
    balance = csv(
        ",".join([AUTHORITY, TIME, *(PREFIX + source for source in sources)]),
        *[f"CISO,01/01/2022 {hour},100,," for hour in hours],
        *[f"BPAT,01/01/2022 {hour},,70," for hour in hours],
    )
    exchange = exchange_file(
        csv,
        f"CISO,x,BPAT,40,01/01/2022 {hours[0]}",
        f"CISO,x,PJM,-100,01/01/2022 {hours[0]}",
        f'CISO,x,BPAT,"-300",01/01/2022 {hours[1]}',
        f"CISO,x,PJM,-100,01/01/2022 {hours[1]}",
        f"BPAT,x,CISO,300,01/01/2022 {hours[1]}",
        f"CISO,x,BANC,7,01/01/2022 {hours[0]}",
        f"CISO,x,BANC,7,01/01/2022 {hours[1]}",
    )
    found = read_imports(exchange, "CISO")
    assert {name: list(flow.values) for name, flow in found.items()} == {
        "BPAT": [0.0, 300.0],
        "PJM": [100.0, 100.0],
    }
    factors = part("carbon/factors/supply_act")
    abroad = StepSignal.regular(day("2022-01-01"), 3600.0, [820.0, 800.0], "PJM")
    signal = read_eia930_with_imports(balance, exchange, "CISO", factors, elsewhere={"PJM": abroad})
    assert signal.values == pytest.approx(
        [(100 * 41 + 100 * 820) / 200, (100 * 41 + 300 * 24 + 100 * 800) / 500]
    )
    with pytest.raises(TraceError, match=r"CISO imports from PJM, .* give its intensity"):
        read_eia930_with_imports(balance, exchange, "CISO", factors)
    with pytest.raises(TraceError, match="no row of the balancing authority 'NYIS'"):
        read_imports(exchange, "NYIS")
    with pytest.raises(TraceError, match=r"line 2, column Interchange .*'' is not a number"):
        read_imports(exchange_file(csv, "CISO,x,PJM,,01/01/2022 1:00:00 AM"), "CISO")
    with pytest.raises(TraceError, match=r"has no column Interchange \(MW\)"):
        read_imports(csv(f"{AUTHORITY},{NEIGHBOUR}", "CISO,PJM"), "CISO")


# ---- codecarbon ----


def test_countries_of_codecarbon(tmp_path) -> None:
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"FRA": {"carbon_intensity": 56.0}, "XYZ": {"carbon_intensity": None}})
    )
    table = codecarbon_countries(tmp_path)
    assert table["FRA"] == 56.0
    with pytest.raises(ConfigError, match="no 'XYZ'"):
        table["XYZ"]
    path.write_text("[]")
    with pytest.raises(TraceError, match="no table of countries"):
        codecarbon_countries(tmp_path)
    path.unlink()
    with pytest.raises(TraceError, match="cannot be read"):
        codecarbon_countries(tmp_path)


def test_regions_of_codecarbon(tmp_path) -> None:
    files = {
        "usa": {
            "_unit": {"emissions": "lbs/MWh"},
            "california": {"emissions": 1000.0, "regionCode": "CA"},
        },
        "nordic": {"data": {"SE1": {"emission_factor": 25.9, "unit": "gCO2eq/kWh"}}},
        "china": {"data": {"CN-BJ": {"emission_factor": 1.0, "unit": "kg/kWh"}}},
    }
    for country, content in files.items():
        path = tmp_path / FILE.parent / REGIONS[country][0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    # A pound is 453.59237 g by definition.
    assert codecarbon_regions("usa", tmp_path).values == {"CA": pytest.approx(453.59237)}
    assert codecarbon_regions("nordic", tmp_path)["SE1"] == 25.9
    with pytest.raises(TraceError, match=r"its unit is not gCO2/kWh"):
        codecarbon_regions("china", tmp_path)
    with pytest.raises(ConfigError, match="no regions of 'mars'; there are usa, china, nordic"):
        codecarbon_regions("mars", tmp_path)
    with pytest.raises(TraceError, match="cannot be read"):
        codecarbon_regions("usa", tmp_path / "empty")


def test_codecarbon_as_it_is_installed() -> None:
    """Where the extra is installed: its tables are as they were read, regions lie about their
    country, and clean and dirty ones are told apart."""
    if find_spec("codecarbon") is None:
        pytest.skip("the extra `carbon` is not installed")
    countries = codecarbon_countries()
    assert countries["FRA"] < 100.0 < countries["USA"] < countries["POL"]
    states = codecarbon_regions("usa")
    assert len(states.values) >= 50
    assert states["VT"] < 50.0 < states["CA"] < countries["USA"] < states["WV"]
    assert codecarbon_regions("nordic")["SE1"] < 50.0
    assert 300.0 < codecarbon_regions("china")["CN-BJ"] < 900.0


def test_without_codecarbon_the_error_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr("workloads.carbon.codecarbon.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'orrery-sim\[carbon\]'"):
        codecarbon_countries()


# ---- measured ----


@measured
def test_great_britain_as_it_stands() -> None:
    path = Path(DATA) / "carbon_gb_2020.csv"
    whole = read_column(path)
    assert whole.values.size == 21_980
    year = (day("2020-01-01"), day("2021-01-01"))
    halves = read_column(path, odd=Oddities(grid_s=1800.0)).part(*year)
    assert halves.values.size == 17_568
    assert halves.values.mean() == pytest.approx(212.94, abs=0.005)
    assert halves.values.std() == pytest.approx(65.3, abs=0.05)
    assert whole.mean(*year) == pytest.approx(212.93, abs=0.005)


@measured
def test_california_as_it_stands() -> None:
    path = Path(DATA) / "carbon_us_cal_ciso_2022.csv"
    signal = read_electricity_maps(path)
    assert signal.values.size == 8760
    assert signal.values.mean() == pytest.approx(261.3, abs=0.05)
    assert signal.values.std() == pytest.approx(76.5, abs=0.05)
    assert read_electricity_maps(path, "direct").values.mean() == pytest.approx(194.6, abs=0.05)


def test_a_first_row_is_not_taken_for_the_names_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("2024-03-01T00:00:00,100\n2024-03-01T01:00:00,200\n2024-03-01T02:00:00,300\n")
    with pytest.raises(TraceError, match=r"bare.csv, line 1: holds a row .*must name the columns"):
        read_column(path)
