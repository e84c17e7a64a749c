"""The use meter of serving: who used the GPUs' active seconds and the KV memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from offload_kit import STEEP
from scenarios import TIGHT, Scenario, crowds, offloading_policies, scenarios
from serving_kit import Outcome, build, simulate
from use_kit import Walk, Watched

from models.constant_cost import LinearCost
from sim.hardware.faults import Fault
from sim.hardware.metering import Part

EDGES = st.lists(st.integers(1, 80).map(lambda n: n / 8) | st.floats(0.01, 10.0), max_size=6)


def near(value: object, of: float = 0.0) -> object:
    """Within 1e-9 of it, or of a sum of which it is a part."""
    return pytest.approx(value, rel=1e-9, abs=1e-9 * max(of, 1e-3))


def check_conservation(run: Outcome, watched: Watched) -> None:
    """In each step of each meter: accounts sum to the active seconds of the group, and requests'
    parts to the accounts; held shares over the run to what the replica tallied."""
    for meter, steps in enumerate(watched.steps):
        replica = run.serving.replicas[meter]
        active_s = watched.active_s[meter]
        total_s = active_s[-1]
        capacity = replica.pool.total_blocks * replica.batch.block_tokens
        now = run.simulation.now
        tallied = replica.tally.kv_token_s
        held = tallied + replica.held.area(now) + replica.calls.held.area(now)
        assert sum(sum(step.held_s.values()) for step in steps) == near(held / capacity, now)
        for number, step in enumerate(steps):
            spent_s = active_s[number + 1] - active_s[number]
            assert sum(step.active_s.values()) == near(spent_s, total_s)
            parts = [
                part for each in watched.consumers(meter) for part in each.parts
                if part.step == number
            ]  # fmt: skip
            assert sum(part.active_s for part in parts) == near(spent_s, total_s)
            held_s = step.held_s["prefill"] + step.held_s["decode"]
            assert sum(part.held_s for part in parts) == near(held_s, now)
            assert all(part.active_s >= -1e-12 * total_s for part in parts)
            assert all(part.held_s >= -1e-12 * now for part in parts)
        for consumer in watched.consumers(meter):
            numbers = [part.step for part in consumer.parts]
            assert numbers == sorted(set(numbers))


def check_same(a: dict[int, tuple[float, float]], b: dict[int, tuple[float, float]]) -> None:
    """Equal shares of each request."""
    for number in a.keys() | b.keys():
        total_s = sum(active_s for active_s, _ in a.values())
        held_s = sum(held_s for _, held_s in a.values())
        active_a, held_a = a.get(number, (0.0, 0.0))
        active_b, held_b = b.get(number, (0.0, 0.0))
        assert active_a == near(active_b, total_s)
        assert held_a == near(held_b, held_s)


def check_all(scenario: Scenario, edges_s: list[float]) -> None:
    """Conservation with and without edges; jump = step; edges change no sum; all as by a walk over
    the iterations; and nothing of it disturbs the run."""
    watched = [Watched(edges_s), Watched(edges_s), Watched()]
    walk = Walk()
    # The host's part of an iteration is priced by a model of its own: let it be the same.
    same = {"cost": STEEP.cost} if scenario.batching in offloading_policies() else {}
    jump = scenario.run("jump", observers=[watched[0]], **same)
    stepwise = scenario.settings() | same
    simulation, serving, log = build(**stepwise, mode="step", observers=[watched[1], walk])
    simulation.run()
    walk.cut()
    simulation.finish()
    step = Outcome(simulation.results.close({}, {}), simulation, serving, log)
    whole = scenario.run("jump", observers=[watched[2]], **same)
    bare = scenario.run("jump", **same)
    for run, seen in zip((jump, step, whole), watched, strict=True):
        check_conservation(run, seen)
    assert bare.table("requests") == whole.table("requests") == jump.table("requests")
    assert bare.result.summary.keys() == whole.result.summary.keys()
    for meter, by_walk in enumerate(walk.used):
        used = [each.used(meter) for each in watched]
        check_same(used[0], used[1])
        check_same(used[0], used[2])
        check_same(used[1], {number: (a, h) for number, (a, h) in by_walk.items()})


@settings(max_examples=150)
@given(scenarios(), EDGES)
def test_shares_in_random_systems(scenario: Scenario, edges_s: list[float]) -> None:
    check_all(scenario, edges_s)


@settings(max_examples=60)
@given(crowds(), EDGES)
def test_shares_with_requests_on_the_host(scenario: Scenario, edges_s: list[float]) -> None:
    check_all(scenario, edges_s)
