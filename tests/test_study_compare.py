"""Comparisons: intervals against hand values and their own promises, over thousands of repeats."""

import math
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.cli import main
from experiments.compose import compose
from experiments.study.compare import compare
from experiments.study.intervals import independent, of_mean, paired
from experiments.study.replication import replicate
from experiments.study.seeds_needed import MOST, seeds_needed
from experiments.study.warm_up import LATENCIES, WarmUp
from sim.core.errors import ConfigError
from sim.core.run import run

A = [10.1, 9.7, 11.2, 10.4, 9.9, 10.8]
B = [10.6, 9.9, 11.1, 11.3, 10.0, 11.5]
SMALL = ["workload.count=40", "series_interval_s=null"]
numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)


@cache
def lindley(seed, stretch, services):
    """A stretched M/M/1 queue at load 0.5: figures of 1,000 customers, by Lindley's recursion.

    `services`: 0 takes the services of the seed's own stream, else those of another one for one
    customer in 25, so that two arms on one seed are alike but not the same.
    """
    random = np.random.default_rng(seed)
    gaps, work = random.exponential(2.0, 1000), random.exponential(1.0, 1000)
    if services:
        work[::25] = np.random.default_rng([seed, services]).exponential(1.0, 40)
    walk = np.cumsum(np.concatenate(([0.0], work[:-1] - gaps[1:])))
    waits = walk - np.minimum.accumulate(walk)
    return {
        "sojourn_s.mean": stretch * float((waits + work).mean()),
        "makespan_s": stretch * float(gaps.sum() + waits[-1] + work[-1]),
    }


def queue(settings, seed):
    """The queue as `compare` calls a simulator."""
    values = dict(word.split("=") for word in settings)
    return lindley(seed, float(values.get("stretch", 1.0)), int(values.get("services", 0)))


