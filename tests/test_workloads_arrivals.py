"""Arrival processes: rates and variation, common random numbers, exact times, bad times."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, repeat
from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.carbon.synthetic import HourlyShape, PeakAndTrough
from models.errors import ConfigError
from workloads import draws
from workloads.arrivals import Burst, Daily, Evenly, Gamma, Poisson, TraceTimes
from workloads.demand import Demand

ONE = Demand(10, 5)


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def first(arrivals, number: int, seed: int = 3) -> np.ndarray:
    return np.array([at for at, _ in islice(arrivals.times(repeat(ONE), rng(seed)), number)])


def test_poisson_gaps_are_exponential() -> None:
    from scipy.stats import kstest

    gaps = np.diff(first(Poisson(4.0), 50_001), prepend=0.0)
    assert kstest(gaps, "expon", args=(0, 0.25)).pvalue > 0.001
    lagged = np.corrcoef(gaps[:-1], gaps[1:])[0, 1]
    assert abs(lagged) < 0.015


@pytest.mark.parametrize("cv", [0.1, 0.5, 1.0, 3.0])
def test_gamma_has_its_rate_and_variation(cv: float) -> None:
    n = 100_000
    gaps = np.diff(first(Gamma(2.0, cv), n), prepend=0.0)
    assert gaps.mean() == pytest.approx(0.5, rel=4 * cv / n**0.5)
    # Deviation of an estimate of cv for gamma gaps, from their kurtosis 3 + 6 cv^2.
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=4 * ((1 + 3 * cv**2) / n) ** 0.5)


def test_gamma_of_variation_one_is_poisson_in_distribution() -> None:
    from scipy.stats import kstest

    assert kstest(np.diff(first(Gamma(1.0, 1.0), 20_000)), "expon").pvalue > 0.001


def test_daily_arrivals_follow_the_hours() -> None:
    """Five days of about 1 a second: counts by hour within five deviations of the shape, which
    begins at noon; gaps of a unit in expected arrivals are exponential."""
    from scipy.stats import kstest

    levels = [1.0, 0.0, 3.0, *[2.0] * 21]
    day = HourlyShape(name="odd", levels=levels)
    times = first(Daily(1.0, day, steps=24, from_hour=12.0), 440_000)
    times = times[times < 5 * 86_400.0]
    assert (np.diff(times) >= 0.0).all()
    hours = np.bincount((times % 86_400.0 // 3600.0).astype(int), minlength=24)
    expected = 5 * 86_400.0 * np.roll(levels, -12) / sum(levels)
    assert (abs(hours - expected) <= 5.0 * expected**0.5).all()
    assert hours[13] == 0
    flat = Daily(4.0, PeakAndTrough(name="flat", amplitude=1e-9, peak_hour=1.0, trough_hour=2.0))
    assert kstest(np.diff(first(flat, 20_000)), "expon", args=(0, 0.25)).pvalue > 0.001


def test_a_day_with_a_rate_below_nothing_is_an_error() -> None:
    deep = PeakAndTrough(name="deep", amplitude=1.5, peak_hour=12.0, trough_hour=0.0)
    with pytest.raises(ConfigError, match=r"falls to -0\.49"):
        Daily(1.0, deep)


@pytest.mark.parametrize("make", [Poisson, Evenly, lambda rate: Gamma(rate, 2.5)])
def test_times_at_two_rates_differ_by_a_factor_alone(make) -> None:
    slow, fast, other = first(make(1.0), 10_000), first(make(4.0), 10_000), first(make(3.0), 10_000)
    assert (slow == fast * 4.0).all()  # a power of two: to the last bit
    np.testing.assert_allclose(other * 3.0, slow, rtol=1e-15, atol=0.0)


@pytest.mark.parametrize("arrivals", [Poisson(2.0), Gamma(2.0, 4.0)])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_block_size_changes_no_time(arrivals, block: int) -> None:
    whole = first(arrivals, 9_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "BLOCK", block)
        assert (first(arrivals, 9_000) == whole).all()


def test_running_sums_agree_with_the_exact_sum_of_the_gaps() -> None:
    (own,) = draws.children(rng(3), 1)
    gaps = own.standard_exponential(300_000)
    assert first(Poisson(1.0), 300_000)[-1] == pytest.approx(fsum(gaps), rel=1e-12)


def test_times_never_decrease_and_demands_pass_in_order() -> None:
    demands = [Demand(n, 1) for n in range(1, 5_000)]
    for arrivals in (Poisson(2.0), Gamma(2.0, 13.0), Evenly(2.0), Burst(1.5)):
        pairs = list(arrivals.times(iter(demands), rng()))
        assert [demand for _, demand in pairs] == demands
        times = [at for at, _ in pairs]
        assert times == sorted(times)
        assert all(type(at) is float for at in times)


def test_one_demand_is_taken_for_each_arrival_asked_for() -> None:
    taken = 0

    def supply() -> Iterator[Demand]:
        nonlocal taken
        while True:
            taken += 1
            yield ONE._replace(arrival_s=float(taken))

    for arrivals in (Poisson(1.0), Gamma(1.0, 2.0), Evenly(1.0), Burst(), TraceTimes()):
        taken = 0
        stream = arrivals.times(supply(), rng())
        assert taken == 0
        for asked in range(1, 4):
            next(stream)
            assert taken == asked


def test_arrivals_do_not_change_what_a_shared_generator_gives_the_demands() -> None:
    shared = rng()
    times = [at for at, _ in islice(Poisson(1.0).times(repeat(ONE), shared), 10_000)]
    after = shared.random()
    fresh = rng()
    next(Poisson(1.0).times(repeat(ONE), fresh))
    assert fresh.random() == after
    assert times == first(Poisson(1.0), 10_000).tolist()


def test_evenly_is_exact_and_burst_is_one_moment() -> None:
    assert first(Evenly(10.0), 4).tolist() == [0.0, 0.1, 0.2, 0.3]
    assert first(Evenly(3.0), 300_001)[-1] == 100_000.0
    assert first(Burst(2.5), 3).tolist() == [2.5, 2.5, 2.5]


def timed(*times: float | None) -> Iterator[Demand]:
    return (Demand(1, 1, at) for at in times)


def test_trace_times_are_divided_by_the_speed() -> None:
    pairs = list(TraceTimes(2.0).times(timed(0.0, 1.0, 1.0, 5.0), rng()))
    assert [at for at, _ in pairs] == [0.0, 0.5, 0.5, 2.5]
    assert pairs[3][1].arrival_s == 5.0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.0, 1e9), max_size=30), st.floats(1e-3, 1e3))
def test_trace_times_keep_their_order_at_any_speed(times: list[float], speed: float) -> None:
    replayed = [at for at, _ in TraceTimes(speed).times(timed(*sorted(times)), rng())]
    assert replayed == sorted(replayed)
    assert len(replayed) == len(times)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((0.0, None), "demand 2 has no arrival time"),
        ((0.0, 3.0, 2.0), "demand 3 arrives at 2.0 s, after one at 3.0 s"),
        ((-1.0,), "demand 1 arrives at -1.0 s"),
        ((float("nan"),), "demand 1 arrives at nan s"),
    ],
)
def test_bad_trace_times_are_named(times: tuple[float | None, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        list(TraceTimes().times(timed(*times), rng()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Poisson(0), "rate_rps is 0; it must be a number above 0"),
        (lambda: Poisson(float("inf")), "rate_rps is inf"),
        (lambda: Poisson("fast"), "rate_rps is 'fast'"),
        (lambda: Gamma(1.0, 0), "cv is 0; it must be a number from 0.01"),
        (lambda: Evenly(-1), "rate_rps is -1"),
        (lambda: Burst(-1), "at_s is -1; it must be a number of at least 0"),
        (lambda: TraceTimes(0), "speed is 0"),
        (lambda: TraceTimes(None), "speed is None"),
    ],
)
def test_bad_settings_are_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
