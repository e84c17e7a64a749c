"""Refined predictions: a plain filter as reference, the invariants of smoothing, blocks."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from models.length_prediction import Exact, PromptClassifier, RefinedClassifier
from models.length_prediction.request_errors import CHUNK, MOST_REQUESTS, request_errors
from models.length_prediction.smoothing import Smoothing
from models.prediction import Asked, Oracle, Refining

WIDTH = 51.2


def asked(lengths, first=0):
    return [Asked(first + i, 10, n, 100.0) for i, n in enumerate(lengths)]


def errors_of(request, seed, correlation, every=1):
    """All errors of one request."""
    chunks = [errors[:, 0] for _, errors in request_errors([request], seed, correlation, every)]
    return np.concatenate(chunks)


def transitions(bins, width):
    table = np.eye(bins) * (1.0 - 1.0 / width)
    table[0, 0] = 1.0
    for i in range(1, bins):
        table[i, i - 1] = 1.0 / width
    return table


def plain_path(p, request, seed):
    """One request, token after token, with the whole matrix, normalised at every look."""
    width = p.range_tokens / p.bins
    middles = [width * (i + 0.5) for i in range(p.bins)]
    step = np.linalg.matrix_power(transitions(p.bins, width), p.every)
    assert step.sum(axis=1) == pytest.approx(np.ones(p.bins), abs=1e-12)
    errors = errors_of(request, seed, p.correlation, p.every)
    path, q, value = [], None, 0.0
    for age in range(request.output_tokens):
        if age % p.every:
            value = max(0.0, value - 1.0)
        else:
            left = request.output_tokens - age
            z = left + errors[age // p.every] * (p.error_tokens + p.error_share * left)
            nearest = min((z - m) ** 2 for m in middles)
            says = [exp((nearest - (z - m) ** 2) / (2 * p.spread_tokens**2)) for m in middles]
            says = np.array(says) + 1e-30 * p.smoothed
            q = says if q is None or not p.smoothed else (q @ step) * says
            q = q / q.sum()
            value = float(q @ middles)
        most = max(0.0, p.range_tokens - age) if p.clipped else value
        path.append(min(value, most))
    return path


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 3 * CHUNK), min_size=1, max_size=4),
    bins=st.integers(1, 12),
    width=st.floats(2.0, 60.0),
    error=st.floats(0.0, 1.0),
    share=st.floats(0.0, 0.4),
    spread=st.floats(0.5, 3.0),
    correlation=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    every=st.sampled_from([1, 1, 2, 7, 50]),
    smoothed=st.booleans(),
    clipped=st.booleans(),
    seed=st.integers(0, 5),
)
def test_blocks_agree_with_a_plain_filter(
    lengths, bins, width, error, share, spread, correlation, every, smoothed, clipped, seed
):
    p = RefinedClassifier(
        bins=bins,
        range_tokens=bins * width,
        error_tokens=error * width,
        error_share=share,
        spread_tokens=spread * width,
        correlation=correlation,
        every=every,
        smoothed=smoothed,
        clipped=clipped,
    )
    block = asked(lengths, first=3)
    for request, path in zip(block, p.paths(block, seed), strict=True):
        assert list(path) == pytest.approx(plain_path(p, request, seed), rel=1e-9, abs=1e-9)


def follow(weights):
    """The smoothed distributions, (looks, bins), of one request's weights."""
    block = np.array(weights, dtype=float)[:, :, None]
    Smoothing(WIDTH).follow(block, None)
    return block[:, :, 0] / block.sum(axis=1)


def test_without_information_mass_leaves_a_bin_at_the_rate_of_tokens():
    weights = np.ones((102, 10))
    weights[0] = np.eye(10)[1]
    q = follow(weights)
    n = np.arange(102)
    assert q[:, 1] == pytest.approx((1.0 - 1.0 / WIDTH) ** n, rel=1e-12)
    assert q[51, 1] == pytest.approx(0.3657, abs=5e-5)
    middles = WIDTH * (np.arange(10) + 0.5)
    assert q[51] @ middles == pytest.approx(44.32, abs=0.005)
    p = RefinedClassifier()
    assert p.expected(q.T)[51] == pytest.approx(44.32, abs=0.005)


@pytest.mark.parametrize("start", range(10))
def test_one_token_is_a_row_of_the_matrix(start):
    q = follow([np.eye(10)[start], np.ones(10)])
    assert q[1] == pytest.approx(transitions(10, WIDTH)[start], abs=1e-12)


@pytest.mark.parametrize("smoothed", [False, True])
def test_a_perfect_classifier_errs_by_half_a_bin_at_most(smoothed):
    p = RefinedClassifier(error_tokens=0, error_share=0, spread_tokens=0.5, smoothed=smoothed)
    for n, path in zip((512, 300, 51), p.paths(asked([512, 300, 51]), 0), strict=True):
        assert np.abs(np.array(path) - np.arange(n, 0, -1)).max() <= 25.6 + 1e-9


