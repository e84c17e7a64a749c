"""Closed forms of limited preemption: against published figures, other formulas, laws that hold for
every policy, and a queue simulated job by job."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import pairwise
from math import inf, pi, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad
from scipy.special import k0, k1, kn

from models.limited_preemption import (
    JointSizes,
    limited_preemption,
    limited_preemption_response_s,
    limited_preemption_wait_s,
)
from models.queueing import mg1_response_s, srpt_response_s


def exponential(x):
    return np.exp(-x)


def noisy(sd):
    """Joint density of exponential sizes predicted with a lognormal factor of mean log 0."""

    def density(x, y):
        return np.exp(-x - 0.5 * (np.log(y / x) / sd) ** 2) / (sd * sqrt(2.0 * pi) * y)

    return density


PERFECT = JointSizes.perfect(exponential, 40.0)
GUESSED = JointSizes.exponential()

#: Load, lock; response, sum of ages and preemptions with perfect predictions; with exponential
#: ones. Sizes exponential of mean 1. Computed by quadrature of the same theory elsewhere and
#: confirmed there by simulations of 2e7 to 6e7 jobs.
TABLE = [
    (0.5, 0.0, (1.7127, 0.5000, 0.0000), (1.7948, 0.5000, 0.0000)),
    (0.5, 0.5, (1.4702, 0.5493, 0.1667), (1.6726, 0.5985, 0.1666)),
    (0.5, 0.8, (1.4288, 0.5824, 0.2333), (1.6616, 0.6252, 0.2033)),
    (0.5, 1.0, (1.4254, 0.5871, 0.2500), (1.6583, 0.6288, 0.2107)),
    (0.8, 0.0, (2.8822, 0.8000, 0.0000), (3.3758, 0.8000, 0.0000)),
    (0.8, 0.5, (2.4289, 0.9996, 0.2667), (3.1597, 1.2757, 0.2666)),
    (0.8, 0.8, (2.3583, 1.1068, 0.3733), (3.1430, 1.3702, 0.3253)),
    (0.8, 1.0, (2.3528, 1.1196, 0.4000), (3.1375, 1.3806, 0.3371)),
    (0.9, 0.0, (4.1969, 0.9000, 0.0000), (5.3610, 0.9000, 0.0000)),
    (0.9, 0.5, (3.6400, 1.2341, 0.3000), (5.1223, 1.8116, 0.2999)),
    (0.9, 0.8, (3.5584, 1.3866, 0.4200), (5.1047, 1.9521, 0.3660)),
    (0.9, 1.0, (3.5521, 1.4032, 0.4500), (5.0985, 1.9658, 0.3793)),
    (0.95, 0.0, (6.2640, 0.9500, 0.0000), (8.6537, 0.9500, 0.0000)),
    (0.95, 1.0, (5.5410, 1.6206, 0.4750), (8.4046, 2.5978, 0.4003)),
]


@pytest.mark.parametrize(("load", "lock", "perfect", "guessed"), TABLE)
def test_published_means(load, lock, perfect, guessed) -> None:
    assert limited_preemption(load, PERFECT, lock) == pytest.approx(perfect, abs=6e-5)
    assert limited_preemption(load, GUESSED, lock) == pytest.approx(guessed, abs=6e-5)


def test_exponential_predictions_against_bessel_functions() -> None:
    rows = GUESSED.rows
    for k in range(300, len(rows.predictions_s), 97):
        # Halfway, in the fourth root, to the next: where the k-th piece ends.
        r = np.mean(rows.predictions_s[k - 1 : k + 1] ** 0.25) ** 4
        root = 2.0 * sqrt(r)
        assert rows.shares[k] == pytest.approx(1.0 - root * k1(root), abs=2e-6)
        assert rows.work_s[k] == pytest.approx(1.0 - 2.0 * r * kn(2, root), abs=2e-6)
        part = slice(0, rows.starts[k])
        square = GUESSED.chances[part] @ GUESSED.sizes_s[part] ** 2
        assert square == pytest.approx(2.0 - 2.0 * r**1.5 * kn(3, root), abs=2e-6)


def test_wait_by_adaptive_quadrature() -> None:
    rate, lock, r = 0.8, 0.5, 0.7

    def left(x, y):
        return (x - min(y - r, lock * y)) ** 2 * np.exp(-x - y / x) / x

    root = 2.0 * sqrt(r)
    recycled = sum(
        dblquad(left, low, high, lambda y: min(y - r, lock * y), lambda y: 40.0, epsrel=1e-6)[0]
        for low, high in ((r, 2.0 * r), (2.0 * r, 10.0), (10.0, 300.0))
    )
    square = 2.0 - 2.0 * r**1.5 * kn(3, root) + recycled
    free = 1.0 - rate * (1.0 - 2.0 * r * kn(2, root))
    wait = limited_preemption_wait_s(rate, GUESSED, lock, r)
    assert wait == pytest.approx(rate * square / (2.0 * free**2), rel=2e-5)


def test_response_without_preemption_by_quadrature() -> None:
    def waits(r):
        free = 1.0 - 0.9 * (1.0 - 2.0 * r * kn(2, 2.0 * sqrt(r)))
        return 2.0 * k0(2.0 * sqrt(r)) * 0.9 / free**2

    expected = 1.0 + sum(quad(waits, *ends)[0] for ends in ((0.0, 1.0), (1.0, 20.0), (20.0, 400.0)))
    assert limited_preemption(0.9, GUESSED, 0.0).response_s == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("load", [0.1, 0.9])
@pytest.mark.parametrize(
    ("density", "largest", "mean"),
    [
        (exponential, 40.0, 1.0),
        (lambda x: np.where(x <= 2.0, 0.5, 0.0), 2.0, 1.0),
        (lambda x: 4.0 * x * np.exp(-2.0 * x), 25.0, 1.0),
        (lambda x: 0.9 * 2.0 * np.exp(-2.0 * x) + 0.1 * 0.2 * np.exp(-0.2 * x), 200.0, 0.95),
    ],
)
def test_unlimited_and_perfect_is_shortest_remaining_first(load, density, largest, mean) -> None:
    jobs = JointSizes.perfect(density, largest)
    best = srpt_response_s(load / mean, density, largest)
    assert limited_preemption(load / mean, jobs, 1.0).response_s == pytest.approx(best, rel=2e-5)
    for lock in (0.0, 0.3, 0.8):
        assert limited_preemption(load / mean, jobs, lock).response_s > best * (1.0 - 2e-5)


@pytest.mark.parametrize("jobs", [PERFECT, GUESSED, JointSizes.joint(noisy(0.5), 40.0, 200.0)])
def test_without_preemption_waits_are_those_of_priorities(jobs) -> None:
    rate = 0.8
    means = limited_preemption(rate, jobs, 0.0)
    assert means.preemptions == 0.0
    assert means.age_sum_s == pytest.approx(rate, rel=1e-5)
    for r in (0.05, 0.5, 1.0, 3.0):
        part = jobs.predictions_s <= r
        load = rate * (jobs.chances[part] @ jobs.sizes_s[part])
        wait = limited_preemption_wait_s(rate, jobs, 0.0, r)
        # `part` ends somewhere within a piece of the density.
        assert wait == pytest.approx(rate * 2.0 / (2.0 * (1.0 - load) ** 2), rel=1e-2)
        response = limited_preemption_response_s(rate, jobs, 0.0, 7.0, r)
        assert response == pytest.approx(wait + 7.0)


@pytest.mark.parametrize("lock", [0.1, 0.5, 0.8, 1.0])
def test_preemptions_with_perfect_predictions(lock) -> None:
    exact = 0.7 * (lock + 0.5 - 1.0 / (2.0 - lock))
    assert limited_preemption(0.7, PERFECT, lock).preemptions == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("jobs", [PERFECT, GUESSED, JointSizes.listed([1, 2, 6], [2, 2, 5])])
def test_memory_and_preemptions_grow_with_the_lock(jobs) -> None:
    rate = 0.85 / jobs.rows.work_s[-1]
    means = [limited_preemption(rate, jobs, lock) for lock in np.linspace(0.0, 1.0, 5)]
    for less, more in pairwise(means):
        assert less.age_sum_s <= more.age_sum_s * (1.0 + 1e-12)
        assert less.preemptions <= more.preemptions * (1.0 + 1e-12)
    assert means[0].age_sum_s < means[1].age_sum_s
    assert means[0].preemptions < means[1].preemptions


def test_predictions_that_know_nothing() -> None:
    """Without preemption they put jobs in an order that the sizes have no part in, which keeps the
    mean of first come, first served; exponential sizes keep it whatever is preempted."""
    erlang = JointSizes.joint(lambda x, y: 4.0 * x * np.exp(-2.0 * x - y), 25.0, 40.0)
    expected = mg1_response_s(0.8, 1.0, 1.5)
    assert limited_preemption(0.8, erlang, 0.0).response_s == pytest.approx(expected, rel=1e-5)
    x, y, p = np.array([1.0, 1.0, 5.0, 5.0]), [3.0, 4.0, 3.0, 4.0], [0.2, 0.6, 0.05, 0.15]
    expected = mg1_response_s(0.4, 1.8, 5.8)
    listed = limited_preemption(0.4, JointSizes.listed(x, y, p), 0.0)
    assert listed.response_s == pytest.approx(expected, rel=1e-12)
    unaware = JointSizes.joint(lambda x, y: np.exp(-x - y), 40.0, 40.0)
    for lock in (0.0, 0.4, 1.0):
        assert limited_preemption(0.8, unaware, lock).response_s == pytest.approx(5.0, rel=1e-5)


@pytest.mark.parametrize("lock", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("step_s", [0.0, 1.0])
def test_equal_predictions_are_first_come_first_served(lock, step_s) -> None:
    jobs = JointSizes.listed([1.0, 4.0], [9.0, 9.0], [0.5, 0.5])
    means = limited_preemption(0.3, jobs, lock, step_s)
    assert means == pytest.approx((mg1_response_s(0.3, 2.5, 8.5), 0.3 * 8.5 / 2.0, 0.0))
    responses = limited_preemption_response_s(0.3, jobs, lock, [1.0, 4.0], 9.0, step_s)
    assert responses[1] - responses[0] == pytest.approx(3.0)
    assert responses[0] == limited_preemption_response_s(0.3, jobs, lock, 1.0, 9.0, step_s)


def test_two_kinds_by_hand() -> None:
    """Sizes 1 (predicted 1) and 10 (predicted 4), half each, 0.1 jobs/s: loads 0.05 and 0.5."""
    jobs = JointSizes.listed([1.0, 10.0], [1.0, 4.0])

    def wait(squares, below, up_to):
        return 0.1 * 0.5 * squares / (2.0 * (1.0 - below) * (1.0 - up_to))

    # Short jobs wait for a long one from age min(4 - 1, 4 C) on; preempt it while r - a > 1.
    for lock, kept in ((0.0, 10.0), (0.5, 8.0), (1.0, 7.0)):
        waits = limited_preemption_wait_s(0.1, jobs, lock, [1.0, 4.0])
        assert waits == pytest.approx([wait(1 + kept**2, 0.0, 0.05), wait(101, 0.05, 0.55)])
        open_ = 10.0 - kept
        more = open_ * (1.0 / 0.95 - 1.0)
        means = limited_preemption(0.1, jobs, lock)
        assert means.response_s == pytest.approx(waits.mean() + 5.5 + 0.5 * more)
        assert means.preemptions == pytest.approx(0.1 * 0.5 * 0.5 * open_)
        held = 0.5 * 0.5 + 0.5 * (50.0 + open_**2 / 2.0 * (1.0 / 0.95 - 1.0))
        assert means.age_sum_s == pytest.approx(0.1 * held)
    # In whole seconds a long job that has begun one runs it; at ages 1 and 2 it gives way.
    waits = limited_preemption_wait_s(0.1, jobs, 1.0, [1.0, 4.0], 1.0)
    assert waits == pytest.approx([wait(1 + 2 + 8**2, 0.0, 0.05), wait(101, 0.05, 0.55)])
    means = limited_preemption(0.1, jobs, 1.0, 1.0)
    assert means.response_s == pytest.approx(waits.mean() + 5.5 + 0.5 * 2.0 * (1.0 / 0.95 - 1.0))
    assert means.preemptions == pytest.approx(0.5 * 2.0 * -np.expm1(-0.05))


kinds = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 18), st.floats(0.01, 1.0)), min_size=1, max_size=8
)


@given(kinds, st.floats(0.0, 1.0), st.floats(0.05, 0.95), st.sampled_from([0.0, 0.02, 1.0]))
def test_work_in_the_system_is_the_same_as_first_come_first_served(
    kinds, lock, load, step_s
) -> None:
    """The work left over all jobs, rate E[x T] - (sum of ages), is the same for all policies that
    keep the server busy: a law between responses and ages, with ties and without."""
    unit = step_s or 1.0
    x, y, p = np.array(kinds).T * [[unit], [unit / 2.0], [1.0]]
    jobs = JointSizes.listed(x, y, p / p.sum())
    mean, square = jobs.chances @ jobs.sizes_s, jobs.chances @ jobs.sizes_s**2
    rate = load / mean
    responses = limited_preemption_response_s(
        rate, jobs, lock, jobs.sizes_s, jobs.predictions_s, step_s
    )
    means = limited_preemption(rate, jobs, lock, step_s)
    assert means.response_s == pytest.approx(jobs.chances @ responses)
    work = rate * (jobs.chances @ (jobs.sizes_s * responses)) - means.age_sum_s
    assert work == pytest.approx(rate * square / (2.0 * (1.0 - load)), rel=1e-9)


@given(kinds, st.floats(0.0, 1.0))
def test_units_of_time_do_not_matter(kinds, lock) -> None:
    x, y, p = np.array(kinds).T
    p /= p.sum()
    rate = 0.5 / (p @ x)
    jobs = JointSizes.listed(x * 0.02, y * 0.02, p)
    seconds = limited_preemption(rate / 0.02, jobs, lock, 0.02)
    steps = limited_preemption(rate, JointSizes.listed(x, y, p), lock, 1.0)
    assert seconds == pytest.approx((0.02 * steps[0], 0.02 * steps[1], steps[2]), rel=1e-9)


def test_short_steps_are_no_steps() -> None:
    x, y, p = [2.0, 3.0, 8.0], [3.0, 1.0, 6.0], [0.5, 0.3, 0.2]
    jobs = JointSizes.listed(x, y, p)
    free = np.array(limited_preemption(0.25, jobs, 0.7))
    off = [np.abs(limited_preemption(0.25, jobs, 0.7, step) - free) for step in (0.1, 0.01, 0.001)]
    assert np.all((off[1] < 0.15 * off[0]) & (off[2] < 0.15 * off[1]))


def test_densities_and_lists_agree() -> None:
    joint = JointSizes.joint(lambda x, y: np.exp(-x - y / x) / x, 40.0, 400.0)
    few = JointSizes.perfect(exponential, 40.0, 100)
    logs, weights = np.polynomial.hermite_e.hermegauss(25)
    listed = JointSizes.listed(
        np.repeat(few.sizes_s, 25),
        np.outer(few.sizes_s, np.exp(0.5 * logs)).ravel(),
        np.outer(few.chances, weights / weights.sum()).ravel(),
    )
    density = JointSizes.joint(noisy(0.5), 40.0, 200.0)
    for lock in (0.0, 0.5, 1.0):
        expected = tuple(limited_preemption(0.8, GUESSED, lock))
        assert limited_preemption(0.8, joint, lock) == pytest.approx(expected, rel=2e-5)
        expected = tuple(limited_preemption(0.8, density, lock))
        assert limited_preemption(0.8, listed, lock) == pytest.approx(expected, rel=1e-3)
    nearly = JointSizes.joint(noisy(0.03), 40.0, 60.0)
    expected = tuple(limited_preemption(0.8, PERFECT, 0.8))
    assert limited_preemption(0.8, nearly, 0.8) == pytest.approx(expected, rel=3e-3)


def served(arrivals, sizes, predictions, lock, step=0.0):
    """A queue job by job: responses, integrals of age over the time in the system, preemptions."""
    number = len(sizes)
    ages, left, held = [0.0] * number, list(arrivals), [0.5 * x * x for x in sizes]
    ends, preempted = [0.0] * number, [0] * number
    waiting, now, come, done = [], 0.0, 0, 0
    arrivals = [*arrivals, inf]

    def arrive(come):
        while arrivals[come] <= now:
            heappush(waiting, (predictions[come], come))
            come += 1
        return come

    while done < number:
        if not waiting:
            now = max(now, arrivals[come])
            come = arrive(come)
        job = heappop(waiting)[1]
        held[job] += ages[job] * (now - left[job])
        while True:
            rest = sizes[job] - ages[job]
            piece = step or min(rest, arrivals[come] - now)
            now += piece
            ages[job] += piece
            come = arrive(come)
            if piece >= rest:
                ends[job] = now
                done += 1
                break
            rank = (predictions[job] - ages[job], job)
            if ages[job] < lock * predictions[job] and waiting and waiting[0] < rank:
                heappush(waiting, rank)
                left[job] = now
                preempted[job] += 1
                break
    return np.array(ends) - arrivals[:-1], np.array(held), np.array(preempted)


@pytest.mark.parametrize(("lock", "mean"), [(1.0, 5.375), (0.5, 6.4), (0.0, 7.15)])
def test_the_simulated_queue_by_hand(lock, mean) -> None:
    """A (at 0, size 10), B (3, 4), D (6, 0.5), E (9.9, 1), predicted as they are."""
    sizes = [10.0, 4.0, 0.5, 1.0]
    responses = served([0.0, 3.0, 6.0, 9.9], sizes, sizes, lock)[0]
    assert responses.mean() == pytest.approx(mean)


def bimodal(rng, number):
    """Short and long jobs, and a predictor that is off by a factor, more for the short."""
    long_ = rng.random(number) < 0.3
    x = np.where(long_, 4.0 + rng.random(number), rng.exponential(0.7, number))
    y = x * np.exp(np.where(long_, 0.3, 0.9) * rng.standard_normal(number))
    return JointSizes.listed(x[:1500], y[:1500])


@pytest.mark.parametrize(
    ("jobs", "lock", "step"),
    [
        (bimodal(np.random.default_rng(5), 1500), 0.6, 0.0),
        (JointSizes.listed([1, 4, 6, 9], [3, 3, 3, 5], [0.4, 0.2, 0.2, 0.2]), 1.0, 0.0),
        (JointSizes.listed([1, 2, 6], [2, 2, 5], [0.5, 0.3, 0.2]), 0.5, 0.0),
        (JointSizes.listed([1, 2, 6], [2, 2, 5], [0.5, 0.3, 0.2]), 0.5, 1.0),
        (JointSizes.listed([1, 2, 7, 12], [1, 3.5, 5, 11], [0.4, 0.2, 0.3, 0.1]), 0.8, 1.0),
        (JointSizes.listed([1, 3, 5, 2], [6, 4, 2, 4], [0.4, 0.2, 0.3, 0.1]), 1.0, 1.0),
    ],
)
def test_against_simulation(jobs, lock, step) -> None:
    rng = np.random.default_rng(11)
    number, batches = 40_000, 40
    rate = 0.7 / jobs.rows.work_s[-1]
    drawn = rng.choice(len(jobs.chances), number, p=jobs.chances)
    x, y = jobs.sizes_s[drawn], jobs.predictions_s[drawn]
    arrivals = np.cumsum(rng.exponential(1.0 / rate, number))
    found = served(arrivals.tolist(), x.tolist(), y.tolist(), lock, step)
    means = np.array([part.reshape(batches, -1).mean(axis=1) for part in found])
    means[1] *= rate
    error = means.std(axis=1, ddof=1) / sqrt(batches)
    expected = limited_preemption(rate, jobs, lock, step)
    assert np.all(np.abs(means.mean(axis=1) - expected) < 3.0 * error)
    assert np.all(error < 0.05 * means.mean(axis=1))


def test_impossible_numbers_are_errors() -> None:
    jobs = JointSizes.listed([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"no steady state: rate 0\.7, mean size 1\.5 s"):
        limited_preemption(0.7, jobs, 0.5)
    with pytest.raises(ValueError, match="no steady state: rate 0"):
        limited_preemption(0.0, jobs, 0.5)
    with pytest.raises(ValueError, match=r"lock 1\.1, not in 0 to 1"):
        limited_preemption(0.1, jobs, 1.1)
    with pytest.raises(ValueError, match="lock nan"):
        limited_preemption_wait_s(0.1, jobs, float("nan"), 1.0)
    with pytest.raises(ValueError, match=r"a size of 1\.0 s in steps of 0\.3 s"):
        limited_preemption(0.1, jobs, 0.5, 0.3)
    with pytest.raises(ValueError, match=r"a size is -1\.0 s"):
        limited_preemption_response_s(0.1, jobs, 0.5, [1.0, -1.0], 1.0)
    with pytest.raises(ValueError, match="a prediction is nan"):
        limited_preemption_wait_s(0.1, jobs, 0.5, float("nan"))
    with pytest.raises(ValueError, match=r"steps of -1\.0 s"):
        limited_preemption(0.1, jobs, 0.5, -1.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: JointSizes.perfect(lambda x: 0.5 * np.exp(-x), 40.0), r"to 0\.5 up to a size"),
        (lambda: JointSizes.perfect(exponential, 2.0), r"to 0\.86.*not to 1"),
        (lambda: JointSizes.perfect(exponential, 0.0), "up to 0"),
        (lambda: JointSizes.joint(lambda x, y: np.exp(-x), 40.0, 40.0), "to 40 .*not to 1"),
        (lambda: JointSizes.joint(noisy(0.005), 40.0, 40.0), r"to 1\.3.*more points"),
        (lambda: JointSizes.perfect(lambda x: x * np.nan, 40.0), "to nan"),
        (lambda: JointSizes.perfect(lambda x: (2 * x - 1) * np.exp(-x), 50.0), "a chance is -"),
        (lambda: JointSizes.exponential(0.0), "mean size of 0"),
        (lambda: JointSizes.listed([1.0], [1.0], [0.9]), r"sum to 0\.9, not to 1"),
        (lambda: JointSizes.listed([1.0, 2.0], [1.0]), "shapes"),
        (lambda: JointSizes.listed([], []), "sum to 0"),
        (lambda: JointSizes.listed([1.0, -2.0], [1.0, 1.0]), r"a size is -2\.0"),
        (lambda: JointSizes.listed([1.0, 2.0], [1.0, inf]), "a prediction is inf"),
    ],
)
def test_impossible_laws_are_errors(make, says) -> None:
    with pytest.raises(ValueError, match=says):
        make()
