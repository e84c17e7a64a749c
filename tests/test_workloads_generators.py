"""Generated lengths: distributions against closed forms, streams that do not depend on blocks."""

from __future__ import annotations

import json
from itertools import islice
from math import asin, pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from workloads import draws
from workloads.blend import Blend
from workloads.cut import Cut
from workloads.demand import Call, Demand
from workloads.lengths import (
    MOST_TOKENS,
    Exponential,
    Fixed,
    Geometric,
    Lengths,
    Lognormal,
    Mixture,
    Quantiles,
    Uniform,
    UniformRatio,
)
from workloads.synthetic import Synthetic

EDGES = np.array([0.0, 2.0**-60, 0.5, np.nextafter(1.0, 0.0)])


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def every_kind() -> dict[str, Lengths]:
    quantiles = Quantiles({0: 3, 50: 20, 99.5: 900, 100: 2000})
    return {
        "fixed": Fixed(40),
        "uniform": Uniform(3, 9),
        "ratio": UniformRatio(1000, 0.8),
        "lognormal": Lognormal(100, 1.0),
        "exponential": Exponential(100),
        "geometric": Geometric(100),
        "quantiles": quantiles,
        "mixture": Mixture({"short": Fixed(2), "long": quantiles}, {"short": 1, "long": 3}),
    }


@pytest.mark.parametrize("name", every_kind())
def test_lengths_are_whole_and_at_least_one_even_at_the_ends(name: str) -> None:
    at = every_kind()[name].at(EDGES)
    assert at.dtype == np.int64
    assert at.min() >= 1
    assert at.max() <= MOST_TOKENS
    assert (np.diff(at) >= 0).all()


@pytest.mark.parametrize("name", every_kind())
def test_samples_do_not_depend_on_how_many_are_drawn_at_a_time(name: str) -> None:
    lengths, one, many = every_kind()[name], rng(), rng()
    pieces = np.concatenate([lengths.sample(one, size) for size in (1, 2, 97, 900)])
    assert (pieces == lengths.sample(many, 1000)).all()


def test_moments_match_closed_forms() -> None:
    n = 400_000
    geometric = Geometric(120).sample(rng(), n)
    assert geometric.mean() == pytest.approx(120, rel=0.006)
    assert geometric.var() == pytest.approx(120 * 119, rel=0.015)
    assert Geometric(1).sample(rng(), 5).tolist() == [1] * 5
    exponential = Exponential(50).sample(rng(), n)
    assert exponential.mean() == pytest.approx(50 + 11 / (24 * 50), rel=0.006)
    lognormal = np.log(Lognormal(1000, 0.5).sample(rng(), n))
    assert lognormal.mean() == pytest.approx(np.log(1000), abs=0.003)
    assert lognormal.std() == pytest.approx(0.5, rel=0.006)


