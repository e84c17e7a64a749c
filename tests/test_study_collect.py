"""The table of a sweep: rows, types, what is missing, files."""

import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from experiments.cli import main
from experiments.study.collect import collect, missing
from experiments.study.metrics import choose, headline
from experiments.study.sweep import sweep
from sim.core.errors import ConfigError
from sim.core.result import Result

LISTS = [
    "workload.count=20",
    "arrivals.rate_rps=2,2.5",
    "seed=0,1",
    "slo_ttft_s=null,1.0",
    "engine.over_context=reject",
    "+engine.source.why='a, b'",
]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "out"
    sweep(LISTS, folder, workers=0)
    return folder


@pytest.fixture
def out(swept, tmp_path, monkeypatch):
    """A copy of a finished sweep, in the folder that the test works in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copytree(swept, tmp_path / "out")
    return Path("out")


def test_a_row_a_member_with_typed_settings_and_every_metric(out):
    frame = collect(out)
    assert len(frame) == 8
    assert missing(out) == []
    assert frame["seed"].tolist() == [0, 0, 1, 1] * 2
    assert frame["seed"].dtype == "int64"
    assert frame["arrivals.rate_rps"].tolist() == [2.0] * 4 + [2.5] * 4
    assert frame["slo_ttft_s"].isna().tolist() == [True, False] * 4
    assert set(frame["engine.source.why"]) == {"a, b"}
    settings = frame.attrs["settings"]
    assert settings == [word.partition("=")[0].lstrip("+") for word in LISTS]
    for row in frame.to_dict("records"):
        summary = Result.read(out / row["member"]).summary
        for name, value in summary.items():
            assert row[name] == value
        assert pd.isna(row["serving.goodput_rps"]) == ("serving.goodput_rps" not in summary)


def test_files_read_back(out, capsys):
    assert main(["collect", "out", "--out", "t.csv", "--out", "t.parquet"]) == 0
    frame = collect(out)
    for read in (pd.read_parquet("t.parquet"), pd.read_csv("t.csv")):
        pd.testing.assert_frame_equal(read, frame, check_dtype=False)
    assert capsys.readouterr().out.splitlines()[-2:] == ["table: t.csv", "table: t.parquet"]


def test_the_table_shows_what_varies_and_the_metrics_asked_for(out, capsys):
    assert main(["collect", "out", "--metric", "ttft_s.p99", "serving.preemptions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("all with workload.count=20 ")
    assert lines[1].split() == [
        "arrivals.rate_rps",
        "seed",
        "slo_ttft_s",
        "serving.ttft_s.p99",
        "serving.preemptions",
    ]
    assert len(lines) == 2 + 8 + 2
    assert Path("out/sweep.parquet").is_file()
    assert main(["collect", "out"]) == 0
    assert "energy_j" in capsys.readouterr().out


def test_missing_members_are_named(out, capsys):
    gone = collect(out)["member"][3]
    shutil.rmtree(out / gone)
    (out / f".{gone}.1.partial").mkdir()
    (out / f".{gone}.1.partial" / "summary.json").write_text("{}")
    assert missing(out) == [gone]
    assert main(["collect", "out"]) == 1
    captured = capsys.readouterr()
    assert gone in captured.err
    assert "1 member of the sweep not finished" in captured.err
    assert len(pd.read_parquet("out/sweep.parquet")) == 7


def test_runs_of_other_settings_lie_in_the_same_table(out, capsys):
    assert main(["run", "workload.count=20", "seed=low", "--no-report", "-o", "x/bad"]) == 2
    assert main(["run", "workload.count=20", "replicas=2", "--no-report", "-o", "out/mine"]) == 0
    frame = collect(out).set_index("member")
    assert frame.index[-1] == "mine"
    assert frame.loc["mine", "replicas"] == 2
    assert frame["replicas"].isna().sum() == 8
    assert main(["collect", "out", "--out", "t.parquet"]) == 0


def test_a_column_of_mixed_values_becomes_text(out):
    sweep(["workload.count=20", "series_interval_s=5,null", "seed=0"], out, workers=0)
    overrides = next(out.glob("*series*5*/.hydra/overrides.yaml"))
    overrides.write_text("- seed=0\n- series_interval_s=often\n")
    sweep(["workload.count=20", "series_interval_s=5.5", "seed=0"], out, workers=0)
    values = collect(out)["series_interval_s"].dropna().tolist()
    assert sorted(values) == ["5.5", "often"]
    collect(out).to_parquet("t.parquet")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere: is not a folder"),
        (["."], "holds no finished run"),
        (["out", "--out", "t.xlsx"], "t.xlsx: a table is a .parquet or .csv file"),
        (["out", "--out", "nowhere/t.csv"], "nowhere/t.csv: cannot be written"),
        (["out", "--metric", "ttft"], "ttft: no such metric; near: serving.ttft_s.max"),
        (["out", "--metric", "p99"], "p99: is one of serving.e2e_latency_s.p99"),
    ],
)
def test_what_cannot_be_collected(out, capsys, words, said):
    before = sorted(Path().rglob("*"))
    assert main(["collect", *words]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sweep.yaml", "members: [1"),
        ("sweep.yaml", "42"),
        ("{}/summary.json", "{"),
        ("{}/.hydra/overrides.yaml", "a: [1"),
    ],
)
def test_broken_files_are_named(out, path, text):
    broken = out / path.format(collect(out)["member"][0])
    broken.write_text(text)
    with pytest.raises(ConfigError) as error:
        collect(out)
    assert str(error.value).startswith(f"{broken}: ")
    assert "\n" not in str(error.value)


def test_metrics_by_name():
    names = ["a.ttft_s.mean", "b.ttft_s.mean", "b.energy_j", "energy_j", "b.x"]
    assert headline(names) == ["a.ttft_s.mean", "b.ttft_s.mean", "energy_j"]
    assert headline(["b.x"]) == ["b.x"]
    assert choose(["energy_j", "x", "b.x"], names) == ["energy_j", "b.x"]
    with pytest.raises(ConfigError, match=r"is one of a\.ttft_s\.mean, b\.ttft_s\.mean"):
        choose(["ttft_s.mean"], names)


def test_of_packets_their_own_figures_are_shown(tmp_path, monkeypatch, capsys):
    """Plan, rate, drops, host cores and latency, with no word of what kind of run it is."""
    monkeypatch.chdir(tmp_path)
    words = ["experiment=cora", "until_s=0.002", "warm_up_s=0.0", "traffic.flows=1e4"]
    sweep([*words, "partition=cpu_only,cora_static"], "ways", workers=0)
    assert main(["collect", "ways"]) == 0
    printed = capsys.readouterr().out
    names = ("plan", "bound_by", "throughput_mpps", "drop_share", "busy_cores", "latency_us.p99")
    for name in names:
        assert f"dataplane.{name}" in printed, name
    assert "dataplane.utilisation" not in printed
    (row,) = [line for line in printed.splitlines() if line.startswith("cpu_only")]
    assert " CCC " in row


def test_arms_are_named_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arms = {
        "FCFS": ["ordering=fcfs"],
        "SJF": ["ordering=shortest_job_first", "predictor=oracle"],
    }
    common = ["workload.count=20", "seed=0,1"]
    assert len(sweep(common, "arms", arms=arms, workers=0).ran) == 4
    frame = collect("arms")
    assert frame["arm"].tolist() == ["FCFS", "FCFS", "SJF", "SJF"]
    assert frame["ordering"].tolist() == ["fcfs"] * 2 + ["shortest_job_first"] * 2
    assert frame["predictor"].isna().tolist() == [True, True, False, False]
    assert frame.attrs["settings"] == ["workload.count", "seed", "ordering", "predictor"]
    assert len(sweep(common, "arms", arms=arms, workers=0).kept) == 4
    with pytest.raises(ConfigError, match="again and SJF have the member"):
        sweep(common, "arms", arms=arms | {"again": arms["SJF"]}, workers=0)
