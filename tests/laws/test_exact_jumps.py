"""Law: step mode and jump mode agree to the bit, for every policy of the repository.

Step mode asks the policies at every iteration and prices each iteration by itself, so the same
runs also prove that policies claim no more validity than they have and that closed forms hold.
"""

from itertools import product

import pytest
from hypothesis import given, settings
from scenarios import COSTS, Scenario, policies, scenarios

from sim.hardware.faults import Fault

REQUESTS = tuple((0.3 * i, 3 + 5 * i % 17, 1 + 7 * i % 23) for i in range(14))


def assert_same(scenario):
    jump, step = scenario.run("jump"), scenario.run("step")
    assert jump.result.summary.keys() == step.result.summary.keys()
    for metric, value in jump.result.summary.items():
        if metric != "facts":
            assert value == step.result.summary[metric], metric
    assert jump.rows == step.rows
    if scenario.series_interval_s:
        assert jump.table("series") == step.table("series")
    return jump, step


@pytest.mark.parametrize(
    ("ordering", "batching", "routing"),
    list(product(policies("ordering"), policies("batching"), policies("routing"))),
)
def test_every_combination_of_policies(ordering, batching, routing):
    """A pool so small that requests are preempted, two replicas, open and closed loop."""
    scenario = Scenario(
        requests=REQUESTS,
        cost="linear, decimal",
        ordering=ordering,
        batching=batching,
        routing=routing,
        replicas=2,
        host_blocks=40,
        async_scheduling=routing == "power_of_two",
    )
    jump, step = assert_same(scenario)
    assert len(jump.log.facts) <= len(step.log.facts)
    assert_same(scenario.but(concurrency=5))


@pytest.mark.parametrize("cost", list(COSTS))
def test_every_kind_of_cost(cost):
    assert_same(Scenario(requests=REQUESTS, cost=cost, kv_blocks=40))


@pytest.mark.parametrize("time_s", [1.0, 1.125, 1.1, 1.5])
@pytest.mark.parametrize("kind", ["slow", "fail"])
def test_faults_on_a_boundary_and_between(time_s, kind):
    """Steps of 1/8 s: some faults fall on a boundary to the bit."""
    fault = Fault(
        time_s=time_s,
        target="node0/gpu0",
        kind=kind,
        speed=0.5 if kind == "slow" else None,
        duration_s=0.75,
    )
    assert_same(Scenario(requests=REQUESTS, faults=(fault,), replicas=2))


def test_exact_ties_between_replicas():
    """Requests of one size at once over equal replicas, closed loop: all boundaries coincide."""
    scenario = Scenario(requests=((0.0, 4, 6),) * 24, replicas=3, concurrency=6, kv_blocks=40)
    assert_same(scenario)
    assert_same(scenario.but(routing="power_of_two"))


@settings(max_examples=150)
@given(scenarios())
def test_random_systems(scenario):
    assert_same(scenario)