def test_uniform_takes_each_value_equally_often() -> None:
    values, counts = np.unique(Uniform(3, 9).sample(rng(), 70_000), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 22.5  # chi-square, 6 degrees, p = 0.001


def test_uniform_ratio_ends_are_those_of_the_benchmark_client() -> None:
    at = UniformRatio(1000, 0.8).at(EDGES)
    assert (at[0], at[-1]) == (800, 1000)
    assert UniformRatio(1024, 0.8).low_tokens == 819
    assert UniformRatio(10, 0.0).low_tokens == 1
    assert UniformRatio(100, 0.29).low_tokens == 29  # 0.29 * 100 is 28.999... in floating point


def test_quantiles_pass_through_their_table_and_are_log_linear_between() -> None:
    table = {0: 10, 50: 1000, 90: 1000, 100: 4000}
    lengths = Quantiles(json.loads(json.dumps(table)))
    assert lengths.percentiles == table
    u = np.array([0.0, 0.25, 0.5, 0.7, 0.9, 0.95])
    assert lengths.at(u).tolist() == [10, 100, 1000, 1000, 1000, 2000]


def test_mixture_gives_each_part_its_share() -> None:
    mixed = Mixture({"a": Fixed(10), "b": Uniform(100, 199)}, {"a": 3, "b": 1})
    sample = mixed.sample(rng(), 100_000)
    assert (sample == 10).mean() == pytest.approx(0.75, abs=0.006)
    assert sample[sample > 10].mean() == pytest.approx(149.5, rel=0.01)


@pytest.mark.parametrize("correlation", [-1.0, -0.6, 0.0, 0.3, 1.0])
def test_correlation_is_spearmans_through_the_copula_and_marginals_stay(
    correlation: float,
) -> None:
    from scipy.stats import spearmanr

    wide = Uniform(1, 1_000_000)
    workload = Synthetic(wide, wide, count=40_000, correlation=correlation)
    pairs = np.array([(d.prompt_tokens, d.output_tokens) for d in workload.demands(rng())])
    expected = 6 / pi * asin(correlation / 2)
    assert spearmanr(pairs[:, 0], pairs[:, 1])[0] == pytest.approx(expected, abs=0.02)
    for column in pairs.T:
        assert column.mean() == pytest.approx(500_000, rel=0.01)
        assert np.percentile(column, 90) == pytest.approx(900_000, rel=0.01)


def some_workload(count: int | None) -> Blend:
    part = Synthetic(Lognormal(300, 1.2), Geometric(50), correlation=0.4, kind="a")
    other = Synthetic(Uniform(1, 10), Fixed(3), kind="b")
    return Blend({"a": part, "b": other}, {"a": 2, "b": 1}, count=count)


@settings(deadline=None, max_examples=40)
@given(block=st.integers(1, 50), taken=st.integers(0, 120), seed=st.integers(0, 2**32))
def test_block_size_laziness_and_count_change_no_demand(block: int, taken: int, seed: int) -> None:
    whole = list(some_workload(120).demands(rng(seed)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "BLOCK", block)
        supply = some_workload(None).demands(rng(seed))
        assert list(islice(supply, taken)) == whole[:taken]
        assert list(some_workload(taken).demands(rng(seed))) == whole[:taken]


def test_what_else_is_drawn_from_the_generator_changes_no_demand() -> None:
    alone = list(some_workload(10_000).demands(rng()))
    shared = rng()
    supply = some_workload(10_000).demands(shared)
    mixed = [next(supply)]
    for demand in supply:
        shared.random()
        mixed.append(demand)
    assert mixed == alone


def test_same_seed_same_demands_other_seed_other_demands() -> None:
    workload = some_workload(500)
    first = list(workload.demands(rng(1)))
    assert list(workload.demands(rng(1))) == first
    assert list(workload.demands(rng(2))) != first


def test_outputs_stay_when_the_distribution_of_prompts_changes() -> None:
    one = Synthetic(Fixed(10), Geometric(50), count=200)
    two = Synthetic(Lognormal(900, 1.0), Geometric(50), count=200)
    outputs = [[d.output_tokens for d in w.demands(rng())] for w in (one, two)]
    assert outputs[0] == outputs[1]


def test_blend_shares_and_streams_of_its_parts() -> None:
    demands = list(some_workload(60_000).demands(rng()))
    of_a = [d for d in demands if d.kind == "a"]
    assert len(of_a) / len(demands) == pytest.approx(2 / 3, abs=0.008)
    more = some_workload(60_000)
    more.shares["a"] = 5
    other = Blend(more.parts, more.shares, count=60_000)
    again = [d for d in other.demands(rng()) if d.kind == "a"]
    assert len(again) > len(of_a)
    assert again[: len(of_a)] == of_a


def test_a_blend_says_which_part_ended() -> None:
    class Short:
        finite = False
        count = None

        def demands(self, rng: np.random.Generator):
            yield Demand(1, 1)

    blend = Blend({"only": Short()}, {"only": 1}, count=3)
    with pytest.raises(ConfigError, match="part only ended"):
        list(blend.demands(rng()))


def test_finite_and_count_say_what_will_come() -> None:
    assert (some_workload(None).finite, some_workload(None).count) == (False, None)
    assert (some_workload(3).finite, some_workload(3).count) == (True, 3)
    assert list(Synthetic(Fixed(1), Fixed(1), count=0).demands(rng())) == []
    cut = Cut(some_workload(3), 100)
    assert (cut.finite, cut.count) == (True, 3)


def test_cut_shortens_prompts_alone_and_only_where_needed() -> None:
    workload = some_workload(5_000)
    before = list(workload.demands(rng()))
    after = list(Cut(workload, 700).demands(rng()))
    assert any(d.total_tokens > 700 for d in before)
    for old, new in zip(before, after, strict=True):
        assert new == (
            old if old.total_tokens <= 700 else old._replace(prompt_tokens=700 - old.output_tokens)
        )


def test_cut_counts_what_calls_return_and_refuses_what_cannot_fit() -> None:
    class One:
        finite = True
        count = 1

        def demands(self, rng: np.random.Generator):
            yield Demand(50, 20, calls=(Call(5, 1.0, 10), Call(20, 2.0, 5)))

    assert Demand(50, 20, calls=(Call(5, 1.0, 10), Call(20, 2.0, 5))).total_tokens == 85
    (cut,) = Cut(One(), 60).demands(rng())
    assert (cut.prompt_tokens, cut.total_tokens) == (25, 60)
    (least,) = Cut(One(), 36).demands(rng())
    assert least.prompt_tokens == 1
    with pytest.raises(ConfigError, match=r"demand 1 makes or is returned 35 .* at least 36"):
        list(Cut(One(), 35).demands(rng()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(0), "tokens is 0; it must be a whole number of at least 1"),
        (lambda: Fixed(2.5), "tokens is 2.5"),
        (lambda: Fixed(True), "tokens is True"),
        (lambda: Uniform(9, 3), "high_tokens is 3; it must be a whole number of at least 9"),
        (lambda: UniformRatio(100, 1.2), "ratio is 1.2; it must be a number from 0 to 1"),
        (lambda: Lognormal(float("nan"), 1), "median_tokens is nan"),
        (lambda: Lognormal(100, 0), "sigma is 0; it must be a number above 0"),
        (lambda: Exponential(-1), "mean_tokens is -1"),
        (lambda: Geometric(0.5), "mean_tokens is 0.5; it must be a number from 1"),
        (lambda: Quantiles({}), "must reach from 0 to 100"),
        (lambda: Quantiles({0: 1, 99: 5}), "must reach from 0 to 100"),
        (lambda: Quantiles({0: 1, 50: 9, 100: 5}), "percentiles.100 is 5, less than the 9"),
        (lambda: Quantiles({0: 0, 100: 5}), "percentiles.0 is 0"),
        (lambda: Quantiles({0: 1, 101: 5}), "a percent is 101"),
        (lambda: Quantiles({"low": 1, "100": 5}), "a percent is 'low'"),
        (lambda: Quantiles({0: 1, 100: 5, "100": 6}), "has a percent twice"),
        (lambda: Mixture({}, {}), "parts is empty"),
        (lambda: Mixture({"a": Fixed(1)}, {"b": 1}), r"shares name \['b'\]"),
        (lambda: Mixture({"a": Fixed(1)}, {"a": 0}), "shares.a is 0"),
        (lambda: Synthetic(10, Fixed(1)), "prompt is 10; it must be a distribution of lengths"),
        (lambda: Synthetic(Fixed(1), Fixed(1), count=-1), "count is -1"),
        (lambda: Synthetic(Fixed(1), Fixed(1), count="many"), "count is 'many'"),
        (lambda: Synthetic(Fixed(1), Fixed(1), correlation=2), "correlation is 2"),
        (lambda: Blend({"a": Synthetic(Fixed(1), Fixed(1), 5)}, {"a": 1}), "part a ends by itself"),
        (lambda: Cut(some_workload(1), 1), "max_total_tokens is 1"),
    ],
)
def test_bad_settings_are_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
