"""The command line as a user meets it: what it writes, and what it says of wrong input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.compose import SHORT, compose
from sim.core.errors import ConfigError
from sim.core.result import Result

ROOT = Path(__file__).resolve().parents[1]
NEO = ["experiment=neo_a10g", "workload.count=60"]
SMALL = ["workload.count=20", "--no-report"]


def orrery(*words: object) -> list[str]:
    return [
        sys.executable,
        "-c",
        "import sys; from experiments.cli import main; sys.exit(main())",
        *map(str, words),
    ]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own, and leaves sys.path as it was."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


def test_run_writes_a_result_that_reads_back(in_empty_folder, capsys):
    assert main(["run", "workload.count=30", "-o", "mine"]) == 0
    printed = capsys.readouterr().out
    assert "report: mine/report.html" in printed
    result = Result.read("mine")
    assert result["serving.requests_arrived"] == 30
    assert len(result.table("requests")) == 30
    assert (Path("mine") / ".hydra" / "config.yaml").is_file()
    assert (Path("mine") / "provenance.json").is_file()


def test_a_timeline_says_where_it_lies_and_what_opens_it(in_empty_folder, capsys):
    assert main(["run", *SMALL, "timeline=perfetto", "-o", "mine"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "timeline: mine/timeline.json.gz (open it at https://ui.perfetto.dev)"


def test_the_summary_is_byte_identical_for_a_seed(in_empty_folder):
    for name in ("a", "b"):
        assert main(["run", *SMALL, "seed=7", "replicas=2", "-o", name]) == 0
    assert main(["run", *SMALL, "seed=8", "replicas=2", "-o", "c"]) == 0
    texts = [(Path(name) / "summary.json").read_bytes() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]


def test_a_finished_run_is_replaced_whole(in_empty_folder):
    assert main(["run", *SMALL, "-o", "a"]) == 0
    (Path("a") / "stale.parquet").write_text("of the earlier run")
    assert main(["run", *SMALL, "-o", "a", "seed=1"]) == 0
    assert not (Path("a") / "stale.parquet").exists()
    assert json.loads((Path("a") / "summary.json").read_text())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["modle=llama2-7b"], "modle: no such setting; did you mean"),
        (["+replica=2"], "replica: no such setting"),
        (["experiment=cora", "replicas=4"], "replicas: no such setting here, since nothing of"),
        (["experiment=cora", "batching=prefill_first"], "it (its systems: dataplane)"),
        (["experiment=cora", "+engine.max_seqs=4"], "engine: no such setting here"),
        (["engine.max_seqs=4"], "engine.max_seqs: no such setting"),
        (["model=llama9"], "llama3-8b"),
        (["experiment=neo"], "Could not find 'experiment/neo'"),
        (["goal="], "goal=: names no choice; there are fewest_cores, highest_rate"),
        (["goal=highest_rate"], "goal: no such choice here"),
        (
            ["client=deferred", "shifting="],
            "shifting=: names no choice; there are at_once, carbon_ex",
        ),
        (
            ["client=deferred", "shifting=night"],
            "shifting: no such choice at this place; it is made as "
            "shifting@client.clients.batch.shifting=...",
        ),
        (["sites=null"], "sites=null: names no choice; there are constant, eia930, "),
        (["timeline=null"], "none, perfetto; timeline=none leaves it out"),
        (
            ["experiment=fleet", "carbon/power@device.power=llm_gpu"],
            "Could not find 'carbon/power/llm_gpu' Available options in 'carbon/power': affine fan",
        ),
        (["experiment=fleet", "power_cap=0.7"], "power_cap: no such setting here"),
        (
            ["experiment=cora", "power_cap=0.7"],
            "power_cap = 0.7, but it caps GPUs, and the cluster",
        ),
        (["engine.kv_blocks=100000000"], "engine.kv_blocks = 100000000: 1 x a100-80-sxm have room"),
        (
            ["experiment=neo_a10g", "model=llama3-70b"],
            "Llama-3-70B (fp16) does not fit on 1 x a10g",
        ),
        (["gpu=tpu"], "a100-80-sxm"),
        (["replicas=two"], "replicas: 'two' is not a whole number >= 1"),
        (["replicas=0"], "replicas: 0 is not a whole number >= 1"),
        (["seed=-1"], "seed: -1 is not a whole number >= 0"),
        (["mode=warp"], "mode: 'warp' is neither 'jump' nor 'step'"),
        (["until_s=0"], "until_s: 0 is not a time > 0"),
        (["arrivals.rate_rps=-1"], "rate_rps is -1"),
        (["workload=azure", "arrivals=trace"], "workload.path: must be given"),
        (["workload=azure", "workload.path=no.csv", "arrivals=trace"], "no.csv: cannot be read"),
        (["arrivals=trace"], "arrival"),
        (["workload.count=null"], "it never ends"),
        (["model=llama2-70b"], "does not fit on 1 x a100-80-sxm: each GPU needs 137.95 GB"),
        (["tensor_parallel=3"], "tensor_parallel = 3 must divide heads = 32"),
        (["ordering=shortest_job_first"], "predictor: none"),
        (["engine.watermark=1.5"], "engine.watermark: 1.5 is not in [0, 1)"),
        (["client=closed_loop", "client.concurrency=0"], "client.concurrency: 0"),
        (["engine.over_context=error", "model=llama2-7b"], "exceed the model's context of 4096"),
        (["series_interval_s=0"], "sampling interval"),
        (["ordering._target_=nowhere.Policy"], "nowhere"),
        (["routing=carbon"], "routing: Carbon chooses between sites, and all replicas stand at"),
        (["replicas=3", "routing=nearest"], "home on like GPUs; choose cluster=two_regions sites="),
        (["sites=two_regions", "cluster=two_regions", "routing=cleanest"], "stand at west on like"),
        (["host_attention=cpu"], "host_attention: nothing would read it, since ChunkedPrefill"),
        ([*NEO, "batching=swiftllm", "host_attention.reach=0.5"], "host_attention.reach: nothing"),
        ([*NEO, "batching.gpu_only=true", "host_attention.cores=4"], "since Neo computes all"),
        (["batching=neo"], "host_attention: none, but the batching policy computes attention on"),
        ([*NEO, "host_attention=none"], "choose host_attention=cpu"),
        (["experiment=neo_t4", "host_attention=none"], "choose host_attention=cpu"),
        (
            ["experiment=profiled", "batching=neo", "host_attention=cpu"],
            "model: a profile of whole iterations",
        ),
        ([*NEO, "engine.host_swap_bytes=1e15"], "engine.host_swap_bytes: node0/memory: serving"),
        ([*NEO, "engine.host_swap_bytes=1e6"], "no block of KV fits into host memory"),
        (
            [*NEO, "batching=full_offload", "engine.host_swap_bytes=0"],
            "give it more than the 1600 blocks of the GPUs",
        ),
        (["experiment=neo_h100", "tensor_parallel=4"], "the 4 GPUs of a replica are on 2 nodes"),
        ([*NEO, "pipeline_parallel=2"], "pipeline_parallel = 2: offload to the host needs 1"),
        ([*NEO, "engine.kv_blocks=1"], "engine.kv_blocks: one block holds no buffer"),
        ([*NEO, "engine.stage_events=maybe"], "engine.stage_events: 'maybe' is not true or false"),
        (
            [*NEO, "batching.times.max_sequences=8"],
            "batching.times.max_sequences = 8 does not cover engine.max_sequences = 1024",
        ),
        (
            [*NEO, "batching.times.max_batch_tokens=100"],
            "batching.times.max_batch_tokens = 100 does not cover engine.max_batch_tokens",
        ),
        (
            [*NEO, "batching.times.max_context_tokens=32"],
            "KV tokens in host memory, and the profile covers 32768; raise max_sequences",
        ),
        ([*NEO, "batching=full_offload", "batching.halving=some"], "halving: 'some' is not"),
        ([*NEO, "host_attention.cores=99"], "host_attention cpu: cores = 99"),
        (["experiment=profiled", "batching=neo"], "model: a profile of whole iterations"),
    ],
)
def test_wrong_settings_say_what_would_be_right(in_empty_folder, capsys, words, said):
    assert main(["run", *words, "--no-report", "-o", "out"]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not any(in_empty_folder.iterdir()), "nothing may be left behind"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("arrival_s,prompt_tokens\n0,3\n", "output_tokens"),
        ("arrival_s,prompt_tokens,output_tokens\n0,10,5\n2,-3,5\n", "line 3, column prompt_tokens"),
        ("arrival_s,prompt_tokens,output_tokens\n0,10,nan\n", "line 2, column output_tokens"),
        ("arrival_s,prompt_tokens,output_tokens\n5,1,5\n2,3,5\n", "line 3, column arrival_s"),
        ("", "mine.csv"),
    ],
)
def test_a_wrong_trace_is_named_by_line_and_column(in_empty_folder, capsys, rows, said):
    Path("mine.csv").write_text(rows)
    words = ["workload=table", "workload.path=mine.csv", "arrivals=trace", "-o", "out"]
    assert main(["run", *words]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "mine.csv" in captured.err
    assert [path.name for path in in_empty_folder.iterdir()] == ["mine.csv"]


def test_folders_that_cannot_take_a_run_are_left_alone(in_empty_folder, capsys):
    Path("file").write_text("mine")
    Path("full").mkdir()
    (Path("full") / "thesis.tex").write_text("mine")
    for out in ("file", "full", "/proc/orrery"):
        assert main(["run", *SMALL, "-o", out]) == 2
        assert out in capsys.readouterr().err
    assert Path("file").read_text() == "mine"
    assert (Path("full") / "thesis.tex").read_text() == "mine"
    assert sorted(path.name for path in in_empty_folder.iterdir()) == ["file", "full"]


def test_a_run_takes_the_place_of_nothing_but_a_run(in_empty_folder, capsys):
    """Whatever way its folder is written, and whatever lies there or comes there meanwhile."""
    few = ["run", "workload.count=2", "--quiet", "--no-report", "-o"]
    notes = Path("mine/notes.txt")
    notes.parent.mkdir()
    notes.write_text("mine")
    for out in ("mine", "mine/new/..", "mine/new/../.", "."):
        assert main([*few, out]) == 2
        said = capsys.readouterr().err
        assert "orrery: ConfigError: " in said
        assert "holds files that are no run" in said or "is the present folder" in said
    assert main([*few, "mine/new"]) == 0
    first = Path("mine/new/provenance.json").read_text()
    Path("mine/new/analysis.ipynb").write_text("mine")
    capsys.readouterr()
    assert main([*few, "mine/new"]) == 2
    assert "mine/new: holds analysis.ipynb beside an earlier run" in capsys.readouterr().err
    Path("mine/new/summary.json").rename("mine/summary.json")
    assert main([*few, "mine"]) == 2
    Path("mine/summary.json").rename("mine/new/summary.json")
    Path("mine/new/analysis.ipynb").unlink()
    assert main([*few, "mine/new/../new"]) == 0
    assert Path("mine/new/provenance.json").read_text() != first
    assert [path.name for path in in_empty_folder.iterdir()] == ["mine"]
    assert sorted(path.name for path in Path("mine").iterdir()) == ["new", "notes.txt"]
    assert notes.read_text() == "mine"


def test_what_comes_to_the_folder_during_a_run_is_kept(in_empty_folder):
    from sim.core.folders import draft_beside, put_in_place

    draft = draft_beside(Path("out"))
    (draft / "summary.json").write_text("new")
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="out: holds files that are no run"):
        put_in_place(draft, Path("out"))
    assert Path("out/mine.txt").read_text() == "mine"


def test_an_earlier_run_stays_where_the_new_one_cannot_come(in_empty_folder):
    from sim.core.folders import put_in_place

    assert main(["run", "workload.count=2", "--quiet", "--no-report", "-o", "out"]) == 0
    before = Path("out/provenance.json").read_text()
    with pytest.raises(FileNotFoundError):
        put_in_place(Path(".out.gone.partial"), Path("out"))
    assert Path("out/provenance.json").read_text() == before
    assert [path.name for path in in_empty_folder.iterdir()] == ["out"]


def test_ctrl_c_leaves_nothing_behind(in_empty_folder):
    process = subprocess.Popen(
        orrery("run", "workload.count=1000000", "--no-report", "-o", "big"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    deadline = time.monotonic() + 60
    rows = ".big.*.partial/requests.parquet"
    while not list(in_empty_folder.glob(rows)) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == "orrery: interrupted; nothing was written"
    assert not any(in_empty_folder.iterdir())


def test_list_describes_every_choice(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.strip().startswith("llama3-8b") for line in lines)
    bare = [line for line in lines if line.startswith("  ") and len(line.split()) < 3]
    assert not bare, "choices without a description"


def test_list_says_what_each_group_goes_with(capsys):
    """A key that is listed alone is one of every run's; others name the experiment, or a place."""
    assert main(["list"]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert "refresh=  (with experiment=fleet)" in heads
    assert "forecast@PLACE=" in heads
    assert "gpu=" in heads
    plain = {line.removesuffix("=") for line in heads if line.endswith("=") and "@" not in line}
    assert plain - set(SHORT) - {"experiment"} <= set(compose())


def test_list_of_an_unknown_group(capsys):
    assert main(["list", "gpus"]) == 2
    assert "there are" in capsys.readouterr().err


def test_report_of_something_else(in_empty_folder, capsys):
    assert main(["report", "."]) == 2
    assert main(["report", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_settings_are_shown_without_a_run(in_empty_folder, capsys):
    assert main(["run", "replicas=3", "--show"]) == 0
    assert "replicas: 3" in capsys.readouterr().out
    assert not any(in_empty_folder.iterdir())


def test_a_policy_of_ones_own_beside_folders_of_our_names(in_empty_folder):
    """A user's `models/` or `sim/` hides nothing, and his policy is found."""
    for name in ("models", "sim", "policies", "configs"):
        Path(name).mkdir()
        (Path(name) / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    Path("mine.py").write_text(
        "from policies.ordering.fcfs import Fcfs\n"
        "class LastFirst(Fcfs):\n"
        "    def rank(self, request, view, now_s):\n"
        "        return -request.arrival_s\n"
    )
    script = in_empty_folder.parent / "orrery"
    script.write_text(
        f"import sys; sys.path[0] = {str(ROOT)!r}\n"
        "from experiments.cli import main; sys.exit(main())\n"
    )
    words = ["run", *SMALL, "ordering._target_=mine.LastFirst", "-o", "out", "--quiet"]
    done = subprocess.run(
        [sys.executable, str(script), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "out"


def test_a_user_group_by_config_dir(in_empty_folder, capsys):
    ordering = Path("groups") / "ordering"
    ordering.mkdir(parents=True)
    (ordering / "last_first.yaml").write_text(
        "# Latest first\n_target_: policies.ordering.fcfs.Fcfs\n_partial_: true\n"
    )
    words = ["run", *SMALL, "--config-dir", "groups", "ordering=last_first", "-o", "out"]
    assert main(words) == 0
    assert main(["list", "ordering", "--config-dir", "groups"]) == 0
    assert capsys.readouterr().out.endswith("  last_first           Latest first (yours)\n")


def test_help_is_there_for_newcomers(capsys):
    for words in (["--help"], ["run", "--help"], ["list", "--help"]):
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 0
    assert "replicas=4" in capsys.readouterr().out
