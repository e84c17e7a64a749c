"""Law 6: energy of jobs + idle = integral of power."""

from __future__ import annotations

import pytest
from hypothesis import Phase, assume, given, settings
from scenarios import Scenario, offloading_policies, scenarios
from serving_kit import IDLE_W, NODE_W, PEAK_W, Outcome, simulate

from models.constant_cost import ConstantCost
from sim.core.simulation import Simulation
from sim.hardware.faults import Fault
from sim.serving.facts import Iterations
from sim.serving.serving import Serving


class Integral:
    """Integrates the power that the meters show. Between two events of step mode every device
    draws constant power, since each iteration ends with an event."""

    def __init__(self) -> None:
        self.energy_j = 0.0

    def __call__(self, simulation: Simulation, _: Serving, next_s: float) -> None:
        now = simulation.now
        if next_s > now and simulation.cluster is not None:
            middle = 0.5 * (now + next_s)
            for node in simulation.cluster.nodes:
                watts = sum(device.meter.power_w(middle) for device in node.devices)
                self.energy_j += (watts + node.spec.base_w) * (next_s - now)


@given(scenarios(until=False))
def test_law_06_energy_is_the_integral_of_power(scenario: Scenario) -> None:
    integral = Integral()
    run = scenario.run("step", before_event=integral)
    assert run.result["energy_j"] == pytest.approx(integral.energy_j, rel=1e-9)


@settings(phases=[Phase.generate])
@given(scenarios())
def test_law_06_the_series_ends_with_the_energy_of_the_run(scenario: Scenario) -> None:
    """So too where `until_s` cuts an iteration: what it has drawn until then counts."""
    integral = Integral()
    run = scenario.run("step", before_event=integral)
    samples = run.table("series")[-scenario.replicas :]
    assert {row["time_s"] for row in samples} == {run.simulation.now}
    sampled_j = sum(row["energy_j"] for row in samples)
    assert sampled_j == pytest.approx(run["energy_j"], rel=1e-9, abs=1e-9)
    assert run.result["energy_j"] == pytest.approx(integral.energy_j, rel=1e-9, abs=1e-9)


@given(scenarios(faults=False, until=False))
def test_law_06_energy_of_jobs_and_idle(scenario: Scenario) -> None:
    """With a step that draws full power, by hand: the dynamic range while iterations run, the
    idle draw always."""
    assume(
        scenario.batching not in offloading_policies()
    )  # its iterations have a cost of their own
    run = scenario.but(cost="constant, decimal").run()
    assert _busy_s(run) * (PEAK_W - IDLE_W) * scenario.gpus + run.simulation.now * (
        IDLE_W * scenario.gpus + NODE_W
    ) * scenario.replicas == pytest.approx(run.result["energy_j"], rel=1e-9)


def test_law_06_one_request_by_hand() -> None:
    """Five seconds idle, then ten steps of a second at full power."""
    run = simulate([(5.0, 1, 10)])
    assert run["energy_j"] == 15 * IDLE_W + 10 * (PEAK_W - IDLE_W)
    assert run.result["energy_j"] == run["energy_j"] + 15 * NODE_W


def _busy_s(run: Outcome) -> float:
    assert run.log is not None
    return sum(fact.end_s - fact.start_s for fact in run.log.of(Iterations))


def test_law_06_a_failed_device_draws_nothing_and_a_slow_one_less() -> None:
    """Four iterations of 1 s of work on two replicas, one of which fails in its second at 1.5 s
    for 1 s; the other runs at half speed from 2 s on, its third iteration so lasting 2 s."""
    faults = [
        Fault(time_s=1.5, target="node0/gpu0", kind="fail", duration_s=1.0),
        Fault(time_s=2.0, target="node1/gpu0", kind="slow", speed=0.5),
    ]
    run = simulate(
        [(0.0, 1, 3), (0.0, 1, 3)],
        cost=ConstantCost(1.0),
        replicas=2,
        faults=faults,
        engine={"max_sequences": 1},
    )
    # Request 0 is lost at 1.5 s with one token made and goes to replica 1, which is busy until 4
    # s; there it has two tokens left, each of 2 s at half speed.
    assert [row["finish_s"] for row in run.rows] == [8.0, 4.0]
    assert run.column("replica") == [1, 1]
    dynamic_j = (PEAK_W - IDLE_W) * (1.5 + 2.0 + 1.0 + 2.0)
    idle_j = IDLE_W * (8.0 + 8.0 - 1.0)
    assert run["energy_j"] == dynamic_j + idle_j
    assert run.result["energy_j"] == dynamic_j + idle_j + 2 * NODE_W * 8.0


def test_law_06_caps_that_change_within_a_step_by_hand() -> None:
    """One iteration of full draw and 4 s on a GPU of 50 to 400 W. From 1 s on it may draw 160 W,
    at which it makes 0.4^0.4 of its speed; from 3 s on it is free again."""
    run = simulate(
        [(0.0, 1, 1)],
        cost=ConstantCost(4.0),
        caps=[(1.0, "node0/gpu0", 0.4), (3.0, "node0/gpu0", None)],
    )
    done = 1.0 + 2.0 * 0.4**0.4
    assert run.rows[0]["finish_s"] == pytest.approx(3.0 + 4.0 - done, rel=1e-12)
    expected = 400.0 * 1.0 + 160.0 * 2.0 + 400.0 * (4.0 - done)
    assert run["energy_j"] == pytest.approx(expected, rel=1e-12)
