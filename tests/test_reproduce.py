"""Papers' claims: rules of verdicts, intervals, and what the command writes and says."""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.reproduce import (
    Band,
    Claim,
    Estimate,
    Finding,
    NotRun,
    Order,
    Paper,
    Plot,
    Study,
    Table,
    Trend,
    Workers,
    command,
    data_file,
    example,
    mean_interval,
    paired_interval,
    papers,
    replicate,
    sweep,
)
from experiments.reproduce.accepted import difference
from experiments.reproduce.plots import LARGEST_BYTES, picture
from experiments.reproduce.verdict import Verdict, worse
from sim.core.errors import CapacityError, ConfigError
from sim.core.result import Result

ROOT = Path(__file__).resolve().parents[1]
HOLDS, EDGE, OPEN, MISSES = (
    Verdict.HOLDS,
    Verdict.AT_THE_EDGE,
    Verdict.NOT_RESOLVED,
    Verdict.MISSES,
)


def about(value, half):
    return Estimate(value, value - half, value + half)


# ---- intervals ----


def test_student_interval_by_hand():
    """1, 2, 3: standard deviation 1, and t = 4.302653 for two degrees of freedom."""
    found = mean_interval([1, 2, 3])
    assert found.value == 2.0
    assert found.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3.0), rel=1e-6)
    assert 2.0 - found.low == pytest.approx(found.high - 2.0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-3))
def test_intervals_are_those_of_scipy(values):
    other = np.sin(values)
    for found, test in (
        (mean_interval(values, 0.9), stats.ttest_1samp(values, 0.0)),
        (paired_interval(values, other, 0.9), stats.ttest_rel(values, other)),
    ):
        low, high = test.confidence_interval(0.9)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_one_run_has_no_interval():
    with pytest.raises(ValueError, match="1 replications: an interval needs 2"):
        mean_interval([1.0])
    with pytest.raises(ValueError, match="finite"):
        mean_interval([1.0, math.nan])
    with pytest.raises(ValueError, match="2 and 3 replications do not pair"):
        paired_interval([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    ("estimate", "shown"),
    [
        (about(1.83456, 0.0412), "1.835 (1.793 to 1.876)"),
        (about(12345.6, 678.0), "12,350 (11,670 to 13,020)"),
        (about(-0.001, 0.02), "-0.001 (-0.021 to 0.019)"),
        (about(0.0004, 0.9), "0.00 (-0.90 to 0.90)"),
        (Estimate.exact(0.853712), "0.8537"),
        (Estimate.exact(12), "12"),
        (Estimate.exact(1e6), "1,000,000"),
        (about(2.0 / 3.0, 1e-17), "0.6667"),
    ],
)
def test_figures_are_rounded_to_their_interval(estimate, shown):
    assert estimate.text() == shown
    assert estimate.text("ms") == f"{shown} ms"


@pytest.mark.parametrize("bounds", [(1.0, 2.0, 3.0), (1.0, 0.0, math.inf), (math.nan,) * 3])
def test_an_interval_is_finite_and_holds_its_value(bounds):
    with pytest.raises(ValueError, match="with the interval"):
        Estimate(*bounds)


# ---- rules of verdicts ----


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (1.8, 0.1, HOLDS),
        (1.4, 0.0, HOLDS),
        (1.45, 0.1, EDGE),
        (1.35, 0.1, EDGE),
        (2.3, 0.1, EDGE),
        (1.2, 0.1, MISSES),
        (2.5, 0.1, MISSES),
        (1.39, 0.0, MISSES),
        (1.8, 3.0, OPEN),
    ],
)
def test_band(value, half, verdict):
    assert Band(1.4, 2.3).judge(about(value, half), "").verdict is verdict


def test_band_says_on_which_side_the_value_lies():
    assert "lies inside" in Band(1.4, 2.3).judge(about(1.45, 0.1), "").detail
    assert "lies outside" in Band(1.4, 2.3).judge(about(1.35, 0.1), "").detail


ENDS = st.floats(-10, 10)


@given(ENDS, st.floats(0, 5), ENDS, st.floats(0.1, 5), st.floats(0, 3), st.floats(0, 3))
def test_a_wider_band_is_never_worse(value, half, low, width, more_below, more_above):
    narrow = Band(low, low + width).verdict(about(value, half))
    wide = Band(low - more_below, low + width + more_above).verdict(about(value, half))
    assert not worse(wide, narrow)


