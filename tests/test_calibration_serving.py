"""Serving runs against measurements: readers, splits, a fit that finds what made its rows, and,
where the data is, errors on rows kept from the fit."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.calibration import catalogue, main, profiles, serving, serving_fit
from experiments.calibration.benchmark_client import BenchmarkClient, Figures, throughput
from experiments.compose import compose
from models.errors import ConfigError, TraceError
from sim.core.run import run

DATA = os.environ.get("ORRERY_DATA")
measured = pytest.mark.skipif(
    not DATA, reason="ORRERY_DATA is not set: the serving measurements are not here"
)
HEADER = (
    "backend,backend_version,model,system,precision,mode,isl,osl,concurrency,tp_size,pp_size,"
    "ttft_ms,tpot_ms\n"
)
LINE = "vllm,,meta-llama/Llama-3.1-70B,h200_sxm,fp8,agg,{},{},{},{},1.0,{},{}\n"


def row(prompt=1024, output=64, concurrency=4, tp=1, ttft_s=0.2, tpot_s=0.02, **other):
    known = {
        "engine": "vllm",
        "model": "meta-llama/Llama-3.1-70B",
        "system": "h200_sxm",
        "precision": "fp8",
        "pipeline_parallel": 1,
    }
    return profiles.ServingRow(
        prompt_tokens=prompt,
        output_tokens=output,
        concurrency=concurrency,
        tensor_parallel=tp,
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        **(known | other),
    )


@pytest.fixture(scope="module")
def client():
    return BenchmarkClient.load()


@pytest.fixture(scope="module")
def stack():
    return catalogue.efficiency("vllm_hopper_fp8")


def test_a_file_of_measurements_is_read(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(HEADER + LINE.format(1024, 8192, "16.0", "2.0", 190.5, 15.25))
    assert profiles.read_serving(path) == [
        row(1024, 8192, 16, 2, ttft_s=pytest.approx(0.1905), tpot_s=pytest.approx(0.01525))
    ]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ((1024, 1024, 2.5, 1, 100, 10), r"concurrency = '2.5' must be a whole number"),
        ((1024, 1024, 4, 0, 100, 10), r"tp_size = '0' must be a whole number >= 1"),
        ((1024, 1024, 4, 1, 0, 10), r"ttft_ms = '0' must be > 0"),
        ((1024, 1024, 4, 1, 100, "nan"), r"tpot_ms = 'nan' must be finite"),
        ((-8, 1024, 4, 1, 100, 10), r"isl = '-8' must be finite and >= 0"),
    ],
)
def test_a_bad_cell_names_file_line_and_column(tmp_path, cells, says):
    path = tmp_path / "m.csv"
    path.write_text(HEADER + LINE.format(1024, 1024, 4, 1, 100, 10) + LINE.format(*cells))
    with pytest.raises(TraceError, match=rf"m\.csv, line 3: {says}"):
        profiles.read_serving(path)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("backend,model\nvllm,m\n")
    with pytest.raises(TraceError, match="column system is missing"):
        profiles.read_serving(path)


def test_bad_input_is_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ORRERY_DATA", raising=False)
    for arguments, says in (
        (["serving"], "set ORRERY_DATA"),
        (["serving", "--data", str(tmp_path / "none")], "is not a folder"),
        (["serving", "--data", str(tmp_path)], profiles.SERVING),
        (["latency"], "latency: no such comparison; there are layers"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert says in error
        assert "Traceback" not in error
    (tmp_path / profiles.SERVING).write_text(HEADER)
    assert main(["serving", "--data", str(tmp_path)]) == 2
    assert "no row of vllm can be run" in capsys.readouterr().err


def test_the_entry_imports_nothing_heavy():
    code = (
        "import sys; import experiments.calibration; "
        "sys.exit(any(m in sys.modules for m in ('numpy', 'scipy', 'pandas', 'hydra')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rows_are_refused_with_a_reason_or_belong_to_others(client):
    rows = [
        row(concurrency=8),
        row(concurrency=4),
        row(model="meta-llama/Llama-3.1-8B"),
        row(system="h100_sxm"),
        row(precision="fp16"),
        row(pipeline_parallel=16),
        row(engine="trtllm"),
    ]
    found = serving.study(rows, client)
    assert [r.concurrency for r in found.rows] == [4, 8]
    assert found.others == 1
    reasons = [reason.split()[0] for _, reason in found.refused]
    assert reasons == ["model", "system", "precision", "16"]
    with pytest.raises(ConfigError, match=r"4 refused, 1 of others\); the first: model"):
        serving.study(rows[2:], client)


def test_splits_share_no_row_and_leave_out_what_they_say(client):
    rows = [
        row(prompt, output, concurrency, tp, ttft_s=9.0 if concurrency == 64 and tp == 1 else 0.2)
        for prompt, output in ((1024, 1024), (8192, 1024))
        for tp in (1, 2, 4, 8)
        for concurrency in (4, 8, 16, 32, 64)
    ]
    found = serving.study(rows, client)
    assert len(found.limited) == 2
    splits = found.splits()
    for fitted, judged in splits.values():
        assert not set(fitted) & set(judged)
        assert set(fitted) | set(judged) == set(found.smooth)
    fitted, judged = splits[serving.INTERLEAVED]
    assert len(fitted) - len(judged) in (0, 1)
    assert {serving.shape_of(r) for r in splits["without 1024/1024"][0]} == {"8192/1024"}
    assert {r.tensor_parallel for r in splits["TP 1-2 to TP 4-8"][0]} == {1, 2}
    assert {r.tensor_parallel for r in splits["TP 1-2 to TP 4-8"][1]} == {4, 8}


def test_figures_by_hand():
    one = row(output=100, concurrency=8, ttft_s=0.5, tpot_s=0.01)
    # Each of the 8 in flight takes 0.5 + 89 x 0.01 = 1.39 s for 90 tokens.
    assert throughput(one, one.ttft_s, one.tpot_s, 90.0) == pytest.approx(8 * 90 / 1.39)
    rows = [row(concurrency=c, ttft_s=t) for c, t in ((4, 0.1), (8, 0.2), (16, 2.0), (32, 3.0))]
    seen = zip(rows, (0.1, 0.5, 0.6, 4.0), strict=True)
    judged = [serving.Judged(r, Figures(t, r.tpot_s, 1.0), 1.0) for r, t in seen]
    # Measured jump at 16 alone; simulated ones at 8 and 32 alone.
    assert serving.sides(judged) == (1, 0, 2)
    assert serving.typical_ratio(judged[1:2]) == pytest.approx(2.5)


def test_a_run_is_that_of_the_experiment_on_the_command_line(client, stack):
    settings = ["concurrency=8", "prompt_tokens=1024", "output_tokens=64", "tensor_parallel=2"]
    result = run(compose(["experiment=vllm_benchmark", *settings, "seed=3"]))
    got = client.run(row(1024, 64, 8, 2), stack, [3])
    assert got.ttft_s == result.number("serving.ttft_s.mean")
    assert got.tpot_s == result.number("serving.tpot_s.mean")
    assert result["serving.requests_finished"] == 80


def test_an_arrival_waits_an_iteration_more_under_asynchronous_scheduling(client, stack):
    one = row(1024, 256, 8)
    at_once = replace(client, limits=replace(client.limits, async_scheduling=False))
    later = client.run(one, stack, [0]).ttft_s - at_once.run(one, stack, [0]).ttft_s
    assert 0.5 < later / client.run(one, stack, [0]).tpot_s < 2.0


def test_the_fit_finds_the_constants_that_made_the_rows(client, stack):
    truth = replace(stack, gemm_compute=0.5, gemm_memory=0.7, link=0.8, layer_overhead_s=3e-5)
    places = [(1024, 64, 16, 2), (8192, 16, 4, 4), (8192, 32, 4, 1), (1024, 128, 4, 8)]
    places += [(1024, 128, 4, 1), (1024, 256, 8, 2)]
    rows = []
    for place in places:
        got = client.run(row(*place), truth, serving_fit.SEEDS)
        rows.append(row(*place, ttft_s=got.ttft_s, tpot_s=got.tpot_s))
    found = serving_fit.fit(client, rows, stack)
    assert found.cost < 1e-3
    assert not found.at_bound
    for key in ("gemm_compute", "gemm_memory", "link"):
        assert getattr(found.efficiency, key) == pytest.approx(getattr(truth, key), rel=0.1), key


def test_stored_constants_agree(stack):
    stored = serving.stored_splits()
    assert stored[serving.INTERLEAVED] == {
        key: getattr(stack, key) for key in serving_fit.CONSTANTS
    }
    for values in stored.values():
        assert serving_fit.with_constants(stack, values).name == stack.name


@measured
def test_rows_kept_from_the_fit_within_the_band(client, stack):
    found = serving.study(profiles.read_serving(Path(DATA) / profiles.SERVING), client)
    assert len(found.rows) == 60
    assert not found.refused
    assert set(found.splits()) == set(serving.stored_splits())
    kept = found.splits()[serving.INTERLEAVED][1]
    handful = [r for r in kept if r.concurrency <= 16]
    done, refused = serving.judge(found, stack, handful, seeds=[1])
    assert not refused
    for one in done:
        ttft, tpot, _ = one.ratios()
        assert 0.8 < ttft < 1.25, one
        assert 0.85 < tpot < 1.15, one
    ttft, tpot, tps = serving.scores(done)
    assert ttft.median <= 0.08
    assert tpot.median <= 0.05
    assert tps.median <= 0.05


@measured
def test_rows_short_of_memory_are_beyond_the_cliff(client, stack):
    found = serving.study(profiles.read_serving(Path(DATA) / profiles.SERVING), client)
    shapes = [(r.prompt_tokens, r.output_tokens, r.tensor_parallel) for r in found.limited]
    near = [
        r
        for r in found.rows
        if (r.prompt_tokens, r.output_tokens, r.tensor_parallel) in shapes and r.concurrency >= 32
    ]
    done, _ = serving.judge(found, stack, near, seeds=[1])
    assert serving.sides(done) == (2, 2, 0)
    limited = [one for one in done if one.row in found.limited]
    assert serving.typical_ratio(limited) < 1.6
