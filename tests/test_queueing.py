"""Closed forms of queueing theory, against each other, against published values, and against
integrals and recursions done another way."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest

from models.queueing import (
    dd1_response_s,
    erlang_c,
    mg1_ps_response_s,
    mg1_response_s,
    mm1_response_s,
    mm1n_blocked,
    mm1n_wait_s,
    mmc_response_s,
    srpt_response_s,
)


def exponential(sizes):
    return np.exp(-sizes)


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
def test_one_server_is_the_same_by_every_formula(load) -> None:
    expected = 2.0 / (1.0 - load)
    assert mm1_response_s(load / 2.0, 2.0) == pytest.approx(expected)
    assert mmc_response_s(load / 2.0, 2.0, 1) == pytest.approx(expected)
    assert mg1_response_s(load / 2.0, 2.0, 8.0) == pytest.approx(expected)
    assert mg1_ps_response_s(load / 2.0, 2.0) == pytest.approx(expected)
    assert erlang_c(1, load) == pytest.approx(load)


@pytest.mark.parametrize("servers", [2, 3, 10])
@pytest.mark.parametrize("load", [0.2, 0.7, 0.95])
def test_erlang_c_against_the_sum_over_states(servers, load) -> None:
    """The stationary chances of M/M/c, summed one by one."""
    offered = load * servers
    chances = [offered**k / factorial(k) for k in range(servers)]
    for k in range(servers, servers + 3000):
        chances.append(chances[-1] * (offered / servers if k >= servers else 1.0))
    assert erlang_c(servers, offered) == pytest.approx(sum(chances[servers:]) / sum(chances))


def test_erlang_c_of_published_tables_and_of_many_servers() -> None:
    assert erlang_c(2, 1.0) == pytest.approx(1.0 / 3.0)
    assert erlang_c(5, 4.0) == pytest.approx(0.5541, abs=5e-5)
    assert 0.0 < erlang_c(1000, 950.0) < 0.1
    # Halfin and Whitt: with c = offered + beta sqrt(offered) the chance settles.
    assert erlang_c(10_100, 10_000.0) == pytest.approx(0.223, abs=3e-3)


def test_md1_waits_half_as_long_as_mm1() -> None:
    constant, exponential_ = mg1_response_s(0.8, 1.0, 1.0), mg1_response_s(0.8, 1.0, 2.0)
    assert constant - 1.0 == pytest.approx((exponential_ - 1.0) / 2.0)


@pytest.mark.parametrize(
    ("load", "published"), [(0.5, 1.4254), (0.7, 1.8746), (0.8, 2.3528), (0.9, 3.5521)]
)
def test_srpt_with_exponential_sizes(load, published) -> None:
    assert srpt_response_s(load, exponential, 40.0) == pytest.approx(published, abs=2e-4)


def test_srpt_by_adaptive_quadrature() -> None:
    """Uniform sizes on (0, 2): every inner integral in closed form, the outer by quadrature."""
    from scipy.integrate import quad

    rate = 0.9

    def load(x):
        return rate * x**2 / 4.0

    def response(x):
        second = x**3 / 6.0 + x**2 * (1.0 - x / 2.0)
        wait = rate * second / (2.0 * (1.0 - load(x)) ** 2)
        return wait + quad(lambda t: 1.0 / (1.0 - load(t)), 0.0, x)[0]

    expected = quad(lambda x: response(x) / 2.0, 0.0, 2.0)[0]
    uniform = srpt_response_s(rate, lambda x: np.where(x <= 2.0, 0.5, 0.0), 2.0)
    assert uniform == pytest.approx(expected, rel=1e-6)


def test_srpt_beats_processor_sharing_and_serves_at_least_the_work() -> None:
    def erlang(sizes):
        return 4.0 * sizes * np.exp(-2.0 * sizes)

    for load in (0.01, 0.5, 0.9):
        best = srpt_response_s(load, erlang, 30.0)
        assert 1.0 < best < mg1_ps_response_s(load, 1.0)
        assert best < mg1_response_s(load, 1.0, 1.5)
    assert srpt_response_s(1e-6, erlang, 30.0) == pytest.approx(1.0, abs=1e-4)


def test_processor_sharing_is_fair() -> None:
    assert mg1_ps_response_s(0.75, 1.0, 3.0) == pytest.approx(12.0)


def test_dd1_against_lindleys_recursion() -> None:
    for gap, service in ((1.0, 0.5), (1.0, 1.0), (0.75, 1.0), (0.0, 2.0)):
        wait = 0.0
        for number in range(50):
            assert dd1_response_s(number, gap, service) == pytest.approx(wait + service)
            wait = max(0.0, wait + service - gap)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mm1_response_s(1.0, 1.0),
        lambda: mm1_response_s(0.0, 1.0),
        lambda: mmc_response_s(4.0, 1.0, 4),
        lambda: mmc_response_s(0.5, 1.0, 0),
        lambda: erlang_c(2, 2.5),
        lambda: mg1_response_s(2.0, 0.7, 1.0),
        lambda: mg1_ps_response_s(2.0, 0.5),
        lambda: srpt_response_s(1.1, exponential, 40.0),
    ],
)
def test_without_a_steady_state_there_is_an_error(call) -> None:
    with pytest.raises(ValueError, match=r"no steady state|servers"):
        call()


@pytest.mark.parametrize("load", [0.2, 0.999, 1.0, 1.001, 3.0])
@pytest.mark.parametrize("places", [1, 2, 7, 64])
def test_finite_queue_is_its_birth_and_death_process(load: float, places: int) -> None:
    """Steady state of the chain itself, by its balance; and LogNIC's form of the same wait."""
    shares = [1.0]
    for _ in range(places):
        shares.append(shares[-1] * load)
    shares = [share / sum(shares) for share in shares]
    assert mm1n_blocked(load, places) == pytest.approx(shares[-1])
    waits = sum(share * number for number, share in enumerate(shares[:-1])) / (1.0 - shares[-1])
    assert mm1n_wait_s(load, 2.0, places) == pytest.approx(2.0 * waits, abs=1e-9)
    if load != 1.0:
        lognic = load / (1.0 - load) - places / (load**-places - 1.0)
        assert waits == pytest.approx(lognic, rel=1e-6, abs=1e-9)
    else:
        assert waits == pytest.approx((places - 1) / 2)


def test_finite_queue_far_above_its_capacity() -> None:
    assert mm1n_blocked(4.0, 4096) == pytest.approx(0.75)
    assert mm1n_wait_s(4.0, 1.0, 4096) == pytest.approx(4096 - 1 - 1 / 3)
    with pytest.raises(ValueError, match="load 0"):
        mm1n_blocked(0.0, 4)


def test_impossible_numbers_are_errors() -> None:
    with pytest.raises(ValueError, match="below the mean"):
        mg1_response_s(0.5, 1.0, 0.9)
    with pytest.raises(ValueError, match="not to 1"):
        srpt_response_s(0.5, lambda x: 0.5 * np.exp(-x), 40.0)
    with pytest.raises(ValueError, match="job -1"):
        dd1_response_s(-1, 1.0, 1.0)