@given(ENDS, st.floats(0, 5), ENDS, st.floats(0.1, 5))
def test_a_band_holds_only_with_its_whole_interval(value, half, low, width):
    found, band = about(value, half), Band(low, low + width)
    verdict = band.verdict(found)
    inside = [band.low <= x <= band.high for x in (found.low, found.value, found.high)]
    assert (verdict is HOLDS) == all(inside)
    assert verdict is not MISSES or not any(inside)


def test_open_bands():
    assert Band(low=0.25).text("") == "at least 0.25"
    assert Band(high=2).text("s") == "at most 2 s"
    assert Band(low=0.25).verdict(Estimate.exact(1e9)) is HOLDS
    for ends in ((2, 1), (-math.inf, math.inf), (math.nan, 1)):
        with pytest.raises(ConfigError, match="no band"):
            Band(*ends)


def series(*means, noise=(0.1, -0.1, 0.0, 0.05, -0.05), shared=0.0):
    """Estimates by name a, b, c, ...; noise of their own, and one that all share by seed."""
    found = {}
    for i, (name, mean) in enumerate(zip("abcdef", means, strict=False)):
        own = noise[i:] + noise[:i]
        found[name] = mean_interval([mean + x + shared * j for j, x in enumerate(own)])
    return found


def test_order():
    order = Order("a", "b", "c")
    assert order.judge(series(3, 2, 1), "").verdict is HOLDS
    assert order.judge(series(3, 2, 1.99), "").verdict is OPEN
    assert order.judge(series(2, 3, 1), "").verdict is MISSES
    assert "a - b = -1.00" in order.judge(series(2, 3, 1), "").detail


def test_order_compares_seed_by_seed():
    """Seeds that differ by far more than the policies do still tell these apart."""
    found = series(3, 2, shared=10.0)
    assert found["a"].low < found["b"].high
    assert Order("a", "b").judge(found, "").verdict is HOLDS


def test_what_is_equal_is_not_in_order():
    """A policy that changes nothing at all must not pass as "not resolved"."""
    same = mean_interval([1.0, 2.0, 3.0])
    assert Order("a", "b").judge({"a": same, "b": same}, "").verdict is MISSES


def test_order_of_exact_values():
    found = {"a": Estimate.exact(2), "b": Estimate.exact(1), "c": mean_interval([0.1, 0.2])}
    assert Order("a", "b").judge(found, "").verdict is HOLDS
    assert Order("b", "a").judge(found, "").verdict is MISSES
    assert Order("a", "c").judge(found, "").verdict is HOLDS
    assert difference(found["c"], found["b"]).value == pytest.approx(-0.85)


def test_order_refuses_what_it_cannot_compare():
    unpaired = {"a": mean_interval([1, 2]), "b": mean_interval([1, 2, 3])}
    with pytest.raises(ConfigError, match="2 and 3 samples cannot be compared"):
        Order("a", "b").judge(unpaired, "")
    with pytest.raises(ConfigError, match="no value for 'c'; there are: a, b"):
        Order("a", "c").judge(unpaired, "")
    for names in ((), ("a",), ("a", "a")):
        with pytest.raises(ConfigError, match="give two or more"):
            Order(*names)


@pytest.mark.parametrize(
    ("means", "loose", "strict"),
    [
        ((1, 2, 3), HOLDS, HOLDS),
        ((1, 2, 2.01, 3), HOLDS, OPEN),
        ((1, 3, 2, 4), MISSES, MISSES),
        ((3, 2, 1), MISSES, MISSES),
        ((1, 1.01), OPEN, OPEN),
    ],
)
def test_trend(means, loose, strict):
    for every_step, verdict in ((False, loose), (True, strict)):
        assert Trend("x", every_step=every_step).judge(series(*means), "").verdict is verdict
        falling = Trend("x", rises=False, every_step=every_step)
        mirrored = {
            name: mean_interval([-x for x in found.samples])
            for name, found in series(*means).items()
        }
        assert falling.judge(mirrored, "").verdict is verdict


def test_a_flat_step_belongs_to_a_trend_but_a_flat_whole_does_not():
    steps = {name: Estimate.exact(value) for name, value in zip("abc", (1, 1, 2), strict=True)}
    assert Trend("x").judge(steps, "").verdict is HOLDS
    assert Trend("x", every_step=True).judge(steps, "").verdict is MISSES
    flat = {name: Estimate.exact(1) for name in "ab"}
    assert Trend("x").judge(flat, "").verdict is MISSES
    with pytest.raises(ConfigError, match="1 points"):
        Trend("x").judge({"a": Estimate.exact(1)}, "")


