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

EDGES = st.lists(st.integers(1, 80).map(lambda n: n / 8) | st.floats(0.01, 10.0), max_size=6)


def near(value: object, of: float = 0.0) -> object:
    """Within 1e-9 of it, or of a sum of which it is a part."""
    return pytest.approx(value, rel=1e-9, abs=1e-9 * max(of, 1e-3))


def check_conservation(run: Outcome, watched: Watched) -> None:
    """In each step of each meter: accounts sum to the active seconds of the group, and requests'
    parts to the accounts, none below 0; held shares over the run to what the replica tallied."""
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
    scenario = scenario.but(series_interval_s=None)
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


@settings(max_examples=100)
@given(scenarios(), EDGES)
def test_shares_in_random_systems(scenario: Scenario, edges_s: list[float]) -> None:
    check_all(scenario, edges_s)


@settings(max_examples=40)
@given(crowds(), EDGES)
def test_shares_with_requests_on_the_host(scenario: Scenario, edges_s: list[float]) -> None:
    check_all(scenario, edges_s)


@pytest.mark.parametrize("batching", ["chunked_prefill-recompute", "chunked_prefill-swap"])
@pytest.mark.parametrize("tools", ["preserve", "discard", "swap"])
def test_shares_where_memory_is_fought_over(batching: str, tools: str) -> None:
    """Preemption with each fate of the KV, and calls, which hold memory of their own account."""
    scenario = TIGHT.but(
        batching=batching, tools=tools, calls=2, cost="linear, decimal", replicas=2, kv_blocks=14
    )
    check_all(scenario, [0.3, 0.31, 1.0, 1.7, 2.4, 5.0])


@pytest.mark.parametrize("kind", ["fail", "slow"])
def test_shares_where_devices_fail_or_slow_down(kind: str) -> None:
    """In the middle of iterations, with an edge in the same one, and until the run is cut off."""
    speed = 0.3 if kind == "slow" else None
    faults = [
        Fault(time_s=at, target=f"node{node}/gpu0", kind=kind, speed=speed, duration_s=0.4)  # type: ignore[arg-type]
        for at, node in ((0.111, 0), (0.777, 1), (1.3, 0))
    ]
    scenario = TIGHT.but(
        faults=tuple(faults), cost="linear, decimal", replicas=2, until_s=1.999, kv_blocks=30
    )
    check_all(scenario, [0.11, 0.112, 0.776, 0.778, 1.29, 1.9])


def test_a_short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is settled all the time, slots of requests that are over used again."""
    monkeypatch.setattr("sim.serving.use_log._MANY", 0)
    monkeypatch.setattr("sim.serving.used.SLOTS", 1)
    for batching in ("chunked_prefill-recompute", "chunked_prefill-swap"):
        scenario = TIGHT.but(batching=batching, cost="linear, decimal", kv_blocks=14)
        check_all(scenario, [0.3, 0.31, 1.0, 2.4])


def test_shares_under_power_caps() -> None:
    """That come, change and go in the middle of iterations."""
    caps = tuple(
        (at, "node0/gpu0", share) for at, share in ((0.111, 0.5), (0.777, 0.7), (1.3, 0.9))
    )
    scenario = TIGHT.but(caps=caps, cost="linear, decimal", kv_blocks=30)
    check_all(scenario, [0.11, 0.112, 0.776, 0.778, 1.29, 1.9])


def _two(edges_s: list[float]) -> Watched:
    """Two prompts of 2 and 1 tokens make 3 and 2: iterations of 2.5, 3.25 and 2.5 s."""
    watched = Watched(edges_s)
    simulate(
        [(0.0, 2, 3), (0.0, 1, 2)],
        cost=LinearCost(1.0, 0.5, 0.25),
        engine={"kv_blocks": 4, "block_tokens": 4},
        observers=[watched],
    )
    return watched


def test_two_requests_by_hand() -> None:
    """Three prompt tokens share the first iteration; then each decode pays 1 s and 0.25 s for each
    KV token that it reads, 3 and 2; then the first is alone, and reads 4."""
    watched = _two([])
    used = watched.used(0)
    assert used[0] == pytest.approx((2.5 * 2 / 3 + 1.75 + 2.5, (2 * 3.25 + 3 * 2.5) / 16))
    assert used[1] == pytest.approx((2.5 / 3 + 1.5, 3.25 / 16))
    (step,) = watched.steps[0]
    assert step.active_s == pytest.approx({"prefill": 2.5, "decode": 5.75})
    assert step.held_s == pytest.approx(
        {"prefill": 0.0, "decode": (3 * 3.25 + 3 * 2.5) / 16, "waiting": 0.0, "calls": 0.0}
    )
    assert [(each.id, each.finished) for each in step.ended] == [(1, True), (0, True)]


def test_an_edge_in_an_iteration_cuts_it_by_hand() -> None:
    """In the middle of the second."""
    watched = _two([2.5 + 3.25 / 2])
    first, second = watched.steps[0]
    assert first.active_s == pytest.approx({"prefill": 2.5, "decode": 1.625})
    assert second.active_s == pytest.approx({"prefill": 0.0, "decode": 1.625 + 2.5})
    assert not first.ended
    one, other = sorted(second.ended, key=lambda consumer: consumer.id)
    assert [part.step for part in one.parts] == [0, 1]
    assert one.parts[0] == pytest.approx((0, 2.5 * 2 / 3 + 1.75 / 2, 2 * 1.625 / 16))
    assert one.parts[1] == pytest.approx((1, 1.75 / 2 + 2.5, (2 * 1.625 + 3 * 2.5) / 16))
    assert other.parts[0] == pytest.approx((0, 2.5 / 3 + 1.5 / 2, 1.625 / 16))
    assert other.parts[1] == pytest.approx((1, 1.5 / 2, 1.625 / 16))


def test_a_request_whose_devices_fail_is_told_twice() -> None:
    """As unfinished where they failed, and as finished where it ends."""
    watched = Watched()
    fault = Fault(time_s=1.5, target="node0/gpu0", kind="fail", duration_s=1.0)
    simulate([(0.0, 3, 5)], replicas=2, faults=[fault], observers=[watched])
    (lost,), (ended,) = watched.consumers(0), watched.consumers(1)
    assert lost.parts == [(0, 1.5, pytest.approx(lost.parts[0].held_s))]
    assert (lost.finished, ended.finished) == (False, True)


def test_what_the_end_of_the_run_cuts_off() -> None:
    """It is told as unfinished, with what it has used by then."""
    watched = Watched()
    simulate([(0.0, 3, 50), (0.0, 2, 2)], until_s=6.5, observers=[watched])
    ended, cut = watched.consumers(0)
    assert (ended.id, ended.finished) == (1, True)
    assert not cut.finished
    assert cut.parts[0].active_s == pytest.approx(3 / 5 + 1 / 2 + 4.5)


def test_nobody_asks() -> None:
    """Then there is no meter."""
    run = simulate([(0.0, 3, 5)])
    (replica,) = run.serving.replicas
    assert replica.tally.runs is replica.batch.meter is replica.host.meter is None
