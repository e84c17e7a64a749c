"""Sweeps: what they run, keep and refuse, and what is left when they are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from experiments.cli import main
from experiments.study.expansion import expand
from experiments.study.member import member_name, run_member
from experiments.study.processes import Workers
from experiments.study.sweep import sweep
from sim.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
#: Eight members, of which only the first can run before `open_gate`.
EIGHT = ["workload.count=20", "arrivals.rate_rps=2,4", "seed=range(0,4)"]
GATED = [*EIGHT, "+observers.gate._target_=gate.wait", "+observers.gate.seed=${simulation.seed}"]
GATE = """
import os, pathlib, time
def wait(seed):
    if seed:
        pathlib.Path(f"waits-{os.getpid()}").touch()
        while not pathlib.Path("open").exists():
            time.sleep(0.01)
"""
HAS_PROC = Path("/proc/self/task").is_dir()


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own, and leaves sys.path as it was."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


def start(*words):
    """The command line in a process group of its own."""
    Path("gate.py").write_text(GATE)
    code = "import sys; from experiments.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.getcwd()])},
        start_new_session=True,
    )


def at_the_gate():
    """The workers, once each of two waits in a member that it cannot finish."""
    wait_for(lambda: len(list(Path().glob("waits-*"))) == 2)
    return [int(path.name.removeprefix("waits-")) for path in Path().glob("waits-*")]


def open_gate():
    Path("open").touch()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finished(folder):
    names = [path.parent.name for path in Path(folder).glob("*/summary.json")]
    return sorted(name for name in names if not name.startswith("."))


def test_members_are_the_product_of_the_lists():
    members = expand(
        ["arrivals.rate_rps=1,2.5", "seed=range(0,4,2)", "ordering=choice(fcfs,trail)"]
    )
    assert len(members) == 8
    assert members["arrivals.rate_rps=2.5,ordering=trail,seed=2"] == [
        "arrivals.rate_rps=2.5",
        "seed=2",
        "ordering=trail",
    ]
    assert expand([]) == {"default": []}
    assert "ordering=shortest_job_first" in expand(["ordering=glob(short*)"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("seed=", "no value"),
        ("seed=range(0,0)", "the list is empty"),
        ("seed=choice()", "empty choice"),
        ("seed=1,,2", "cannot be read"),
        ("seed", "cannot be read"),
        ("seed=1,1", "twice"),
        ("arrivals.rate_rps=interval(1,2)", "lists, range"),
        ("ordering=glob(q*)", "the list is empty"),
    ],
)
def test_wrong_lists(word, said):
    with pytest.raises(ConfigError, match=r"seed|arrivals|ordering") as error:
        expand([word])
    assert said in str(error.value)


def test_a_key_given_twice_is_an_error():
    with pytest.raises(ConfigError, match="given twice"):
        expand(["seed=1", "seed=2,3"])


def test_names_of_members_are_stable_safe_and_apart():
    assert member_name(["seed=1", "a.b=x"]) == member_name(["a.b=x", "seed=1"]) == "a.b=x,seed=1"
    odd = ["workload.path=/a b/../c.csv", "workload.path=/a_b/../c.csv", "x='../..'", "y=é" * 99]
    names = [member_name([word]) for word in odd]
    assert len(set(names)) == len(odd)
    for name in names:
        assert len(name) < 200
        assert name == Path(name).name
        assert name.replace("=", "").replace(".", "").replace("-", "").replace("_", "").isalnum()
        assert name.isascii()


def test_a_longer_list_runs_what_is_new_whatever_the_order():
    first = sweep(["workload.count=20", "seed=0,1"], "out", workers=0)
    assert (len(first.ran), first.kept, first.failed) == (2, [], {})
    written = [(Path("out") / name / "provenance.json").read_bytes() for name in first.ran]
    again = sweep(["seed=2,1,0", "workload.count=20"], "out", workers=0)
    assert again.ran == ["seed=2,workload.count=20"]
    assert sorted(again.kept) == first.ran
    assert written == [(Path("out") / name / "provenance.json").read_bytes() for name in first.ran]


def test_a_member_with_other_settings_or_a_broken_summary_runs_again():
    name = sweep(["workload.count=20", "seed=5"], "out", workers=0).ran[0]
    member = Path("out") / name
    good = (member / "summary.json").read_bytes()
    settings = member / ".hydra" / "config.yaml"
    stored = yaml.safe_load(settings.read_text())
    for path, text in (
        (settings, yaml.safe_dump({**stored, "replicas": 2})),
        (member / "summary.json", '{"energy_j": 1'),
    ):
        path.write_text(text)
        assert sweep(["workload.count=20", "seed=5"], "out", workers=0).ran == [name]
        assert (member / "summary.json").read_bytes() == good


def test_one_failing_member_does_not_lose_the_others(capsys):
    words = ["sweep", "workload.count=20", "replicas=1,2", "tensor_parallel=1,3", "-o", "out"]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert "4 members: 2 ran, 0 kept, 2 failed" in captured.out
    assert captured.err.count("tensor_parallel = 3 must divide heads = 32") == 2
    assert "replicas=2,tensor_parallel=3,workload.count=20" in captured.err
    assert "Traceback" not in captured.err
    assert len(finished("out")) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=0,1", "replcas=1,2"], "member seed=0 replcas=1: replcas: no such setting"),
        (["ordering=fcfs,quickest"], "member ordering=quickest: "),
        (["replicas=1,0"], "member replicas=0: replicas: 0 is not a whole number >= 1"),
        (["seed=0,1", "hydra.launcher.n_jobs=2"], "means nothing without hydra/launcher="),
        (["seed=0,1", "hydra/launcher=rocket"], "hydra/launcher=rocket"),
    ],
)
def test_wrong_settings_stop_a_sweep_before_anything_runs(in_empty_folder, words, said):
    with pytest.raises(ConfigError) as error:
        sweep(words, "out", workers=0)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not any(in_empty_folder.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=0,1", "replcas=1,2"], "member seed=0 replcas=1: replcas: no such setting"),
        (["seed=range(2,2)"], "the list is empty"),
        (["seed=0,1", "-j", "0"], "--jobs: 0"),
        (["seed=0,1", "--config-dir", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_line(in_empty_folder, capsys, words, said):
    assert main(["sweep", *words, "-o", "out"]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not any(in_empty_folder.iterdir())


def test_folders_that_hold_something_else_are_left_alone(in_empty_folder, capsys):
    Path("file").write_text("mine")
    Path("full").mkdir()
    (Path("full") / "thesis.tex").write_text("mine")
    assert main(["run", "workload.count=20", "--no-report", "-o", "one"]) == 0
    for out in ("file", "full", "one"):
        capsys.readouterr()
        assert main(["sweep", "workload.count=20", "-o", out]) == 2
        assert capsys.readouterr().err.startswith(f"orrery: ConfigError: {out}: ")
    sweep(["workload.count=20"], "out", workers=0)
    (Path("out") / "seed=1,workload.count=20").mkdir()
    (Path("out") / "seed=1,workload.count=20" / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="no run of Orrery"):
        sweep(["workload.count=20", "seed=1"], "out", workers=0)
    assert len(list(in_empty_folder.rglob("thesis.tex"))) == 2


def test_notes_beside_a_member_are_kept():
    sweep(["workload.count=20", "seed=0,1"], "out", workers=0)
    notes = Path("out/seed=0,workload.count=20/notes.txt")
    notes.write_text("mine")
    report = sweep(["workload.count=20", "seed=0,1"], "out", workers=0)
    assert len(report.kept) == 2
    (notes.parent / "summary.json").write_text("{")
    with pytest.raises(ConfigError, match=r"seed=0,workload\.count=20: holds notes\.txt beside"):
        sweep(["workload.count=20", "seed=0,1"], "out", workers=0)
    assert notes.read_text() == "mine"
    with pytest.raises(ConfigError, match="no sweep of Orrery"):
        sweep(["workload.count=20"], "out/seed=0,workload.count=20/no/..", workers=0)


def test_two_sweeps_in_one_folder_at_a_time_are_refused():
    import fcntl

    sweep(["workload.count=20", "seed=0"], "out", workers=0)
    with open("out/.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another sweep"):
            sweep(["workload.count=20", "seed=1"], "out", workers=0)


def test_a_launcher_of_hydra_gives_the_same():
    words = ["workload.count=20", "seed=0,1", "tensor_parallel=1,3"]
    for out, more in (("it's one", ["hydra/launcher=basic"]), ("two", [])):
        report = sweep([*words, *more], out, workers=0)
        assert len(report.ran) == len(report.failed) == 2
        assert all("must divide heads" in said for said in report.failed.values())
    names = finished("two")
    assert finished("it's one") == names
    for name in names:
        texts = [(Path(out) / name / "summary.json").read_bytes() for out in ("it's one", "two")]
        assert texts[0] == texts[1]


def test_members_are_shown_without_a_run(in_empty_folder, capsys):
    assert main(["sweep", "seed=0,1", "--show"]) == 0
    assert capsys.readouterr().out.split() == ["seed=0", "seed=1"]
    assert not any(in_empty_folder.iterdir())


def test_a_killed_sweep_goes_on_and_equals_serial_runs():
    process = start("sweep", *GATED, "-j", "2", "-o", "out")
    at_the_gate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (early,) = finished("out")
    before = (Path("out") / early / "provenance.json").read_bytes()

    open_gate()
    done = start("sweep", *GATED, "-j", "2", "-o", "out")
    said, errors = done.communicate(timeout=60)
    assert (done.returncode, errors) == (0, "")
    assert "8 members: 7 ran, 1 kept, 0 failed" in said
    assert "speed-up" in said
    assert (Path("out") / early / "provenance.json").read_bytes() == before, "ran again"
    assert not list(Path("out").glob(".*.partial"))

    gated = expand(GATED)
    for name, overrides in zip(gated, expand(EIGHT).values(), strict=True):
        assert main(["run", *overrides, "--no-report", "--quiet", "-o", "serial"]) == 0
        serial = Path("serial/summary.json").read_bytes()
        assert (Path("out") / name / "summary.json").read_bytes() == serial


def test_a_killed_process_costs_its_member_alone():
    process = start("sweep", *GATED, "-j", "2", "-o", "out")
    os.kill(at_the_gate()[0], signal.SIGKILL)
    open_gate()
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "7 ran, 0 kept, 1 failed" in said
    assert "its process was killed by signal 9" in errors
    assert len(finished("out")) == 7
    assert not list(Path("out").glob(".*.partial"))


def _run_and_die(config, overrides, folder):
    run_member(config, overrides, folder)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_killed_when_its_member_is_written_costs_nothing(monkeypatch):
    monkeypatch.setattr(sys.modules["experiments.study.sweep"], "run_member", _run_and_die)
    report = sweep(["workload.count=20", "seed=0,1"], "out", workers=1)
    assert (len(report.ran), report.failed) == (2, {})
    assert len(finished("out")) == 2


@pytest.mark.skipif(not HAS_PROC, reason="reads /proc")
def test_processes_end_with_a_killed_parent():
    process = start("sweep", *GATED, "-j", "2", "-o", "out")
    workers = at_the_gate()
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers))


@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_keeps_what_is_finished(whole_group):
    process = start("sweep", *GATED, "-j", "2", "-o", "out")
    at_the_gate()
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ""
    assert errors == "orrery: interrupted; 1 finished in out, the same command runs the rest\n"
    assert not list(Path("out").glob(".*.partial"))
    (name,) = finished("out")
    assert json.loads((Path("out") / name / "summary.json").read_text())


def _job(what):
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        os._exit(7)
    if what == "fail":
        raise ValueError("no\nway")
    return what


def test_every_job_has_an_outcome_whatever_its_process_does():
    jobs = [("one",), ("kill",), ("fail",), ("exit",), ("two",), ("kill",), ("three",)]
    with Workers(2) as workers:
        found = dict(workers.each(_job, jobs))
        for words in (["again"], ["a", "b"], [], ["a", "b", "c", "d"]):
            again = dict(workers.each(_job, [(word,) for word in words]))
            assert [again[n].value for n in range(len(words))] == words
    assert [found[n].value for n in (0, 4, 6)] == ["one", "two", "three"]
    assert found[1].error == found[5].error == "its process was killed by signal 9"
    assert found[2].error.startswith("ValueError: no way (test_study_sweep.py, line ")
    assert found[3].error == "its process ended with exit code 7"
