"""Predictions on arrival: shares and errors as published, files, costs, bad input."""

from __future__ import annotations

import json
from math import inf

import numpy as np
import pytest

from experiments.calibration import predictors as calibration
from experiments.compose import compose
from models.errors import ConfigError, TraceError
from models.length_prediction import (
    Binned,
    Exact,
    Exponential,
    FromFile,
    Noisy,
    PromptClassifier,
    RefinedClassifier,
)
from models.prediction import Asked, Refining
from sim.core.run import instantiate, run

SHIPPED = (
    "prompt_classifier",
    "trail_release",
    "trail_paper",
    "exact",
    "noisy",
    "lamps_bins",
    "exponential",
)


def shipped(name):
    return instantiate("predictor", compose([f"predictor={name}"]).predictor)


def rng(seed=0):
    return np.random.default_rng(seed)


def fresh_lengths(count, seed=11):
    """Lengths of TRAIL's workload, drawn."""
    output = instantiate("workload", compose(["workload=alpaca"]).workload).output
    return output.sample(rng(seed), count).astype(float)


# Fits


def test_the_prompts_classifier_is_as_good_as_the_release_says():
    lengths = fresh_lengths(30_000)
    p = PromptClassifier()
    draws = rng(5)
    found = np.array([p.predict(20, int(n), draws) for n in lengths])
    assert np.abs(found - lengths).mean() == pytest.approx(46.1, abs=1.0)
    assert (found - lengths).mean() == pytest.approx(-4.6, abs=1.0)
    assert found.min() >= 0.0
    assert found.max() <= 512.0
    right = likeliest(p, lengths, rng(6)) == np.minimum(lengths // 51.2, 9)
    assert right.mean() == pytest.approx(0.517, abs=0.01)


def likeliest(p, lengths, draws):
    return p.weights(p.seen(lengths, draws.standard_normal(len(lengths)))).argmax(axis=0)


def test_one_look_of_the_refined_classifier_is_as_good_as_the_release_says():
    remaining = calibration.remaining_lengths(fresh_lengths(3000))
    p = RefinedClassifier()
    right = likeliest(p, remaining, rng(6)) == np.minimum(remaining // 51.2, 9)
    assert right.mean() == pytest.approx(0.624, abs=0.01)
    raw = RefinedClassifier(smoothed=False)
    assert calibration.path_mae(raw, fresh_lengths(3000)) == pytest.approx(33.9, abs=1.0)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("trail_release", 1.9, 2.5), ("trail_paper", 2.5, 2.8)]
)
def test_smoothing_lowers_the_error(name, low, high):
    """The paper has 2.66 for the prompt's error over the smoothed one."""
    from dataclasses import replace

    p = shipped(name)
    lengths = fresh_lengths(3000)
    draws = rng(5)
    prompt = np.mean([abs(p.predict(20, int(n), draws) - n) for n in lengths])
    smoothed = calibration.path_mae(p, lengths)
    raw = calibration.path_mae(replace(p, smoothed=False), lengths)
    assert smoothed < 0.8 * raw
    assert low < prompt / smoothed < high


def test_the_shipped_constants_are_what_the_fit_finds():
    keys = ("error_tokens", "error_share", "spread_tokens")
    release = calibration.fit_release()
    for fitted, ours in (
        (calibration.fit_prompt(), [shipped("prompt_classifier"), PromptClassifier()]),
        (
            calibration.fit_prompt(),
            [shipped("trail_paper").prompt, shipped("trail_release").prompt],
        ),
        (release, [shipped("trail_release"), RefinedClassifier()]),
        (calibration.fit_paper(release), [shipped("trail_paper")]),
    ):
        for one in ours:
            for key in keys:
                assert getattr(one, key) == pytest.approx(getattr(fitted, key), rel=0.005), key


