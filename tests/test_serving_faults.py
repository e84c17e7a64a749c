"""Failures of a serving system's devices by hand: what is lost, when it comes back, what stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from serving_kit import Outcome, simulate

from policies.batching.chunked_prefill import ChunkedPrefill
from policies.batching.prefill_first import PrefillFirst
from policies.routing.least_outstanding import LeastOutstanding
from policies.routing.power_of_two import PowerOfTwo
from policies.routing.round_robin import RoundRobin
from sim.hardware.faults import Fault
from sim.serving.facts import Iterations

pytestmark = pytest.mark.parametrize("mode", ["jump", "step"])


def fail(time_s: float, duration_s: float, target: str = "node0/gpu0") -> Fault:
    return Fault(time_s=time_s, target=target, kind="fail", duration_s=duration_s)


def serve(
    mode: str, requests: list[tuple[float, int, int]], faults: Sequence[Fault], **settings: Any
) -> Outcome:
    run = simulate(requests, mode=mode, faults=faults, **settings)
    assert set(run.column("status")) == {"finished"}
    gateway = run.serving.gateway
    assert gateway.outstanding_requests == [0] * len(run.serving.replicas)
    assert gateway.outstanding_tokens == [0] * len(run.serving.replicas)
    return run


def test_what_ends_as_the_device_fails_has_ended(mode: str) -> None:
    run = serve(mode, [(0.0, 1, 3)], [fail(3.0, 1.0)])
    assert run.column("finish_s") == [3.0]
    assert run["requests_rerouted"] == 0


def test_tokens_made_are_kept_and_their_kv_is_computed_again(mode: str) -> None:
    """Two tokens by 2 s; at 4 s the prompt and both are prefilled, one token an iteration."""
    run = serve(mode, [(0.0, 1, 4)], [fail(2.5, 1.5)], engine={"max_batch_tokens": 1})
    assert run.column("first_token_s") == [1.0]
    assert run.column("finish_s") == [4.0 + 3 + 1]
    assert run.column("recomputed_tokens") == [2]
    assert run["output_tokens"] == 4


def test_a_group_is_up_when_all_its_devices_are(mode: str) -> None:
    faults = [fail(1.5, 1.0, "node0/gpu1"), fail(2.0, 2.0)]
    run = serve(mode, [(0.0, 4, 2)], faults, gpus=2)
    assert run.column("finish_s") == [5.0]
    assert run["requests_rerouted"] == 1


def test_a_failure_while_kv_moves_leaves_nothing_behind(mode: str) -> None:
    """B's KV is on its way to the host from 2 to 4 s when the device fails at 3 s. From 3.5 s on
    A computes 3 + 2 tokens and ends at 6.5 s; then B does."""
    run = serve(
        mode,
        [(0.0, 3, 5), (0.0, 3, 5)],
        [fail(3.0, 0.5)],
        engine={"block_tokens": 1, "kv_blocks": 8, "host_swap_bytes": 100.0},
        batching=lambda: ChunkedPrefill(preemption="swap"),
        link_bytes_per_s=2.0,
    )
    assert run.column("finish_s") == [6.5, 9.5]
    (replica,) = run.serving.replicas
    assert replica.pool.used == replica.swap.pool.used == 0


def test_a_swap_from_before_a_failure_ends_no_later_one(mode: str) -> None:
    """At a quarter byte a second. A and B fill the pool at 4 s, and B's 4 tokens leave; at 5 s the
    device fails, and both are done by 13.5 s while the link still sends. C and D fill the pool at
    18 s. What is left of the old transfer, half a byte, shares the link with D's until 22 s; D's
    last byte arrives at 36 s, when C goes on, and D comes back from 40 to 56 s."""
    run = serve(
        mode,
        [(0.0, 1, 8), (0.0, 1, 8), (14.0, 1, 8), (14.0, 1, 8)],
        [fail(5.0, 0.5)],
        engine={"block_tokens": 1, "kv_blocks": 8, "host_swap_bytes": 100.0},
        batching=lambda: ChunkedPrefill(preemption="swap"),
        link_bytes_per_s=0.25,
    )
    assert run.column("finish_s") == [9.5, 13.5, 40.0, 60.0]


@pytest.mark.parametrize("batching", [ChunkedPrefill, PrefillFirst])
@pytest.mark.parametrize("time_s", [5.0, 5.5])
def test_down_and_up_in_one_instant(batching: Any, time_s: float, mode: str) -> None:
    """Lost at 5 s with 5 tokens made (and at 5.5 s with as many), and begun again at once,
    together with what arrives at 5 s."""
    faults = [
        Fault(time_s=time_s, target="node0/gpu0", kind="fail"),
        Fault(time_s=time_s, target="node0/gpu0", kind="repair"),
    ]
    run = serve(mode, [(0.0, 2, 9), (5.0, 3, 3)], faults, batching=batching)
    assert run.column("finish_s") == [time_s + 4.0, time_s + 3.0]
    assert run.log is not None
    assert sum(fact.steps * fact.decodes for fact in run.log.of(Iterations)) == 9 + 3 - 3


def test_several_failures_in_turn(mode: str) -> None:
    """Each costs the iteration under way and the time down, and a prefill that makes a token."""
    run = serve(mode, [(0.0, 1, 6)], [fail(1.5, 0.5), fail(3.5, 0.5), fail(5.5, 0.5)])
    # Tokens at 1; 3; 5; 7, 8 and 9 s.
    assert run.column("finish_s") == [9.0]
    assert run["requests_rerouted"] == 3


@pytest.mark.parametrize("routing", [RoundRobin, LeastOutstanding, PowerOfTwo])
def test_nothing_goes_to_a_replica_that_is_down(routing: Any, mode: str) -> None:
    requests = [(0.5 * number, 2, 3) for number in range(40)]
    run = serve(mode, requests, [fail(4.0, 8.0, "node1/gpu0")], replicas=3, routing=routing)
    late = [row for row in run.rows if 4.0 < row["arrival_s"] < 12.0]
    assert len(late) == 15
    assert {row["replica"] for row in late} == {0, 2}
    assert run.rows[-1]["arrival_s"] > 12.0
    assert {row["replica"] for row in run.rows if row["arrival_s"] > 12.0} == {0, 1, 2}


def test_while_all_are_down_requests_wait_at_the_gateway(mode: str) -> None:
    """Both fail at 1.5 s, one comes back at 6 s, the other at 20 s: all four are served by the
    first, those that were lost before those that came meanwhile."""
    faults = [fail(1.5, 4.5), fail(1.5, 18.5, "node1/gpu0")]
    run = serve(
        mode,
        [(0.0, 1, 3), (0.0, 1, 3), (2.0, 1, 2), (3.0, 1, 2)],
        faults,
        replicas=2,
        engine={"max_sequences": 2},
    )
    assert run.column("replica") == [0, 0, 0, 0]
    assert run.column("finish_s") == [8.0, 8.0, 10.0, 10.0]
