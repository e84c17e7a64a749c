"""Batch jobs: the two scenarios, the plain format, and the shipped configurations."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from jobs_kit import HOUR, scaling
from omegaconf import OmegaConf

from experiments.cli import main
from experiments.compose import compose
from models.errors import ConfigError, TraceError
from sim.core.run import run
from workloads.job_demand import JobDemand
from workloads.job_table import JobTable
from workloads.jobs import RULES, Nightly, Workdays

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
DAY = 24 * HOUR


def listed(workload: Any, seed: int = 0) -> list[JobDemand]:
    return list(workload.jobs(np.random.default_rng(seed)))


# ---- scenarios ----


def test_a_job_each_night() -> None:
    jobs = listed(Nightly(scaling(), 3, reach_hours=2.0))
    # Of the first day's night the reach would begin before the run.
    assert [job.arrival_s for job in jobs] == [23 * HOUR, 23 * HOUR + DAY, 23 * HOUR + 2 * DAY]
    for job in jobs:
        assert job.deadline_s - job.arrival_s == 4 * HOUR + 1800.0
        assert (job.work_s, len(job.levels)) == (1800.0, 1)
    assert listed(Nightly(scaling(), 1, reach_hours=0.0, first_night=0))[0].arrival_s == HOUR


@pytest.mark.parametrize("end", RULES)
def test_jobs_of_workdays(end: str) -> None:
    workload = Workdays(scaling(), 3387, 366, end, first_weekday=2, most_gpus=4)
    jobs = listed(workload)
    assert len(jobs) == 3387
    assert jobs == listed(workload) != listed(workload, 1)
    for job in jobs:
        day, hour = divmod(job.arrival_s / HOUR, 24)
        assert (day + 2) % 7 < 5
        assert 9.0 <= hour <= 17.0
        assert 4.0 <= job.work_s / HOUR <= 90.0
        assert job.deadline_s >= job.arrival_s + job.work_s
        assert [level.gpus for level in job.levels] == [1, 2, 3, 4]
        due, at = divmod(job.deadline_s / HOUR, 24)
        if end == "Monday or Thursday":
            assert (due + 2) % 7 in (0, 3)
            assert at == 9.0
    arrivals = [job.arrival_s for job in jobs]
    assert arrivals == sorted(arrivals)
    assert np.mean([job.work_s for job in jobs]) / HOUR == pytest.approx(47.0, rel=0.02)
    # As many on one workday as on another.
    by_day = np.bincount([int(job.arrival_s // DAY) for job in jobs])
    assert by_day[by_day > 0].std() == pytest.approx(np.sqrt(3387 / 262), rel=0.15)


def test_jobs_are_drawn_as_they_come() -> None:
    many = Workdays(scaling(), 10**9, 10**6)
    assert len(list(islice(many.jobs(np.random.default_rng(0)), 3))) == 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Nightly(scaling(), 0), "nights is 0"),
        (lambda: Nightly(scaling(), 1, first_night=0), "first_night is 0: 8.0 h before 1.0"),
        (lambda: Nightly(scaling(), 1, hour=25.0), "hour is 25.0"),
        (lambda: Nightly(scaling(), 1, work_s=0.0), "work_s is 0.0"),
        (lambda: Workdays(scaling(), 5, 7, "tomorrow"), "end is 'tomorrow'; it is one of next"),
        (lambda: Workdays(scaling(), 5, 7, least_hours=9.0, most_hours=5.0), "least_hours is 9.0"),
        (lambda: Workdays(scaling(), 5, 7, least_hours=0.3), "least_hours in half hours is 0.6"),
        (lambda: Workdays(scaling(), 5, 2, first_weekday=5), "no workday is among them"),
        (lambda: Workdays(scaling(), 5, 2, first_weekday=7), "first_weekday is 7"),
        (lambda: Workdays(scaling(), 5, 7, least_gpus=4, most_gpus=2), "1 <= least <= most"),
        (lambda: JobTable("jobs.txt", scaling()), "suffix must be one of .csv, .jsonl"),
    ],
)
def test_settings_that_cannot_be(make: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


# ---- the plain format ----

ROWS = [
    {"arrival_s": 0, "work_s": 3600, "deadline_s": 7200},
    {"arrival_s": 60.5, "work_s": 10, "deadline_s": 100},
]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_both_formats_say_the_same(tmp_path: Path, suffix: str) -> None:
    rows = [row | {"least_gpus": 2, "most_gpus": 3, "kind": "batch"} for row in ROWS]
    jobs = listed(JobTable(written(tmp_path / f"jobs{suffix}", rows), scaling()))
    assert [job[:3] for job in jobs] == [(0.0, 3600.0, 7200.0), (60.5, 10.0, 100.0)]
    assert [level.gpus for level in jobs[0].levels] == [2, 3]
    assert jobs[0].levels[1].work_per_s == 1.5
    assert jobs[0].kind == "batch"
    plain = listed(JobTable(written(tmp_path / f"plain{suffix}", ROWS), scaling(), limit=1))
    assert len(plain) == 1
    assert plain[0].levels == scaling().levels(1, 1)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"arrival_s": -1}, "line 3, column arrival_s: -1.* is not a time in seconds"),
        ({"arrival_s": "soon"}, "line 3, column arrival_s: 'soon' is not a time"),
        ({"work_s": 0}, "line 3, column work_s: 0.0 is not above 0"),
        ({"work_s": "nan"}, "line 3, column work_s: .*nan.* is not a time"),
        ({"deadline_s": 60}, "line 3, column deadline_s: 60.0 is not after the arrival at 60.5 s"),
        ({"least_gpus": 0}, "line 3, column least_gpus: 0 is not a whole number of at least 1"),
        ({"least_gpus": 3}, "line 3, column most_gpus: 2 is not a whole number of at least 3"),
        ({"most_gpus": 1.5}, "line 3, column most_gpus: '?1.5'? is not a whole number"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, suffix: str, change: dict[str, Any], says: str
) -> None:
    full = [row | {"least_gpus": 1, "most_gpus": 2} for row in ROWS]
    path = written(tmp_path / f"jobs{suffix}", [full[0], full[1] | change])
    line = says if suffix == ".csv" else says.replace("line 3", "line 2")
    with pytest.raises(TraceError, match=line):
        listed(JobTable(path, scaling()))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    for text, says in (
        ("arrival_s,work_s\n", "has no column deadline_s"),
        ("arrival_s,work_s,deadline_s,colour\n", "has a column 'colour'"),
        ("arrival_s,work_s,deadline_s\n", "holds no job"),
        ("arrival_s,work_s,deadline_s\n5,1,9\n4,1,9\n", r"line 3, column arrival_s: 4.0 is not at"),
    ):
        path.write_text(text)
        with pytest.raises(TraceError, match=says):
            listed(JobTable(path, scaling()))
    lines = tmp_path / "jobs.jsonl"
    lines.write_text('{"arrival_s": 0, "work_s": 1}\n')
    with pytest.raises(TraceError, match=r"has no column deadline_s.*line 1"):
        listed(JobTable(lines, scaling()))
    with pytest.raises(TraceError, match="cannot be read"):
        listed(JobTable(tmp_path / "none.csv", scaling()))


# ---- configurations ----


@pytest.mark.parametrize("group", ["jobs", "scaling", "forecast", "cluster", "system"])
def test_every_file_says_what_it_is(group: str) -> None:
    for path in sorted((CONFIGS / group).glob("*.yaml")):
        assert path.read_text().startswith("# "), path


def test_every_number_has_a_source() -> None:
    files = [*(CONFIGS / "jobs").glob("*.yaml"), CONFIGS / "system" / "jobs.yaml"]
    for path in files:
        settings = OmegaConf.to_container(OmegaConf.load(path))
        source = settings.get("source", {})
        numbers = {key for key, value in settings.items() if type(value) in (int, float)}
        assert numbers <= set(source), path


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "jobs").glob("*.yaml")))
def test_every_workload_of_jobs_can_be_run(name: str, tmp_path: Path) -> None:
    words = ["experiment=carbon_jobs", f"jobs={name}", "cluster.nodes.node.count=1"]
    if name == "table":
        words.append(f"jobs.path={written(tmp_path / 'jobs.csv', ROWS)}")
    elif name == "nightly":
        words.append("jobs.nights=2")
    else:
        words += ["jobs.count=3", "jobs.days=2", "jobs.most_hours=6"]
    config = compose(words)
    assert set(config.jobs.get("source", {})) <= set(config.jobs)
    result = run(config)
    assert result["jobs.deadlines_missed"] == 0
    assert result.number("jobs.jobs_finished") in (2, 3)
    each = result.number("jobs.carbon_g") / result.number("jobs.jobs_finished")
    assert result["jobs.carbon_per_job_g"] == pytest.approx(each)


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "scaling").glob("*.yaml")))
def test_every_scaling_rises(name: str) -> None:
    words = ["experiment=carbon_jobs", f"scaling@jobs.scaling={name}"]
    levels = instantiate(compose(words).jobs.scaling).levels(1, 8)
    speeds = [level.work_per_s for level in levels]
    assert speeds == sorted(speeds)
    assert speeds[0] == 1.0
    if name == "data_parallel":
        assert speeds[-1] == pytest.approx(6.6, abs=0.05)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["jobs=workdays", "jobs.count=4", "jobs.days=2", "jobs.most_hours=8"]
    words = ["run", "experiment=carbon_jobs", *small, "timeline=jobs", "-o", str(tmp_path / "run")]
    assert main([*words, "shifting=carbon_scaler"]) == 0
    said = capsys.readouterr().out
    assert "4 of 4 jobs finished" in said
    assert "g of carbon per job" in said
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"jobs.parquet", "jobs_runs.parquet", "jobs_carbon_requests.parquet"} <= names
    assert {"timeline.json.gz", "report.html", "summary.json"} <= names
    assert main([*words, "shifting=carbon_explorer"]) == 2
    assert "moves a site's load, not single jobs" in capsys.readouterr().err


def test_beside_a_serving_system() -> None:
    """On one server: jobs find fewer GPUs free and requests notice nothing; every gram is
    somebody's."""
    jobs = ["experiment=carbon_jobs", "jobs.count=4", "jobs.days=2", "jobs.most_hours=8"]
    jobs.append("cluster.nodes.node.count=1")
    served = ["gpu=a100-80-sxm", "replicas=6", "workload.count=60", "series_interval_s=null"]
    both = run(compose([*jobs, "system@systems.serving=serving", *served]))
    alone = run(compose(["node=dgx-a100", *served]))
    assert both.table("requests").equals(alone.table("requests"))
    assert both["jobs.jobs_finished"] == 4
    assert both.table("jobs_runs")["gpus"].max() <= 2
    whole = sum(both.number(f"{name}.carbon_g") for name in ("jobs", "serving", "idle", "shared"))
    assert whole == pytest.approx(both.number("carbon_g"), rel=1e-9)


def test_the_same_run_twice(tmp_path: Path) -> None:
    words = ["experiment=carbon_jobs", "jobs.count=6", "jobs.days=3", "timeline=jobs"]
    noisy = [*words, "forecast@systems.jobs.forecast=noisy"]
    for name in ("one", "two"):
        run(compose(noisy), tmp_path / name)
    for file in ("summary.json", "timeline.json.gz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
