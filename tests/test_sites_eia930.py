"""A site whose grid comes from files of form EIA-930, on the clock of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from carbon_kit import catalogue
from omegaconf import DictConfig, OmegaConf
from serving_kit import Outcome, simulate

from experiments.compose import compose
from models.errors import ConfigError, TraceError
from sim.carbon.ledger import Ledger
from sim.core.run import instantiate
from workloads.carbon.eia930 import AUTHORITY, PREFIX, TIME
from workloads.carbon.eia930_interchange import FLOW, NEIGHBOUR

#: Of coal and of wind in the factors of the shipped configuration, and the PUE.
COAL, WIND, PUE = 820.0, 11.0, 1.12
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes hours of generation: (coal, wind) from a time in UTC on, None: no row."""

    def write(start: str, hours: Sequence[tuple[Any, Any] | None], who: str = "CISO") -> Path:
        local = "Local Time at End of Hour"
        lines = [",".join([AUTHORITY, local, TIME, f"{PREFIX}Coal", f"{PREFIX}Wind"])]
        for i, row in enumerate(hours):
            end = datetime.fromisoformat(start) + timedelta(hours=i + 1)
            # Ten hours behind, with a clock that is put back: two stamps are the same.
            here = end - timedelta(hours=10 + (i > 0))
            if row is not None:
                times = [f"{time:%m/%d/%Y %I:%M:%S %p}" for time in (here, end)]
                lines.append(",".join([who, *times, *map(str, row)]))
        path = tmp_path / f"{who}.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@cache
def shipped() -> DictConfig:
    """The site as it is shipped, its file's path and such still missing."""
    return compose(["sites=eia930"])


def run(
    path: Path, starts: str, *, lasts_s: float = 9000.0, until_s: float | None = None, **more: Any
) -> Outcome:
    """A run that goes on for so long, with these settings of the site's file."""
    config = shipped().copy()
    for key, value in {"path": str(path), "authority": "CISO", "starts": starts, **more}.items():
        OmegaConf.update(config, f"sites.sites.home.intensity.{key}", value, force_add=True)
    return simulate(
        [(0.0, 1, 1), (lasts_s - 1.0, 1, 1)],
        sites=instantiate("sites", config.sites),
        observers=[Ledger(catalogue())],
        until_s=until_s,
    )


def mean(outcome: Outcome) -> float:
    return outcome.result.number("sites.home.intensity_g_per_kwh.mean")


@pytest.mark.parametrize("starts", ["2020-02-29T23:30", "2020-02-29T15:30-08:00"])
def test_hours_around_the_leap_day(write: Write, starts: str) -> None:
    """The run begins in the middle of the leap day's last hour, which is stamped with midnight."""
    path = write("2020-02-29T22:00", [(9, 1), (1, 0), (0, 1), (1, 1), (5, 0)])
    result = run(path, starts)
    rows = result.table("carbon")
    edges = sorted({row[key] for row in rows for key in ("start_s", "end_s")})
    assert edges == [0.0, 1800.0, 5400.0, 9000.0]
    grid = {0.0: COAL, 1800.0: WIND, 5400.0: (COAL + WIND) / 2}
    whole = (1800.0 * COAL + 3600.0 * (WIND + (COAL + WIND) / 2)) / 9000.0
    assert mean(result) == pytest.approx(whole, rel=1e-12)
    for row in rows:
        g = row["energy_j"] * PUE * grid[row["start_s"]] / 3.6e6
        assert row["operational_g"] == pytest.approx(g, rel=1e-12)


def test_a_clock_put_back_is_no_matter_in_utc(write: Write) -> None:
    """Two hours of one local stamp, and the day of a change of clocks in the file."""
    path = write("2020-11-01T07:00", [(1, 0), (0, 1), (1, 0), (0, 1)])
    result = run(path, "2020-11-01T08:00", lasts_s=7200.0)
    assert mean(result) == pytest.approx((COAL + WIND) / 2)


def test_a_missing_hour(write: Write) -> None:
    path = write("2020-01-01T00:00", [(1, 0), None, (0, 1), (0, 1)])
    with pytest.raises(TraceError, match=r"CISO.csv, line 3, column UTC Time.*odd.gaps=hold"):
        run(path, "2020-01-01")
    held = run(path, "2020-01-01", odd={"gaps": "hold"}, lasts_s=10800.0)
    assert mean(held) == pytest.approx((2 * COAL + WIND) / 3)


def test_an_hour_twice(write: Write) -> None:
    path = write("2020-01-01T00:00", [(1, 0), (0, 1), (0, 1)])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], lines[2].replace("0,1", "1,1"), lines[3]]) + "\n")
    with pytest.raises(TraceError, match=r"line 4, column UTC Time.* line 3 has it too"):
        run(path, "2020-01-01")
    first = run(path, "2020-01-01", odd={"duplicates": "first"}, lasts_s=7200.0)
    assert mean(first) == pytest.approx((COAL + WIND) / 2)


def test_negative_generation(write: Write) -> None:
    path = write("2020-01-01T00:00", [(1, -3), (0, 1), (0, 1)])
    with pytest.raises(TraceError, match=r"line 2, column .*Wind: '-3' is not at least 0"):
        run(path, "2020-01-01")
    zero = run(path, "2020-01-01", odd={"negative": "zero"}, lasts_s=3600.0)
    assert mean(zero) == pytest.approx(COAL)


def test_a_signal_that_ends(write: Write) -> None:
    """Before the end of the run that is asked for, which is known at once; while it still runs."""
    path = write("2020-01-01T00:00", [(1, 0), (0, 1)])
    with pytest.raises(TraceError, match=r"sites.home: CISO.csv: CISO ends at 7200 s .* 9000 s"):
        run(path, "2020-01-01", until_s=9000.0)
    with pytest.raises(TraceError, match=r"ends at 3600 s of the run, .* a longer signal"):
        run(path, "2020-01-01T01:00")
    with pytest.raises(TraceError, match="starts = 2020-01-01T02:00:00 lies outside the file"):
        run(path, "2020-01-01T02:00")


def test_imports_by_the_mix_of_the_exporter(write: Write, tmp_path: Path) -> None:
    """CISO makes as much from wind as comes from its neighbour's coal and from abroad."""
    path = write("2020-01-01T00:00", [(0, 2), (0, 2), (0, 2)])
    other = write("2020-01-01T00:00", [(7, 0), (7, 0), (7, 0)], "BPAT")
    path.write_text(path.read_text() + "\n".join(other.read_text().splitlines()[1:]) + "\n")
    exchange = tmp_path / "exchange.csv"
    hours = [f"01/01/2020 {hour}:00:00 AM" for hour in (1, 2, 3)]
    rows = [f"CISO,{who},{flow},{hour}" for who, flow in (("BPAT", -1), ("BCHA", -1))
            for hour in hours]  # fmt: skip
    exchange.write_text("\n".join([",".join([AUTHORITY, NEIGHBOUR, FLOW, TIME]), *rows]) + "\n")
    keys: dict[str, Any] = {"interchange": str(exchange), "elsewhere": {"BCHA": 24.0}}
    result = run(path, "2020-01-01", **keys)
    assert mean(result) == pytest.approx((2 * WIND + COAL + 24.0) / 4)
    with pytest.raises(TraceError, match=r"imports from BCHA, .* give its intensity"):
        run(path, "2020-01-01", **keys | {"elsewhere": {}})
    with pytest.raises(ConfigError, match=r"elsewhere: .* need interchange"):
        run(path, "2020-01-01", **keys | {"interchange": None})
