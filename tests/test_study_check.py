"""Stored summaries: the committed ones hold, and what changes is found."""

import sys
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.study.baselines import Baseline, Tolerance
from experiments.study.check import check, find
from sim.core.errors import ConfigError

BASELINES = Path(__file__).resolve().parent / "baselines"
FILE = """\
# A few requests
settings:
  - workload.count=20 # enough
tolerances:
  "*": {relative: 1e-6}
  "*.p99": {relative: 0.5, absolute: 0.01}
  serving.iterations: {absolute: 3}
metrics:
"""


@pytest.fixture
def in_empty_folder(tmp_path, monkeypatch):
    """Each test works in a folder of its own, and leaves sys.path as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def stored(in_empty_folder):
    """A folder with one filled baseline."""
    Path("mine").mkdir()
    path = Path("mine") / "few.yaml"
    path.write_text(FILE)
    (verdict,) = check(["mine"], update=True)
    assert len(verdict.changes) > 40
    assert {change.kind for change in verdict.changes} == {"appeared"}
    return path


@pytest.mark.parametrize("path", find([BASELINES]), ids=lambda path: path.stem)
def test_committed_baselines_hold(path):
    (verdict,) = check([path])
    assert verdict.error is None
    assert not verdict.changes, "`orrery check` shows them; --update if they are meant"
    assert len(verdict.baseline.metrics) > (20 if path.stem == "fleet" else 40)
    assert any(name.endswith("carbon_g") for name in verdict.baseline.metrics)
    assert any(name.endswith("energy_j") for name in verdict.baseline.metrics)


def test_the_committed_experiments_do_what_they_are_for():
    metrics = {path.stem: Baseline.read(path).metrics for path in find([BASELINES])}
    assert metrics["swap"]["serving.preemptions"] > 0
    assert metrics["swap"]["serving.recomputed_tokens"] == 0
    assert metrics["shortest_job_first"]["serving.queue_s.mean"] > 1.0
    packets = metrics.pop("cora")
    assert packets["dataplane.packets_dropped"] == 0
    assert packets["dataplane.flows_moved"] > 100
    jobs = metrics.pop("carbon_jobs")
    assert jobs["jobs.jobs_finished"] == 12
    assert jobs["jobs.suspensions"] > 12
    fleet = metrics.pop("fleet")
    assert fleet["fleet.moved_in"] > 0
    assert metrics["regions"]["sites.east.energy_j"] > 0.0
    assert metrics["regions"]["sites.west.energy_j"] > 0.0
    for name, found in metrics.items():
        assert found["serving.requests_arrived"] == 200, name


def test_a_filled_baseline_agrees_and_keeps_its_comments(stored):
    text = stored.read_text()
    assert text.startswith(FILE)
    metrics = [line.split(":")[0].strip() for line in text.removeprefix(FILE).splitlines()]
    assert metrics == sorted(metrics)
    assert check([stored])[0].agrees
    check([stored], update=True)
    assert stored.read_text() == text


def test_a_planted_change_is_found(stored, capsys):
    values = Baseline.read(stored).metrics
    text = stored.read_text()
    planted = values["energy_j"] * (1 + 1e-5)
    text = text.replace(f"energy_j: {values['energy_j']}", f"energy_j: {planted}", 1)
    text = text.replace("  simulated_s:", "  simulated_years:")
    text = text.replace(
        f"serving.iterations: {values['serving.iterations']}",
        f"serving.iterations: {values['serving.iterations'] + 3}",
    )
    stored.write_text(text)
    assert main(["check", "mine", "-j", "1"]) == 1
    said = capsys.readouterr().out
    lines = {line.split()[1]: line for line in said.splitlines()[1:-1]}
    assert set(lines) == {"energy_j", "simulated_s", "simulated_years"}
    assert "-1.00e-05" in lines["energy_j"]
    assert "appeared" in lines["simulated_s"]
    assert "disappeared" in lines["simulated_years"]
    assert said.splitlines()[-1] == "1 baseline: 0 agree, 1 differ"
    assert stored.read_text() == text


def test_update_rewrites_what_differs_and_nothing_else(stored, capsys):
    good = stored.read_text()
    values = Baseline.read(stored).metrics
    energy = f"  energy_j: {values['energy_j']}\n"
    within = f"  serving.iterations: {values['serving.iterations'] + 1} # by hand\n"
    text = good.replace(energy, "  # measured twice\n  energy_j: 1.0e-05 # joules\n  gone: 3\n")
    text = text.replace(f"  serving.iterations: {values['serving.iterations']}\n", within)
    text = text.replace(f"  simulated_s: {values['simulated_s']}\n", "")
    stored.write_text(text)
    assert main(["check", str(stored), "--update", "-j", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 baseline: 0 agree, 1 updated"
    expected = good.replace(energy, f"  # measured twice\n{energy[:-1]} # joules\n")
    expected = expected.replace(f"  serving.iterations: {values['serving.iterations']}\n", within)
    assert stored.read_text() == expected
    assert check([stored])[0].agrees


def test_tolerances():
    tolerance = Tolerance(relative=0.1, absolute=0.5)
    assert tolerance.accepts(10.0, 11.0)
    assert not tolerance.accepts(10.0, 11.001)
    assert tolerance.accepts(-10.0, -9.0)
    assert tolerance.accepts(0.0, 0.5)
    assert not tolerance.accepts(0.0, 0.51)
    assert not tolerance.accepts(None, 0.0)
    assert not tolerance.accepts(0, None)
    assert tolerance.accepts("a", "a")
    assert not tolerance.accepts("a", "b")
    assert Tolerance().accepts(3, 3.0)
    baseline = Baseline(Path("x"), [], {"*": Tolerance(0.1), "*.p99": tolerance}, {})
    assert baseline.tolerance("a.p99") == tolerance
    assert baseline.tolerance("a.p9") == Tolerance(0.1)
    assert Baseline(Path("x"), [], {}, {}).tolerance("a") == Tolerance(1e-9, 0.0)


def test_an_experiment_that_does_not_run_does_not_hide_the_others(stored, capsys):
    (stored.parent / "bad.yaml").write_text("settings: [tensor_parallel=3]\n")
    stored.write_text(stored.read_text().replace("serving.kv_blocks:", "serving.kv_block:"))
    assert main(["check", "mine", "-j", "2"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "mine/bad.yaml: CapacityError: tensor_parallel = 3" in captured.err or (
        "mine/bad.yaml: ConfigError: tensor_parallel = 3" in captured.err
    )
    assert "serving.kv_blocks" in captured.out
    assert captured.out.endswith("2 baselines: 0 agree, 1 differ, 1 did not run\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("settings: [a=1", "is no YAML"),
        ("- a\n", "holds no settings, tolerances, metrics"),
        ("metrics: {}\n", "settings: must be a list"),
        ("settings: [1]\n", "settings: must be a list"),
        ("settings: []\ntolerance: 1\n", "tolerance: unknown key"),
        ("settings: []\ntolerances: 1\n", "tolerances: must hold names and values"),
        ("settings: []\ntolerances: {a: {relativ: 1}}\n", "tolerances: a: relativ: unknown key"),
        ("settings: []\ntolerances: {a: {relative: x}}\n", "relative: 'x' is not a number"),
        ("settings: []\ntolerances: {a: {relative: -1}}\n", "relative: -1 is not a number >= 0"),
        ("settings: []\nmetrics: {a: [1]}\n", "metrics: a: [1] is no metric's value"),
        ("settings: []\nmetrics: {a: .nan}\n", "metrics: a: nan is no metric's value"),
    ],
)
def test_a_wrong_baseline_is_named(in_empty_folder, capsys, text, said):
    Path("b.yaml").write_text(text)
    assert main(["check", "b.yaml"]) == 2
    captured = capsys.readouterr()
    assert "b.yaml: " in captured.err
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1


def test_folders_without_baselines(in_empty_folder, capsys):
    Path("empty").mkdir()
    for words, said in (
        ([], "there is no folder tests/baselines here"),
        (["empty"], "empty: holds no baseline"),
        (["nowhere"], "nowhere: is neither"),
    ):
        assert main(["check", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_layout_that_cannot_be_rewritten_is_left_alone(stored):
    text = "settings: [workload.count=20]\nmetrics:\n  energy_j: 1\ntolerances:\n  a: {}\n"
    stored.write_text(text)
    with pytest.raises(ConfigError, match="metrics must come last"):
        check([stored], update=True)
    assert stored.read_text() == text
    assert [path.name for path in stored.parent.iterdir()] == ["few.yaml"]


def test_help_is_there_for_newcomers(capsys):
    for command in ("sweep", "collect", "compare", "check"):
        with pytest.raises(SystemExit) as exit_:
            main([command, "--help"])
        assert exit_.value.code == 0
        said = capsys.readouterr().out
        assert f"  orrery {command}" in said
        assert "examples:" in said