def test_scores_agree_with_drawn_errors():
    """The quadrature against simple sampling."""
    p = PromptClassifier(error_tokens=20.0, error_share=0.1, spread_tokens=30.0)
    found = calibration.scores(p, calibration.alpaca_lengths(500))
    lengths = np.tile(calibration.alpaca_lengths(500), 100)
    weights = p.weights(p.seen(lengths, rng(1).standard_normal(len(lengths))))
    true = np.minimum(lengths // 51.2, 9).astype(int)
    misses = p.expected(weights) - lengths
    assert found.accuracy == pytest.approx((weights.argmax(axis=0) == true).mean(), abs=0.01)
    assert found.mae_tokens == pytest.approx(np.abs(misses).mean(), rel=0.02)
    assert found.bias_tokens == pytest.approx(misses.mean(), abs=0.5)
    right = weights[true, np.arange(len(true))] / weights.sum(axis=0)
    assert found.cross_entropy == pytest.approx(-np.log(right).mean(), rel=0.02)


# Predictors on arrival


@pytest.mark.parametrize("seen", [-500.0, 0.0, 51.2, 200.0, 512.0, 1e9])
def test_one_length_as_many(seen):
    p = PromptClassifier()
    many = p.expected(p.weights(np.array([seen, 77.0])))
    assert p.expected_of(seen) == pytest.approx(many[0], rel=1e-9)


def test_expected_length_by_hand():
    p = PromptClassifier(bins=2, range_tokens=20.0, spread_tokens=5.0)
    near = 1.0 / (1.0 + np.exp((64.0 - 4.0) / -50.0))
    assert p.expected_of(7.0) == pytest.approx(5.0 * near + 15.0 * (1.0 - near))


@pytest.mark.parametrize("length", [3, 250, 499, 800])
def test_binned_shares(length):
    p = Binned()
    draws = rng(2)
    found = np.array([p.predict(10, length, draws) for _ in range(20_000)])
    true = 10 * min(length // 10, 49) + 5
    away = np.abs(found - true) / 10
    assert (away == 0).mean() == pytest.approx(0.685, abs=0.01)
    assert (away <= 1).mean() == pytest.approx(0.783, abs=0.01)
    assert set(away) == {0.0, 1.0, 2.0}
    assert found.min() >= 5.0
    assert found.max() <= 495.0


def test_binned_error_is_what_its_docstring_says():
    p = Binned()
    draws = rng(3)
    lengths = rng(4).integers(20, 480, 40_000).tolist()
    error = np.mean([abs(p.predict(10, n, draws) - n) for n in lengths])
    assert error == pytest.approx(7.0, abs=0.1)
    perfect = Binned(same=1.0, within_one=1.0)
    assert perfect.predict(10, 37, draws) == 35.0


def test_noise():
    p = Noisy(relative=0.2, mae_tokens=30.0)
    draws = rng(3)
    found = np.array([p.predict(10, 1000, draws) for _ in range(20_000)])
    assert found.mean() == pytest.approx(1000.0, abs=6.0)
    assert found.std() == pytest.approx(np.hypot(200.0, 30.0 * np.sqrt(np.pi / 2.0)), rel=0.03)
    assert Noisy().predict(10, 123, draws) == 123.0
    wild = Noisy(relative=5.0)
    assert min(wild.predict(10, 100, draws) for _ in range(50)) == 0.0


def test_exponential():
    draws = rng(3)
    found = np.array([Exponential().predict(10, 300, draws) for _ in range(40_000)])
    assert found.mean() == pytest.approx(300.0, rel=0.02)
    assert (found > 300.0).mean() == pytest.approx(np.exp(-1.0), abs=0.01)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_predictors(name):
    p = shipped(name)
    draws = rng(1)
    values = [p.predict(30, n, draws) for n in (1, 80, 512, 4000)]
    assert all(type(value) is float and 0.0 <= value < inf for value in values)
    assert p.arrival_s >= 0.0
    assert p.per_token_s >= 0.0
    if isinstance(p, Refining):
        assert [len(path) for path in p.paths([Asked(3, 30, 90, values[0])], 1)] == [90]


def test_costs_are_kept():
    p = Exact(arrival_s=0.01, per_token_s=5e-7)
    assert (p.arrival_s, p.per_token_s) == (0.01, 5e-7)
    assert (Noisy().arrival_s, Noisy().per_token_s) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Binned(bins=4), r"predictor\.bins: 4 must be a whole number >= 5"),
        (lambda: Binned(same=0.9, within_one=0.8), r"predictor\.within_one: 0\.8"),
        (lambda: Binned(far_bins=1), r"predictor\.far_bins: 1"),
        (lambda: Binned(width_tokens=0), r"predictor\.width_tokens: 0"),
        (lambda: Noisy(relative=-0.1), r"predictor\.relative: -0\.1"),
        (lambda: Noisy(mae_tokens=inf), r"predictor\.mae_tokens: inf"),
        (lambda: Exponential(arrival_s=-1), r"predictor\.arrival_s: -1"),
        (lambda: FromFile(path=3), r"predictor\.path: 3"),
    ],
)
def test_bad_settings_name_their_key(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


# Files


def written(tmp_path, *lines):
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
    return FromFile(path=str(path))


def test_a_file_speaks_for_requests_in_order_of_arrival(tmp_path):
    p = written(
        tmp_path,
        {"request": 1, "predicted": 2.5},
        {"request": 0, "predicted": 9, "remaining": [3, 2.5, 0]},
    )
    draws = rng()
    assert [p.predict(10, n, draws) for n in (3, 5)] == [9.0, 2.5]
    assert draws.random() == rng().random()
    paths = p.paths([Asked(1, 10, 5, 2.5), Asked(0, 10, 3, 9.0)], 0)
    assert [list(path) for path in paths] == [[2.5, 1.5, 0.5, 0.0, 0.0], [3.0, 2.5, 0.0]]
    assert type(paths[1][0]) is float
    with pytest.raises(TraceError, match=r"predictions\.jsonl: has no line for request 2"):
        p.predict(10, 7, draws)


def test_a_predictor_that_has_counted_another_run_is_found_out(tmp_path):
    p = written(tmp_path, {"request": 0, "predicted": 9}, {"request": 1, "predicted": 8})
    p.predict(10, 3, rng())
    again = p.predict(10, 3, rng())
    with pytest.raises(ConfigError, match=r"request 0 was predicted 8\.0 .*line 1 says 9\.0"):
        p.paths([Asked(0, 10, 3, again)], 0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: is not JSON"),
        ("", "line 2: is blank"),
        ("[1]", r"line 2: \[1\] is not a JSON object"),
        ('{"request": 1}', "line 2: predicted: is missing"),
        ('{"predicted": 1}', "line 2: request: is missing"),
        ('{"request": 1, "predicted": 1, "left": 2}', "line 2: left: no such key"),
        ('{"request": 1, "request": 2, "predicted": 1}', "line 2: .*request stands twice|twice"),
        ('{"request": 1.5, "predicted": 1}', r"line 2: request: 1\.5"),
        ('{"request": true, "predicted": 1}', "line 2: request: True"),
        ('{"request": -1, "predicted": 1}', "line 2: request: -1"),
        ('{"request": 0, "predicted": 1}', "line 2: request: 0 stands in line 1"),
        ('{"request": 1, "predicted": NaN}', "line 2: predicted: nan"),
        ('{"request": 1, "predicted": 1e999}', "line 2: predicted: inf"),
        ('{"request": 1, "predicted": "7"}', "line 2: predicted: '7'"),
        ('{"request": 1, "predicted": -7}', "line 2: predicted: -7"),
        (f'{{"request": 1, "predicted": 1{"0" * 400}}}', r"line 2: predicted: 10+\.\.\."),
        ('{"request": 1, "predicted": 7, "remaining": 7}', "line 2: remaining: 7"),
        ('{"request": 1, "predicted": 7, "remaining": null}', "line 2: remaining: None"),
        ('{"request": 1, "predicted": 7, "remaining": [1, -1]}', r"line 2: remaining\[1\]: -1"),
    ],
)
def test_bad_files_are_said_by_line_and_key(tmp_path, line, says):
    p = written(tmp_path, {"request": 0, "predicted": 1}, line)
    with pytest.raises(TraceError, match=rf"predictions\.jsonl, {says}"):
        p.predict(10, 3, rng())