def test_intervals_by_hand():
    change = [y - x for x, y in zip(A, B, strict=True)]
    found = paired(A, B)
    # t(0.975, 5) = 2.5706
    half = 2.570582 * np.std(change, ddof=1) / math.sqrt(6)
    assert found.estimate == pytest.approx(2.3 / 6)
    assert found.half_width == pytest.approx(half, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((2.3 / 6 - half, 2.3 / 6 + half), abs=1e-6)
    assert found.excludes_zero == (found.low > 0)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_intervals_are_those_of_scipy(level):
    for mine, theirs in (
        (paired(A, B, level), stats.ttest_rel(B, A)),
        (independent(A, B, level), stats.ttest_ind(B, A, equal_var=False)),
        (independent(A, B[:3], level), stats.ttest_ind(B[:3], A, equal_var=False)),
        (of_mean(A, level), stats.ttest_1samp(A, 0.0)),
    ):
        interval = theirs.confidence_interval(level)
        assert (mine.low, mine.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
        assert mine.excludes_zero == (theirs.pvalue < 1 - level)


@given(numbers, st.floats(0.1, 10.0))
def test_intervals_scale_and_turn_round(values, factor):
    other = values[::-1]
    for interval in (paired, independent):
        one, back = interval(values, other), interval(other, values)
        assert back.estimate == pytest.approx(-one.estimate, abs=1e-6)
        assert back.half_width == pytest.approx(one.half_width, abs=1e-6)
        large = interval([factor * x for x in values], [factor * x for x in other])
        assert large.half_width == pytest.approx(factor * one.half_width, rel=1e-6, abs=1e-4)
        assert interval(values, values).estimate == 0.0


def test_what_makes_no_interval_is_an_error():
    with pytest.raises(ValueError, match="two replications"):
        paired([1.0], [2.0])
    with pytest.raises(ValueError, match="no pairs"):
        paired([1.0, 2.0], [2.0])
    with pytest.raises(ValueError, match="not finite"):
        independent([1.0, math.nan], [2.0, 3.0])
    with pytest.raises(ValueError, match="detect"):
        seeds_needed([1.0, 2.0], 0.0)


def test_seeds_needed_by_hand():
    # Standard deviation 1 known well: (t(0.975, 43) + t(0.9, 43))^2 / 0.5^2 = 44.04 > 44, the
    # next is enough. By the normal quantiles it would be 43.
    pilot = [1.0, -1.0] * 50_000
    assert seeds_needed(pilot, 0.5, confidence=0.5) == 45
    assert seeds_needed((pilot, pilot), 0.5, confidence=0.5) in (86, 87)  # exactly: 86
    assert seeds_needed([0.0, 0.0], 0.1) == 2
    assert seeds_needed([-1e9, 1e9], 1e-3) == MOST
    assert seeds_needed([0.0, 2.0], 0.01) == MOST  # 13 million


@given(numbers.filter(lambda values: np.std(values) > 1e-3), st.floats(0.01, 100.0))
def test_seeds_needed_is_monotone(pilot, detect):
    n = seeds_needed(pilot, detect)
    assert 2 <= n <= MOST
    assert seeds_needed(pilot, 2 * detect) <= n
    assert seeds_needed(pilot, detect, power=0.95) >= n
    assert seeds_needed(pilot, detect, confidence=0.95) >= n
    assert seeds_needed((pilot, pilot), detect) >= 2


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_the_recommended_number_is_that_of_the_noncentral_t(confidence):
    """The usual formula with t quantiles is within a seed or two of the exact power."""
    pilot = list(np.random.default_rng(3).normal(0.0, 1.0, 12))
    variance = np.var(pilot, ddof=1) * 11 / stats.chi2.ppf(1 - confidence, 11)
    for detect in (0.3, 0.6, 1.2):
        n = seeds_needed(pilot, detect, confidence=confidence)

        def power(n, centre=detect):
            shift = centre * math.sqrt(n / variance)
            return stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, shift)

        assert power(n) >= 0.899
        assert power(n - 2) < 0.9


def test_a_policy_against_itself_differs_by_exactly_nothing():
    found = compare(["ordering=fcfs"], ["ordering=fcfs"], SMALL, range(3))
    assert len(found.contrasts) > 40
    numbers = [each for each in found.contrasts.values() if not each.why_not]
    assert len(numbers) > 40
    for contrast in numbers:
        assert contrast.difference.estimate == contrast.difference.half_width == 0.0
        assert not contrast.resolved


def test_intervals_of_equal_arms_with_seeds_of_their_own_cover_zero():
    """95 % intervals cover in 93 to 97 % of 2,000 repeats."""
    covered = {"sojourn_s.mean": 0, "makespan_s": 0}
    for repeat in range(2000):
        first = 16 * repeat
        found = compare(
            [], [], [], range(first, first + 8), seeds_b=range(first + 8, first + 16), measure=queue
        )
        for metric in covered:
            covered[metric] += not found[metric].resolved
    for metric, count in covered.items():
        assert 0.93 <= count / 2000 <= 0.97, metric


@pytest.mark.parametrize(
    ("metric", "arm_b", "own_seeds"),
    [
        ("sojourn_s.mean", ["services=1"], False),
        ("makespan_s", [], True),
    ],
)
def test_a_planted_difference_is_found_with_the_seeds_recommended(metric, arm_b, own_seeds):
    """2 % in 90 % of repeats or more, each with a pilot of its own that the study goes on from."""
    repeats, found_it, asked = 300, 0, []
    for repeat in range(repeats):
        first = 100_000 * repeat

        def study(n, first=first):
            seeds_b = range(first + 50_000, first + 50_000 + n) if own_seeds else None
            return compare(
                [],
                ["stretch=1.02", *arm_b],
                [],
                range(first, first + n),
                seeds_b=seeds_b,
                metrics=[metric],
                measure=queue,
            )[metric]

        n = study(8).seeds
        asked.append(n)
        contrast = study(n)
        found_it += contrast.resolved and contrast.difference.estimate > 0
    assert found_it / repeats >= 0.9
    assert 8 < np.median(asked) < 200, "neither trivial nor out of reach"


def test_common_random_numbers_need_fewer_seeds():
    alike = compare([], ["services=1"], [], range(20), measure=queue)
    apart = compare([], ["services=1"], [], range(20), seeds_b=range(20, 40), measure=queue)
    for metric in ("sojourn_s.mean", "makespan_s"):
        assert alike[metric].seeds < apart[metric].seeds / 2
        assert alike[metric].a == apart[metric].a


def test_what_is_not_a_number_makes_no_comparison():
    def measure(settings, seed):
        both = {"none": 0.0, "text": "x", "sometimes": None if seed == 1 else 1.0}
        return both | ({"new": 1} if "b" in settings else {})

    found = compare([], ["b"], [], range(3), metrics=["none", "sometimes", "new"], measure=measure)
    assert found["none"].seeds is None
    assert found["none"].share is None
    assert found["sometimes"].why_not == "no number in 1 of 3 replications of A"
    assert found["new"].why_not == "not a metric of A"
    assert found["new"].difference is None
    assert not found["new"].resolved


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": [1]}, "no comparison"),
        ({"seeds": [1, 1]}, "twice"),
        ({"seeds": [1, 2], "seeds_b": [2, 3]}, "share none"),
        ({"common": ["seed=4"]}, "the replications set the seed"),
        ({"metrics": ["sojourn"]}, "sojourn_s.mean"),
        ({"settings_b": ["stretch=wide"]}, "B, seed 0: ValueError"),
    ],
)
def test_wrong_comparisons(given, said):
    with pytest.raises(ConfigError, match=said):
        compare(**{"settings_a": [], "settings_b": [], "measure": queue, **given})