def test_table_is_judged_by_its_worst():
    table = Table({"low": 10.0, "high": 100.0}, relative=0.01, absolute=0.5)
    good = {"low": about(10.4, 0.05), "high": about(99.2, 0.1)}
    assert table.judge(good, "").verdict is HOLDS
    assert table.judge(good, "").simulated == "2 of 2 hold"
    edge = table.judge({**good, "low": about(10.4, 0.2)}, "")
    assert (edge.verdict, edge.simulated) == (EDGE, "1 of 2 hold, 1 at the edge")
    bad = table.judge({**good, "high": about(98.0, 0.1)}, "ms")
    assert (bad.verdict, bad.simulated) == (MISSES, "1 of 2 hold, 1 miss")
    assert bad.detail == "furthest: high, 98.00 (97.90 to 98.10) ms for 100"
    assert [line[3] for line in bad.entries] == ["holds", "misses"]
    with pytest.raises(ConfigError, match="no value for 'high'"):
        table.judge({"low": about(10, 0.1)}, "")
    with pytest.raises(ConfigError, match="tolerances"):
        Table({"low": 1.0}, relative=-0.1)


def test_which_verdicts_are_worse():
    ranked = [[HOLDS], [EDGE, OPEN], [MISSES]]
    for i, some in enumerate(ranked):
        for j, others in enumerate(ranked):
            assert all(worse(a, b) == (i > j) for a in some for b in others)
    for neutral in (Verdict.NOT_RUN, Verdict.REPORTED):
        assert not any(worse(neutral, other) or worse(other, neutral) for other in Verdict)


# ---- papers ----


def claim(**changes):
    settings = {
        "id": "gain",
        "where": "Table 1",
        "what": "a | b",
        "published": "2",
        "accepted": Band(1.5, 2.5),
        "study": Study("s", lambda _: mean_interval([1.9, 2.0, 2.1])),
        "measure": lambda found: found,
    }
    return Claim(**{**settings, **changes})


def paper(*claims, **changes):
    return Paper(
        **{"name": "toy", "title": "A toy", "citation": "Ours.", "claims": claims} | changes
    )


def test_a_paper_is_checked():
    for wrong, said in (
        ({"claims": [claim(), claim()]}, "gain is given twice"),
        ({"claims": []}, "no claims"),
        ({"claims": [claim(id="../x")]}, "is not made of"),
        ({"name": ".hidden", "claims": [claim()]}, "is not made of"),
    ):
        with pytest.raises(ConfigError, match=said):
            paper(**wrong)


def test_every_paper_loads_and_its_claims_describe_themselves():
    for name in papers.names():
        found = papers.paper(name)
        assert found.title
        assert found.citation
        for each in found.claims:
            assert each.where, f"{name}/{each.id}"
            assert each.published, f"{name}/{each.id}"
            assert each.accepted.text(each.unit)


def test_data_files(tmp_path, monkeypatch):
    monkeypatch.delenv("ORRERY_DATA", raising=False)
    with pytest.raises(NotRun, match="ORRERY_DATA is not set"):
        data_file("a.csv")
    monkeypatch.setenv("ORRERY_DATA", str(tmp_path))
    with pytest.raises(NotRun, match=r"ORRERY_DATA holds no a\.csv"):
        data_file("a.csv")
    (tmp_path / "a.csv").write_text("")
    assert data_file("a.csv") == tmp_path / "a.csv"


# ---- the command ----