@pytest.mark.parametrize(
    "p",
    [
        RefinedClassifier(),
        RefinedClassifier(smoothed=False),
        RefinedClassifier(every=8, clipped=True),
        Exact(mae_tokens=20.0, correlation=0.9),
    ],
    ids=["smoothed", "raw", "every 8", "exact"],
)
def test_a_path_is_the_same_alone_in_a_block_and_in_any_order(p):
    rng = np.random.default_rng(1)
    lengths = [1, 2, CHUNK, CHUNK + 1, 700, *rng.integers(1, 400, MOST_REQUESTS).tolist()]
    block = asked(lengths)
    whole = p.paths(block, 9)
    assert [len(path) for path in whole] == lengths
    shuffled = rng.permutation(len(block)).tolist()
    again = p.paths([block[i] for i in shuffled], 9)
    assert all(list(again[k]) == list(whole[i]) for k, i in enumerate(shuffled))
    for i in (0, 1, 2, 3, 4, 17, 200):
        assert list(p.paths([block[i]], 9)[0]) == list(whole[i])
    assert list(p.paths([block[4]], 10)[0]) != list(whole[4])
    assert type(whole[4][0]) is float
    assert p.paths([], 9) == []


def test_errors_keep_their_correlation_and_size_for_each_token():
    block = asked([400] * 1000)
    errors = np.concatenate([chunk for _, chunk in request_errors(block, 2, 0.9)])
    assert errors.shape == (400, 1000)
    assert errors.std(axis=1) == pytest.approx(np.ones(400), abs=0.1)
    for apart in (1, 8):
        kept = np.mean(errors[apart:] * errors[:-apart]) / np.mean(errors**2)
        assert kept == pytest.approx(0.9**apart, abs=0.01)
    between = np.corrcoef(errors[::40])  # of ages far apart, over requests
    assert np.abs(between - np.eye(10)).max() < 0.15
    of_requests = np.corrcoef(errors.T[:50])
    assert np.abs(of_requests - np.eye(50)).mean() < 0.2


def test_one_request_draws_the_same_numbers_whatever_the_correlation():
    request = Asked(7, 1, 5 * CHUNK + 3, 1.0)
    free = errors_of(request, 4, 0.0)
    for correlation, every in ((0.5, 1), (0.9, 1), (0.99, 1), (0.9, 8)):
        kept = correlation**every
        errors = errors_of(request, 4, correlation, every)
        drawn = errors.copy()
        drawn[1:] = (errors[1:] - kept * errors[:-1]) / np.sqrt(1.0 - kept**2)
        assert drawn == pytest.approx(free[: len(drawn)], abs=1e-9)
    assert np.ptp(errors_of(request, 4, 1.0)) < 1e-12


def test_the_truth_shows_through_the_error_model_alone():
    """What a classifier that sees nothing says does not depend on the length."""
    blind = RefinedClassifier(error_tokens=1e9, error_share=0.0)
    numbers = range(200)
    short, long = ([Asked(i, 10, n, 100.0) for i in numbers] for n in (20, 500))
    pairs = zip(blind.paths(short, 1), blind.paths(long, 1), strict=True)
    assert all(list(a) == pytest.approx(list(b)[:20], rel=1e-6) for a, b in pairs)
    unsure = RefinedClassifier(spread_tokens=1e9, smoothed=False)
    assert list(unsure.paths(asked([40]), 1)[0]) == pytest.approx([256.0] * 40, rel=1e-6)


def test_what_lies_beyond_the_bins_is_in_the_top_one():
    p = RefinedClassifier(error_tokens=5.0, error_share=0.01, spread_tokens=20.0)
    path = np.array(p.paths(asked([5000]), 0)[0])
    assert path[:4000] == pytest.approx(np.full(4000, 486.4), rel=1e-3)
    assert path.max() <= 486.4 + 1e-9
    assert np.abs(path[4600:] - np.arange(400, 0, -1)).mean() < 25.6
    clipped = RefinedClassifier(clipped=True).paths(asked([600]), 0)[0]
    assert all(0.0 <= value <= max(0, 512 - age) for age, value in enumerate(clipped))


@pytest.mark.parametrize("spread_tokens", [0.01, 5.0, 1e6])
@pytest.mark.parametrize("error_tokens", [0.0, 300.0, 2e9])
def test_no_numbers_break_it(spread_tokens, error_tokens):
    """No warning (they are errors here), no division of 0 by 0, inside the bins' middles."""
    for every in (1, 3):
        p = RefinedClassifier(
            error_tokens=error_tokens,
            error_share=1.0,
            spread_tokens=spread_tokens,
            correlation=0.0,
            every=every,
        )
        for path in p.paths(asked([2000, 300, 1]), 0):
            assert np.isfinite(path).all()
            assert min(path) >= 25.6 - every
            assert max(path) <= 486.4 + 1e-9


