"""Laws where requests travel between regions; the other laws' random scenarios hold some too."""

from __future__ import annotations

import pytest
from hypothesis import given
from scenarios import TIGHT, Scenario, scenarios

from sim.hardware.faults import Fault


@given(scenarios(faults=False, until=False, closed=False))
def test_times_a_region_sees_are_ordered(scenario: Scenario) -> None:
    replicas = max(2, scenario.replicas)
    outcome = scenario.but(regions=True, routing="carbon", calls=0, replicas=replicas).run()
    for row in outcome.rows:
        if row["status"] == "finished":
            assert row["arrival_s"] <= row["scheduled_s"] <= row["first_token_s"] <= row["finish_s"]


@pytest.mark.parametrize("routing", ["carbon", "nearest", "cleanest", "least_outstanding"])
def test_jump_is_step_with_travel_and_faults(routing: str) -> None:
    faults = (
        Fault(time_s=0.3, target="node1/gpu0", kind="fail", duration_s=2.0),
        Fault(time_s=1.0, target="node0/gpu0", kind="slow", speed=0.5, duration_s=3.0),
    )
    for concurrency in (0, 5):
        scenario = TIGHT.but(
            routing=routing, regions=True, replicas=2, faults=faults, concurrency=concurrency
        )
        jump, step = scenario.run("jump"), scenario.run("step")
        assert jump.rows == step.rows
        assert {row["status"] for row in jump.rows} == {"finished"}