def test_a_path_of_another_length_is_said_by_line(tmp_path):
    p = written(tmp_path, {"request": 0, "predicted": 1, "remaining": [1, 2]})
    says = r"line 1: remaining: has 2 values; request 0 has 3 output tokens"
    with pytest.raises(TraceError, match=says):
        p.predict(10, 3, rng())


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TraceError, match=r"nothing\.jsonl: cannot be read"):
        FromFile(path=tmp_path / "nothing.jsonl").predict(1, 1, rng())


def test_a_file_of_true_lengths_runs_as_the_exact_predictor_does(tmp_path):
    """Numbers are counted as the gateway counts them."""
    lengths = [50, 20, 5, 30]
    table = tmp_path / "requests.csv"
    rows = "".join(f"100,{n},0.0\n" for n in lengths)
    table.write_text(f"prompt_tokens,output_tokens,arrival_s\n{rows}")
    lines = [{"request": i, "predicted": n} for i, n in enumerate(lengths)]
    path = written(tmp_path, *lines).path
    words = [
        "workload=table",
        f"workload.path={table}",
        "ordering=shortest_job_first",
        "arrivals=trace",
        "engine.max_sequences=1",
    ]
    exact = run(compose([*words, "predictor=exact"])).summary
    filed = run(compose([*words, "predictor=from_file", f"predictor.path={path}"])).summary
    assert filed == exact
    wrong = written(
        tmp_path, *[{"request": i, "predicted": -n + 60} for i, n in enumerate(lengths)]
    )
    worse = run(compose([*words, "predictor=from_file", f"predictor.path={wrong.path}"])).summary
    assert worse["serving.ttft_s.mean"] > exact["serving.ttft_s.mean"]