@pytest.fixture
def orrery(tmp_path, monkeypatch):
    """`orrery(papers, words)`: the command in an empty folder, on papers made here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "_checkout", lambda: None)

    def call(made, *words):
        module = types.ModuleType("toys")
        made = [made] if isinstance(made, Paper) else made
        for each in made:
            setattr(module, each.name, each)
        monkeypatch.setitem(sys.modules, "toys", module)
        return ask(*(f"toys:{each.name}" for each in made), "--processes", "1", *words)

    return call


def ask(*words):
    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers())
    arguments = parser.parse_args(["reproduce", *words])
    return arguments.do(arguments)


def verdicts():
    found = json.loads(Path(command.VERDICTS).read_text())
    return {
        f"{paper}/{name}": cells["verdict"]
        for paper, claims in found.items()
        for name, cells in claims.items()
    }


def files():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def draw(figure, data):
    figure.subplots().plot([1, 2, 3], data)


PICTURE = Plot("curve", "A curve", "Up.", Study("points", lambda _: [1.0, 2.0, 4.0]), draw)
MISS = claim(id="miss", accepted=Band(3, 4), reason="the paper's link is faster")


def test_what_is_written_and_said(orrery, capsys):
    claims = [
        claim(),
        replace(MISS, published="3 | 4"),
        claim(id="edge", accepted=Band(2, 3)),
        claim(id="open", accepted=Band(1.99, 2.01)),
        claim(id="seen", accepted=Finding(), note="As expected"),
        claim(id="all", accepted=Table({"x": 2.0}, absolute=1), measure=lambda found: {"x": found}),
    ]
    assert orrery(paper(*claims, plots=[PICTURE], about="A toy run.")) == 0
    captured = capsys.readouterr()
    assert "2 hold, 1 at the edge, 1 not resolved, 1 misses, 1 reported" in captured.out
    assert "miss: the paper's link is faster" in captured.out
    assert "time: toy: s: 0.0 s" in captured.err
    page = Path("REPRODUCTION.md").read_text()
    assert (
        "| **gain**: a \\| b | Table 1 | 2 | 1.5 to 2.5 | 2.00 (1.75 to 2.25) | **holds** |" in page
    )
    assert "- **miss** (misses): the paper's link is faster." in page
    assert "- **seen** (reported): As expected." in page
    assert "![A curve](docs/reproduction/toy/curve.png)" in page
    assert "<summary>all: all 1 values</summary>" in page
    assert list(verdicts().values()) == [
        "holds",
        "misses",
        "at the edge",
        "not resolved",
        "reported",
        "holds",
    ]
    drawn = Path("docs/reproduction/toy/curve.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert len(drawn) < LARGEST_BYTES
    for text in (page, Path(command.VERDICTS).read_text()):
        assert "0.0 s" not in text


def test_rows_of_the_page_have_as_many_cells_as_its_head(orrery):
    assert orrery(paper(claim(what="a | b\nc"), MISS)) == 0
    for line in Path("REPRODUCTION.md").read_text().splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in (4, 7)


def test_the_same_bytes_again(orrery):
    made = paper(claim(), MISS, plots=[PICTURE])
    assert orrery(made) == 0
    first = files()
    assert len(first) == 3
    assert orrery(made) == 0
    assert files() == first


def test_the_study_of_several_claims_runs_once(orrery):
    runs = []
    study = Study("once", lambda workers: runs.append(workers.full) or Estimate.exact(2))
    plot = replace(PICTURE, study=study, draw=lambda figure, data: None)
    assert orrery(paper(claim(study=study), claim(id="b", study=study), plots=[plot])) == 0
    assert runs == [False]


def test_a_worse_verdict_fails_and_writes_nothing(orrery, capsys):
    assert orrery(paper(claim(), claim(id="other"))) == 0
    before = files()
    edge = paper(claim(accepted=Band(2, 3)), claim(id="other"))
    for _ in range(2):
        assert orrery(edge) == 1
        assert files() == before
    assert (
        "worse: toy/gain: at the edge (2.00 (1.75 to 2.25)), was: holds" in capsys.readouterr().out
    )
    assert orrery(edge, "--update") == 0
    assert verdicts() == {"toy/gain": "at the edge", "toy/other": "holds"}
    assert orrery(edge) == 0
    miss = paper(claim(accepted=Band(3, 4), reason="why"), claim(id="other"))
    assert orrery(miss) == 1
    assert orrery(paper(claim(), claim(id="other"))) == 0
    assert verdicts()["toy/gain"] == "holds"


def test_a_known_miss_is_no_failure(orrery):
    assert orrery(paper(MISS)) == 0
    assert orrery(paper(MISS)) == 0
    assert orrery(paper(replace(MISS, id="new"))) == 0
    assert verdicts() == {"toy/new": "misses"}


def test_a_miss_without_a_reason_is_an_error_that_names_the_claim(orrery, capsys):
    for reason in ("", "  "):
        with pytest.raises(ConfigError, match="toy/miss: misses without a reason"):
            orrery(paper(claim(), replace(MISS, reason=reason)))
    assert "misses" in capsys.readouterr().out, "the table is shown before"
    assert not files()


def test_a_reason_that_is_out_of_date_is_pointed_out(orrery, capsys):
    assert orrery(paper(claim(reason="too slow a link"))) == 0
    assert "out of date" in capsys.readouterr().out
    assert "too slow a link" not in Path("REPRODUCTION.md").read_text()


def needs_data(_):
    data_file("trace.csv").read_text()
    return mean_interval([1.9, 2.0, 2.1])


def test_without_data_nothing_that_was_known_is_lost(orrery, capsys, monkeypatch):
    monkeypatch.delenv("ORRERY_DATA", raising=False)
    study = Study("trace", needs_data)
    plot = replace(PICTURE, study=study, draw=lambda figure, data: figure.subplots())
    made = paper(claim(study=study), claim(id="free"), plots=[plot])
    assert orrery(made) == 0
    assert verdicts() == {"toy/gain": "not run", "toy/free": "holds"}
    assert "gain: ORRERY_DATA is not set" in capsys.readouterr().out
    assert "**gain** (not run): ORRERY_DATA is not set." in Path("REPRODUCTION.md").read_text()
    assert "curve.png" not in Path("REPRODUCTION.md").read_text()

    Path("trace.csv").write_text("")
    monkeypatch.setenv("ORRERY_DATA", ".")
    assert orrery(made) == 0
    known = files()
    assert verdicts()["toy/gain"] == "holds"
    assert "curve.png" in Path("REPRODUCTION.md").read_text()

    monkeypatch.delenv("ORRERY_DATA")
    capsys.readouterr()
    assert orrery(made) == 0
    assert files() == known
    assert "not run, kept as it was: toy/gain: holds" in capsys.readouterr().out
    # A verdict on another target is not kept.
    assert orrery(paper(claim(study=study, accepted=Band(0, 9)))) == 0
    assert verdicts() == {"toy/gain": "not run"}


def test_a_partial_run_leaves_other_papers_as_they_are(orrery):
    other = paper(claim(), name="b", title="Another", plots=[PICTURE])
    assert orrery([paper(claim(), name="c"), other, paper(claim(), name="a")]) == 0
    path = Path("REPRODUCTION.md")
    path.write_text(path.read_text().replace("Another", "By hand"))
    assert orrery(paper(claim(), claim(id="more"), name="c")) == 0
    page = path.read_text()
    assert page.index("## a\n") < page.index("## b\n") < page.index("## c\n")
    assert "By hand" in page
    assert "| [c](#c) | 2 | 2 hold |" in page
    assert list(verdicts()) == ["a/gain", "b/gain", "c/gain", "c/more"]
    assert orrery([paper(claim(), name="c"), other, paper(claim(), name="a")]) == 0
    assert "By hand" not in path.read_text()


def test_out_and_the_checkout(orrery, tmp_path, monkeypatch):
    """In a checkout its verdicts count, wherever the page goes; another folder is written even
    where a verdict is worse."""
    home = tmp_path / "home"
    monkeypatch.setattr(command, "_checkout", lambda: home)
    assert orrery(paper(claim())) == 0
    assert (home / "REPRODUCTION.md").is_file()
    assert not Path("REPRODUCTION.md").exists()
    kept = (home / command.VERDICTS).read_bytes()
    assert orrery(paper(claim(accepted=Band(2, 3))), "--out", "elsewhere") == 1
    assert "at the edge" in (Path("elsewhere") / "REPRODUCTION.md").read_text()
    assert (home / command.VERDICTS).read_bytes() == kept
    assert orrery(paper(claim(accepted=Band(2, 3))), "--out", str(home)) == 1
    assert (home / command.VERDICTS).read_bytes() == kept


def test_full_is_written_with_out_alone(orrery, capsys):
    study = Study("s", lambda workers: Estimate.exact(2.25 if workers.full else 2))
    assert orrery(paper(claim(study=study)), "--full") == 0
    assert "--out DIR says where" in capsys.readouterr().out
    assert not files()
    assert orrery(paper(claim(study=study)), "--full", "--out", "full") == 0
    assert "2.25" in Path("full/REPRODUCTION.md").read_text()


def test_names_of_papers(orrery, capsys, monkeypatch):
    monkeypatch.setattr(papers, "names", list)
    assert ask() == 0
    assert "no paper is registered yet" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="trail: no such paper; there are none yet"):
        ask("trail")
    monkeypatch.setattr(papers, "names", lambda: ["lamps", "minder"])
    with pytest.raises(ConfigError, match="there are lamps, minder"):
        ask("trail")
    with pytest.raises(ConfigError, match="there is no module nowhere"):
        ask("nowhere.at_all:PAPER")
    with pytest.raises(ConfigError, match="is NoneType, not a Paper"):
        ask("math:PAPER")
    with pytest.raises(ConfigError, match="processes: 0"):
        orrery(paper(claim()), "--processes", "0")
    assert ask("experiments.reproduce.example:PAPER", "--list") == 0
    assert "5 claims  Queueing Systems" in capsys.readouterr().out
    assert not files()


def test_wrong_verdicts_are_named_before_anything_runs(orrery):
    path = Path(command.VERDICTS)
    path.parent.mkdir(parents=True)
    study = Study("s", lambda _: pytest.fail("was run"))
    for text in ("{", "[]", '{"toy": {"gain": {"verdict": "fine"}}}', '{"toy": {"gain": {}}}'):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"verdicts\.json: cannot be read as verdicts"):
            orrery(paper(claim(study=study)))


def test_errors_name_the_claim(orrery):
    def fails(_):
        raise CapacityError("no room")

    with pytest.raises(CapacityError, match="toy/gain: no room"):
        orrery(paper(claim(study=Study("s", fails))))
    with pytest.raises(ValueError, match="needs 2") as raised:
        orrery(paper(claim(measure=lambda found: mean_interval([1]))))
    assert raised.value.__notes__ == ["in the claim toy/gain"]


def test_a_picture_must_be_small():
    def noise(figure, _):
        figure.subplots().imshow(np.random.default_rng(1).random((300, 600)))

    with pytest.raises(ConfigError, match="draw less"):
        picture(replace(PICTURE, draw=noise), None)


def test_the_example(orrery, capsys):
    """Also shows that the number of processes changes no byte."""
    assert orrery(example.PAPER) == 0
    assert "4 hold, 1 reported" in capsys.readouterr().out
    first = files()
    assert ask("experiments.reproduce.example:PAPER", "--processes", "2") == 0
    assert files() == first
    exact = example.respond("constant", 0.5, 400_000, 3)
    assert exact == pytest.approx(1.5, rel=0.02)


# ---- runs and processes ----


def arrived(result: Result) -> float:
    return result.number("serving.requests_arrived")


def test_replications_by_metrics_and_by_function():
    small = ["workload.count=12"]
    metric = "serving.e2e_latency_s.mean"
    with Workers(2) as workers:
        found = sweep({"slow": small, "fast": [*small, "gpu=h100-sxm"]}, [4, 5], [metric], workers)
    with Workers(1) as here:
        assert replicate(small, [4, 5], [metric], here) == found["slow"]
        assert replicate(small, [4], arrived, here) == [12.0]
        with pytest.raises(
            ConfigError, match=r"no metric 'no\.such'.*with workload.count=12 seed=1"
        ):
            replicate(small, [1], ["no.such"], here)
    assert found["slow"][0] != found["slow"][1]
    for slow, fast in zip(found["slow"], found["fast"], strict=True):
        assert fast[metric] < slow[metric]
    with pytest.raises(TypeError, match="give a list"):
        replicate(small, [1], metric)


def test_workers_keep_the_order_and_raise_the_first_error():
    environment = dict(os.environ)
    with Workers(2) as workers:
        assert workers.map(math.sqrt, range(9)) == [math.sqrt(i) for i in range(9)]
        with pytest.raises(ValueError, match=r"math domain|nonnegative"):
            workers.map(math.sqrt, [1, -1, 2])
        assert workers.map(abs, [-1, -2]) == [1, 2], "they start again after an error"
        with pytest.raises(CapacityError, match="was killed"):
            workers.map(os._exit, [3, 3])
    assert dict(os.environ) == environment
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SLOW = """
import os, sys, time
from pathlib import Path
from experiments.reproduce import Claim, Finding, Paper, Study
def sleep(i):
    Path(f"pid-{os.getpid()}").write_text("")
    time.sleep(60)
study = Study("slow", lambda workers: workers.map(sleep, range(8)))
PAPER = Paper("slow", "t", "c", [Claim("a", "w", "w", "p", Finding(), study, lambda found: found)])
"""
ASK = """
import argparse, sys
from experiments.reproduce import command
parser = argparse.ArgumentParser()
command.add_to(parser.add_subparsers())
arguments = parser.parse_args(["reproduce", "slow:PAPER", "--processes", "2"])
try:
    sys.exit(arguments.do(arguments))
except KeyboardInterrupt:
    sys.exit(130)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_command(tmp_path, how):
    """Ctrl-C reaches the whole group at once, a kill the command alone."""
    (tmp_path / "slow.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-c", ASK],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("pid-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 2
    if how is signal.SIGINT:
        os.killpg(process.pid, how)
        _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (130, "")
    else:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))
    assert not (tmp_path / "REPRODUCTION.md").exists()
