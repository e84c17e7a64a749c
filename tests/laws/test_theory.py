"""Queueing theory on the engine that serves requests.

The mapping. A request has a prompt of one token and `n` output tokens. With a constant step of
`s` seconds its prefill yields the first token and each later step one more, so it is served for
exactly `n * s` seconds: one slot is a single server, `c` slots are `c` servers whose steps keep
time with each other, and a step proportional to the batch gives each of `k` requests a token every
`k * s` seconds, which is processor sharing. Sizes are geometric, fixed or a mixture, in tokens.

Size of the discretisation: arrivals wait for the next boundary, half a step at the mean, where
other slots are busy; with MEAN tokens at the mean that is 1 / (2 MEAN) of a service time, far
below the intervals, which are some percent. Replications with independent seeds give Student's
interval.
"""

from math import exp, sqrt

import numpy as np
import pytest
from scipy import stats
from serving_kit import simulate

from models.constant_cost import ConstantCost, ProportionalCost
from models.queueing import (
    mg1_ps_response_s,
    mg1_response_s,
    mm1_response_s,
    mmc_response_s,
    srpt_response_s,
)
from policies.ordering.shortest_remaining import ShortestRemaining
from sim.serving.clients import OpenLoop
from workloads.arrivals import Poisson
from workloads.lengths import Fixed, Geometric, Mixture
from workloads.synthetic import Synthetic

MEAN = 500
STEP_S = 1.0 / MEAN  # so that a mean service takes a second
REPLICATIONS = 8
SIZES = {
    "geometric": Geometric(MEAN),
    "fixed": Fixed(MEAN),
    # Squared coefficient of variation 1.94: nine in ten of 200 tokens at the mean.
    "mixed": Mixture(
        parts={"short": Geometric(2 * MEAN // 5), "long": Fixed(16 * MEAN // 5)},
        shares={"short": 11 / 14, "long": 3 / 14},
    ),
}


def mean_responses(rate, sizes, *, cost, slots, requests=4000, **settings):
    """Mean response of each replication, its first fifth left out."""
    means = []
    for seed in range(REPLICATIONS):
        client = OpenLoop(Synthetic(Fixed(1), SIZES[sizes], count=requests), Poisson(rate))
        outcome = simulate(
            client=client,
            cost=cost,
            seed=seed,
            engine={"max_sequences": slots, "max_batch_tokens": 1 << 20, "kv_blocks": 1 << 40},
            log=False,
            **settings,
        )
        responses = outcome.column("e2e_latency_s")
        means.append(float(np.mean(responses[requests // 5 :])))
    return means


def assert_inside(means, expected):
    """The expected mean lies in the 99 % interval, which is narrow enough to mean something."""
    half = stats.t.ppf(0.995, len(means) - 1) * stats.sem(means)
    assert abs(np.mean(means) - expected) < half, (np.mean(means), half, expected)
    assert half < 0.25 * expected


def moments(sizes):
    """Mean and second moment of sizes, in seconds."""
    sample = SIZES[sizes].sample(np.random.default_rng(5), 400_000) * STEP_S
    return float(sample.mean()), float((sample**2).mean())


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_mm1(load):
    means = mean_responses(load, "geometric", cost=ConstantCost(STEP_S), slots=1)
    assert_inside(means, mm1_response_s(load, 1.0))


@pytest.mark.parametrize(("load", "servers"), [(0.6, 2), (0.85, 4)])
def test_mmc(load, servers):
    means = mean_responses(load * servers, "geometric", cost=ConstantCost(STEP_S), slots=servers)
    assert_inside(means, mmc_response_s(load * servers, 1.0, servers))


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_md1(load):
    means = mean_responses(load, "fixed", cost=ConstantCost(STEP_S), slots=1)
    assert_inside(means, mg1_response_s(load, 1.0, 1.0))


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_mg1_first_come_first_served(load):
    mean, second = moments("mixed")
    means = mean_responses(load / mean, "mixed", cost=ConstantCost(STEP_S), slots=1)
    assert_inside(means, mg1_response_s(load / mean, mean, second))


@pytest.mark.parametrize(("load", "sizes"), [(0.5, "mixed"), (0.7, "geometric"), (0.7, "fixed")])
def test_mg1_processor_sharing(load, sizes):
    mean, _ = moments(sizes)
    cost = ProportionalCost(STEP_S)
    means = mean_responses(load / mean, sizes, cost=cost, slots=1 << 20, requests=1500)
    assert_inside(means, mg1_ps_response_s(load / mean, mean))


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_srpt(load):
    means = mean_responses(
        load, "geometric", cost=ConstantCost(STEP_S), slots=1, ordering=ShortestRemaining
    )
    assert_inside(means, srpt_response_s(load, lambda x: exp(-x), 40.0))


def test_dd1_is_exact():
    """Evenly spaced requests of one size: each finds the server idle, or waits a known time."""
    requests = [(0.75 * i, 1, 4) for i in range(50)]
    outcome = simulate(requests, cost=ConstantCost(0.25), engine={"max_sequences": 1})
    assert outcome.column("finish_s") == [1.0 + i for i in range(50)]
    spaced = [(1.5 * i, 1, 4) for i in range(50)]
    outcome = simulate(spaced, cost=ConstantCost(0.25), engine={"max_sequences": 1})
    assert outcome.column("e2e_latency_s") == [1.0] * 50


def test_formulas_against_each_other():
    assert mmc_response_s(0.7, 1.0, 1) == pytest.approx(mm1_response_s(0.7, 1.0))
    assert mg1_response_s(0.7, 1.0, 2.0) == pytest.approx(mm1_response_s(0.7, 1.0))
    # Analytic means of SRPT with exponential sizes (published tables, four digits).
    for load, mean in ((0.5, 1.4254), (0.8, 2.3528), (0.9, 3.5521)):
        assert srpt_response_s(load, lambda x: exp(-x), 50.0) == pytest.approx(mean, abs=2e-4)
    with pytest.raises(ValueError, match="no steady state"):
        mm1_response_s(1.0, 1.0)
    assert sqrt(moments("mixed")[1]) > moments("mixed")[0]