def test_warm_up_leaves_out_the_first_arrivals():
    result = run(compose([*SMALL, "arrivals.rate_rps=20", "engine.max_sequences=4"]))
    for nothing in (WarmUp(), WarmUp.read("0")):
        figures = nothing.figures(result)
        assert figures == {name: result[name] for name in figures}
        assert not nothing
    assert len(figures) == 5 * len(LATENCIES)
    frame = result.table("requests").sort_values("arrival_s")
    for warm_up, kept in (
        (WarmUp.read("0.25"), frame.iloc[10:]),
        (WarmUp.read("25%"), frame.iloc[10:]),
        (WarmUp.read("1s"), frame[frame.arrival_s >= 1.0]),
    ):
        figures = warm_up.figures(result)
        assert figures["serving.ttft_s.mean"] == pytest.approx(kept.ttft_s.mean(), rel=1e-12)
        assert figures["serving.queue_s.p99"] == pytest.approx(kept.queue_s.quantile(0.99))
        assert figures["serving.ttft_s.mean"] != result["serving.ttft_s.mean"]
        assert all(warm_up.covers(name) for name in figures)
    assert not WarmUp.covers("serving.itl_s.mean")
    assert not WarmUp.covers("energy_j")
    with pytest.raises(ConfigError, match="no finished request"):
        WarmUp.read("9999s").figures(result)
    for wrong in ("1.0", "100%", "-1s", "ten", "", "nan"):
        with pytest.raises(ConfigError, match="--warm-up"):
            WarmUp.read(wrong)


def test_a_replication_is_a_run_with_that_seed():
    assert replicate(SMALL, 3) == run(compose([*SMALL, "seed=3"])).summary


@pytest.fixture
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_the_command_prints_intervals_and_advice(in_empty_folder, capsys):
    words = ["compare", "-a", "replicas=1", "-b", "replicas=2", "-n", "3", "--out", "c.csv"]
    words += ["--warm-up", "10%", "--metric", "ttft_s.mean", "energy_j", "serving.kv_blocks"]
    assert main([*words, "--", *SMALL, "arrivals.rate_rps=8"]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[:2] == ["A:    replicas=1", "B:    replicas=2"]
    assert "seeds 0 to 2 in both arms (common random numbers), paired differences" in said
    assert "warm-up: the first 0.1 of the requests, by arrival, removed" in said
    (energy,) = [line for line in lines if line.startswith("energy_j *")]
    assert energy.count("±") == 4
    assert "%" in energy
    assert "of A's mean in each metric above with 90 % power:" in said
    assert said.count("±") >= 12
    table = pd.read_csv("c.csv").set_index("metric")
    values = [
        [
            replicate([*SMALL, "arrivals.rate_rps=8", f"replicas={k}"], s)["energy_j"]
            for s in (0, 1, 2)
        ]
        for k in (1, 2)
    ]
    expected = paired(*values)
    row = table.loc["energy_j"]
    assert (row.difference_low, row.difference_high) == pytest.approx((expected.low, expected.high))
    assert row.resolved == expected.excludes_zero


def test_totals_of_runs_that_do_not_last_as_long_are_marked(in_empty_folder, capsys):
    """Half of the arrivals' rate takes twice the time; with one end for all nothing is said."""
    arms = ["-a", "arrivals.rate_rps=8", "-b", "arrivals.rate_rps=4"]
    metrics = ["--metric", "energy_j", "serving.carbon_g", "carbon_per_request_g", "ttft_s.mean"]
    words = ["compare", *arms, "-n", "2", *metrics, "--", *SMALL, "workload=fixed"]
    assert main(words) == 0
    said = capsys.readouterr().out
    marked = [line.split()[0] for line in said.splitlines() if line.split()[1:2] == ["#"]]
    assert marked == ["energy_j", "serving.carbon_g"]
    (note,) = [line for line in said.splitlines() if line.startswith("#: a total over runs")]
    (word,) = [word for word in note.split() if word.startswith("idle_until_s=")]
    ends = [
        replicate([*SMALL, "workload=fixed", arm], seed)["simulated_s"]
        for arm in (arms[1], arms[3])
        for seed in (0, 1)
    ]
    assert word == f"idle_until_s={math.ceil(max(ends))}"
    assert main([*words, word]) == 0
    assert "#" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "-a"),
        (["-b", "replicas=2", "-n", "1"], "no comparison"),
        (["-b", "replicas=2", "--detect", "0%"], "--detect"),
        (["-b", "replicas=2", "--warm-up", "half"], "--warm-up"),
        (["-b", "replicas=2", "--power", "1"], "--power"),
        (["-b", "replicas=2", "--out", "c.xlsx"], "c.xlsx"),
        (["-b", "replcas=2", "-j", "1"], "B, seed 0: replcas: no such setting"),
        (["seed=1", "-b", "replicas=2"], "seed=1"),
    ],
)
def test_wrong_commands_say_so_in_a_line(in_empty_folder, capsys, words, said):
    assert main(["compare", "workload.count=20", *words]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not any(in_empty_folder.iterdir())