def test_between_looks_it_counts_down_to_0():
    p = RefinedClassifier(every=100, error_tokens=0, error_share=0, spread_tokens=1.0)
    path = p.paths(asked([110]), 0)[0]
    assert path[0] == pytest.approx(128.0)
    assert [path[age] for age in (1, 40, 99)] == pytest.approx([127.0, 88.0, 29.0])
    assert path[100] == pytest.approx(25.6)
    late = p.paths(asked([100]), 0)[0]
    assert late[76] == pytest.approx(0.8)
    assert list(late[77:]) == [0.0] * 23


def test_exact_knows_the_remainder():
    for path, n in zip(Exact().paths(asked([1, 300, 20]), 5), (1, 300, 20), strict=True):
        assert list(path) == list(range(n, 0, -1))
    assert Exact().predict(10, 77, np.random.default_rng(0)) == 77.0


@pytest.mark.parametrize("correlation", [0.0, 0.9, 1.0])
def test_exact_has_the_error_that_is_asked_for(correlation):
    p = Exact(mae_tokens=30.0, correlation=correlation)
    n = 1000
    paths = np.array(p.paths(asked([n] * 2000), 5))[:, :600]
    misses = paths - (n - np.arange(600))
    assert np.abs(misses).mean() == pytest.approx(30.0, rel=0.03)
    assert misses.mean() == pytest.approx(0.0, abs=2.0)
    if correlation == 1.0:
        assert np.ptp(misses, axis=1).max() < 1e-9
    rng = np.random.default_rng(3)
    arrivals = np.array([p.predict(10, n, rng) for _ in range(4000)]) - n
    assert np.abs(arrivals).mean() == pytest.approx(30.0, rel=0.05)
    assert min(p.paths(asked([1000]), 1)[0]) >= 0.0
    assert min(p.predict(10, 1, rng) for _ in range(100)) == 0.0


def test_the_arrival_is_the_prompts():
    rng = np.random.default_rng
    assert RefinedClassifier(prompt=Oracle()).predict(10, 33, rng(0)) == 33.0
    prompt = PromptClassifier()
    assert RefinedClassifier().predict(10, 33, rng(0)) == prompt.predict(10, 33, rng(0))
    assert isinstance(RefinedClassifier(), Refining)
    assert isinstance(Exact(), Refining)
    assert not isinstance(prompt, Refining)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RefinedClassifier(bins=0), r"predictor\.bins: 0"),
        (lambda: RefinedClassifier(bins=2.5), r"predictor\.bins: 2\.5"),
        (lambda: RefinedClassifier(bins=200, range_tokens=300), r"bins: 200 bins over 300 tokens"),
        (lambda: RefinedClassifier(range_tokens=0), r"predictor\.range_tokens: 0"),
        (lambda: RefinedClassifier(error_tokens=-1.0), r"predictor\.error_tokens: -1\.0"),
        (lambda: RefinedClassifier(error_share="a"), r"predictor\.error_share: 'a'"),
        (lambda: RefinedClassifier(spread_tokens=0.0), r"predictor\.spread_tokens: 0\.0"),
        (lambda: RefinedClassifier(correlation=1.1), r"predictor\.correlation: 1\.1"),
        (lambda: RefinedClassifier(correlation=float("nan")), r"predictor\.correlation: nan"),
        (lambda: RefinedClassifier(every=0), r"predictor\.every: 0"),
        (lambda: RefinedClassifier(smoothed="yes"), r"predictor\.smoothed: 'yes'"),
        (lambda: RefinedClassifier(clipped=1), r"predictor\.clipped: 1"),
        (lambda: RefinedClassifier(prompt=3), r"predictor\.prompt: 3"),
        (
            lambda: RefinedClassifier(prompt=PromptClassifier(arrival_s=0.01)),
            r"predictor\.prompt\.arrival_s: 0\.01 would not be charged",
        ),
        (lambda: RefinedClassifier(per_token_s=-1e-6), r"predictor\.per_token_s: -1e-06"),
        (lambda: Exact(mae_tokens=-1), r"predictor\.mae_tokens: -1"),
        (lambda: Exact(mae_tokens=True), r"predictor\.mae_tokens: True"),
        (lambda: Exact(correlation=-0.1), r"predictor\.correlation: -0\.1"),
    ],
)
def test_bad_settings_name_their_key(make, says):
    with pytest.raises(ConfigError, match=says):
        make()
