"""Requests that call tools, by hand: when their tokens come and where their KV is meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from serving_kit import Listed, Outcome, build, simulate

from models.errors import ConfigError
from policies.tools.always import Always
from sim.hardware.faults import Fault
from sim.serving.clients import OpenLoop
from sim.serving.facts import CallBegan, CallEnded, CallSwapped, Iterations, Swapped
from sim.serving.law_check import LawCheck
from workloads.arrivals import TraceTimes
from workloads.demand import Call, Demand

MODES = pytest.mark.parametrize("mode", ["jump", "step"])
HANDLINGS = pytest.mark.parametrize("handling", ["preserve", "discard", "swap"])


def serve(
    *asked: tuple[float, int, int, Sequence[tuple[int, float, int]]],
    mode: str = "jump",
    handling: Any = "preserve",
    pool: int = 20,
    host: float = 100.0,
    engine: dict[str, Any] | None = None,
    **settings: Any,
) -> Outcome:
    """Run requests of (arrival, prompt, output, calls), in steps of a second and blocks of a
    token, two of which go to the host in a second."""
    demands = [
        Demand(prompt, output, at, calls=tuple(Call(*call) for call in calls))
        for at, prompt, output, calls in asked
    ]
    limits = {"block_tokens": 1, "kv_blocks": pool, "host_swap_bytes": host}
    done = simulate(
        client=OpenLoop(Listed(demands), TraceTimes()),
        tools=partial(Always, handling),
        mode=mode,
        engine=limits | (engine or {}),
        link_bytes_per_s=2.0,
        series_interval_s=0.25,
        observers=[LawCheck()],
        **settings,
    )
    for replica in done.serving.replicas:
        assert replica.pool.used == 0
        assert replica.swap.pool.used == 0
        assert not replica.calls.requests()
        assert replica.calls.swapping_tokens == 0
        assert replica.calls.held.value == replica.held.value == 0
        assert not any(done.serving.gateway.outstanding_requests)
    return done


def blocks(run: Outcome, *times: float, replica: int = 0) -> list[int]:
    """KV blocks in use at these times."""
    samples = {
        row["time_s"]: row["kv_blocks"] for row in run.table("series") if row["replica"] == replica
    }
    return [samples[time_s] for time_s in times]


def facts(run: Outcome, kind: type) -> list[Any]:
    """Facts of a kind, without the request."""
    assert run.log is not None
    return [
        tuple(value for key, value in fact._asdict().items() if key != "request")
        for fact in run.log.of(kind)
    ]


def prefills(run: Outcome) -> list[tuple[float, int]]:
    """Iterations with prefills: start and tokens."""
    assert run.log is not None
    return [(f.start_s, f.prefill_tokens) for f in run.log.of(Iterations) if f.prefill_tokens]


#: 3 + 5 tokens with a call from 2 to 6 s that returns 2.
ONE = (0.0, 3, 5, [(2, 4.0, 2)])


@MODES
def test_preserved_kv_waits_on_the_gpu(mode: str) -> None:
    """The prompt and the first token's KV, 4 tokens, stay; at 6 s the second token and the 2
    returned ones are prefilled, which yields the third token."""
    run = serve(ONE, mode=mode)
    assert run.column("finish_s") == [9.0]
    assert prefills(run) == [(0.0, 3), (6.0, 3)]
    assert blocks(run, 1.5, 2.5, 5.75, 6.5, 7.5, 8.5) == [4, 4, 4, 7, 8, 9]
    assert run["kv_occupancy.mean"] == pytest.approx((0 + 3 + 4 * 4 + 4 + 7 + 8) / (20 * 9))
    assert run["kv_tokens_in_calls.mean"] == pytest.approx(4 * 4 / 9)
    assert run["kv_tokens_in_calls.peak"] == 4
    assert facts(run, CallBegan) == [(2.0, "preserve")]
    assert facts(run, CallEnded) == [(2.0, 6.0)]
    assert run.column("recomputed_tokens") == [0]
    assert run["calls.preserve"] == 1


@MODES
def test_discarded_kv_is_computed_again(mode: str) -> None:
    """At 6 s all is prefilled: 3 of the prompt, 2 made, 2 returned. 4 of them had KV before."""
    run = serve(ONE, mode=mode, handling="discard")
    assert run.column("finish_s") == [9.0]
    assert prefills(run) == [(0.0, 3), (6.0, 7)]
    assert blocks(run, 1.5, 2.25, 5.75, 6.5, 7.5, 8.5) == [4, 0, 0, 7, 8, 9]
    assert run["kv_occupancy.mean"] == pytest.approx((0 + 3 + 0 + 0 + 7 + 8) / (20 * 9))
    assert run["kv_tokens_in_calls.mean"] == 0.0
    assert run.column("recomputed_tokens") == [4]
    assert run["calls.discard"] == 1


@MODES
def test_swapped_kv_leaves_and_comes_back(mode: str) -> None:
    """4 tokens need 2 s each way: out from 2 to 4 s, back from 6 to 8 s."""
    run = serve(ONE, mode=mode, handling="swap")
    assert run.column("finish_s") == [11.0]
    assert prefills(run) == [(0.0, 3), (8.0, 3)]
    assert blocks(run, 1.5, 2.5, 3.75, 4.25, 5.75, 6.25, 7.75, 8.5) == [4, 4, 4, 0, 0, 4, 4, 7]
    assert facts(run, CallSwapped) == [(2.0, 0, 4.0, 0.0), (6.0, 0, 0.0, 4.0)]
    assert facts(run, Swapped) == []
    in_calls = [row["in_calls"] for row in run.table("series")]
    assert in_calls == [0] * 8 + [1] * 24 + [0] * 13
    assert run["kv_tokens_in_calls.mean"] == pytest.approx((4 * 2 + 4 * 2) / 11)
    assert run.column("recomputed_tokens") == [0]
    assert run["calls.swap"] == 1


@MODES
def test_a_swap_without_room_in_the_host_discards(mode: str) -> None:
    run = serve(ONE, mode=mode, handling="swap", host=3.0)
    assert run.column("finish_s") == [9.0]
    assert facts(run, CallBegan) == [(2.0, "discard")]
    assert run.column("recomputed_tokens") == [4]


@MODES
@HANDLINGS
def test_a_call_of_no_time_costs_what_the_handling_costs(handling: str, mode: str) -> None:
    """The iteration that would have made the third token makes it, from one token or from five. A
    swap has not left when the call returns, so the KV stays."""
    run = serve((0.0, 3, 5, [(2, 0.0, 0)]), mode=mode, handling=handling)
    assert run.column("finish_s") == [5.0]
    again = 5 if handling == "discard" else 1
    assert prefills(run) == [(0.0, 3), (2.0, again)]
    assert run.column("recomputed_tokens") == [again - 1]
    assert run.column("call_s") == [0.0]
    assert facts(run, CallEnded) == [(2.0, 2.0)]


@MODES
@HANDLINGS
def test_after_its_last_token_a_request_holds_nothing(handling: str, mode: str) -> None:
    """A ends at the return of its call, at 6 s, but gives up its 4 tokens at 2 s: B, which needs
    5 of 5, enters then."""
    run = serve((0.0, 3, 2, [(2, 4.0, 0)]), (0.5, 5, 1, []), mode=mode, handling=handling, pool=5)
    assert run.column("scheduled_s") == [0.0, 2.0]
    assert run.column("finish_s") == [6.0, 3.0]
    assert run.column("recomputed_tokens") == [0, 0]
    assert run.column("call_s") == [4.0, 0.0]
    assert run.column("tpot_s") == [1.0, None]
    assert blocks(run, 1.75, 2.5, 3.5) == [4, 5, 0]


@MODES
def test_several_calls_add_up(mode: str) -> None:
    """Token 1 at 1 s, a call to 3 s, tokens 2 and 3 at 4 and 5 s, a call to 5.5 s, tokens 4 to 6
    until 8.5 s, a last call to 9.5 s."""
    asked = (0.0, 2, 6, [(1, 2.0, 1), (3, 0.5, 0), (6, 1.0, 0)])
    kept = serve(asked, mode=mode)
    assert kept.column("finish_s") == [9.5]
    assert prefills(kept) == [(0.0, 2), (3.0, 2), (5.5, 1)]
    assert kept.column("call_s") == [3.5]
    assert kept.column("tpot_s") == [1.0]
    assert kept.column("ttft_s") == [1.0]
    assert kept["normalised_latency_s.mean"] == pytest.approx(6.0 / 6)
    lost = serve(asked, mode=mode, handling="discard")
    assert lost.column("finish_s") == [9.5]
    assert prefills(lost) == [(0.0, 2), (3.0, 4), (5.5, 6)]
    assert lost.column("recomputed_tokens") == [2 + 5]


@MODES
@pytest.mark.parametrize(
    ("handling", "scheduled", "ends"),
    [("preserve", 8.0, [8, 7, 9]), ("discard", 1.0, [8, 7, 2]), ("swap", 3.0, [8, 9, 4])],
)
def test_a_pause_lets_another_in(
    handling: str, scheduled: float, ends: list[float], mode: str
) -> None:
    """C decodes 8 tokens, A calls from 1 to 5 s with 3 of 12 tokens, and B needs 8.

    Preserved, A keeps B out until C ends at 8 s. Discarded, B enters at 1 s. Swapped, the 3 tokens
    are gone at 2.5 s, free at the boundary at 3 s, and on their way back from 5 to 6.5 s, so that A
    goes on at 7 s."""
    run = serve(
        (0.0, 1, 8, []),
        (0.0, 3, 3, [(1, 4.0, 0)]),
        (0.5, 8, 1, []),
        mode=mode,
        handling=handling,
        pool=12,
    )
    assert run.column("scheduled_s") == [0.0, 0.0, scheduled]
    assert run.column("finish_s") == ends


@MODES
def test_kv_comes_back_behind_the_iterations_of_others(mode: str) -> None:
    """B, from 3 s on, has a token every second; A's 3 tokens come back from 5 to 6.5 s."""
    run = serve((0.0, 3, 3, [(1, 4.0, 0)]), (3.0, 8, 10, []), mode=mode, handling="swap", pool=40)
    assert run.column("finish_s") == [9.0, 13.0]
    assert facts(run, Swapped) == []
    assert blocks(run, 4.75, 5.25, 6.75) == [9, 10 + 3, 11 + 3]


@MODES
def test_kv_for_which_there_is_no_room_comes_back_when_it_is_admitted(mode: str) -> None:
    """B holds 9 of 10 tokens, and wants the tenth, when A's call returns at 5 s. It ends at 6 s,
    and A's iteration waits for its KV until 7.5 s."""
    run = serve((0.0, 3, 3, [(1, 4.0, 0)]), (3.0, 8, 3, []), mode=mode, handling="swap", pool=10)
    assert run.column("finish_s") == [9.5, 6.0]
    assert facts(run, CallSwapped) == [(1.0, 0, 3.0, 0.0)]
    assert facts(run, Swapped) == [(6.0, 7.5, 0, 0.0, 3.0)]
    assert run.column("recomputed_tokens") == [0, 0]


@MODES
def test_kv_that_has_not_left_at_the_return_stays(mode: str) -> None:
    """5 tokens would be gone at 4.5 s; the call is over at 3 s, and tokens 3 and 4 come at once."""
    run = serve((0.0, 4, 4, [(2, 1.0, 0)]), mode=mode, handling="swap")
    assert run.column("finish_s") == [5.0]
    assert facts(run, CallSwapped) == [(2.0, 0, 5.0, 0.0)]
    assert run.column("recomputed_tokens") == [0]


@MODES
def test_the_transfer_of_an_earlier_call_is_not_taken_for_a_later_one(mode: str) -> None:
    """The first transfer, of 5 tokens, still has one to go when the second, of 6, begins at 4 s;
    they share the link until 5 s. The last 5 of the second are gone at 7.5 s, and it comes back
    from 8 to 11 s."""
    run = serve((0.0, 4, 4, [(2, 1.0, 0), (3, 4.0, 0)]), mode=mode, handling="swap")
    assert blocks(run, 4.75, 5.25, 7.25, 7.75, 8.25) == [6, 6, 6, 0, 6]
    assert run.column("finish_s") == [12.0]


@MODES
def test_blocks_that_run_out_are_taken_from_a_caller(mode: str) -> None:
    """C's KV and A's 3 tokens fill the pool at 7 s, and A's go. At 21 s its call returns, and all
    4 tokens are computed again."""
    run = serve((0.0, 1, 10, []), (0.0, 3, 3, [(1, 20.0, 0)]), mode=mode, pool=10)
    assert blocks(run, 6.5, 7.5) == [10, 8]
    assert run.column("finish_s") == [10.0, 23.0]
    assert run.column("recomputed_tokens") == [0, 3]
    assert facts(run, CallBegan) == [(1.0, "preserve")]
    assert (run["calls.preserve"], run["calls.discard"]) == (0, 1)
    assert run["preemptions"] == 0


@MODES
def test_where_nothing_runs_a_caller_makes_way(mode: str) -> None:
    """B needs 5 of 8 tokens; A holds 5 in its call, and nothing else would ever free them."""
    run = serve((0.0, 4, 4, [(2, 10.0, 0)]), (0.5, 5, 2, []), mode=mode, pool=8)
    assert run.column("finish_s") == [14.0, 4.0]
    assert run.column("recomputed_tokens") == [5, 0]


@MODES
def test_kv_on_its_way_to_the_host_makes_way_too(mode: str) -> None:
    """A's 6 tokens would be gone at 4 s. B, at 1 s alone, needs 4 of 8 at once."""
    run = serve((0.0, 6, 3, [(1, 10.0, 0)]), (0.5, 4, 2, []), mode=mode, handling="swap", pool=8)
    assert run.column("finish_s") == [13.0, 3.0]
    assert run.column("recomputed_tokens") == [6, 0]
    assert facts(run, CallBegan) == [(1.0, "swap")]
    assert (run["calls.swap"], run["calls.discard"]) == (0, 1)


@MODES
def test_kv_on_its_way_back_makes_way_and_stays_in_the_host(mode: str) -> None:
    """A's 6 tokens come back from 5 s on, while B has 4 of 12, and one more each second. At 7 s B
    needs one of A's. When B ends, at 12 s, A's come again, for 3 s, before its next token."""
    run = serve((0.0, 6, 3, [(1, 4.0, 0)]), (4.0, 4, 8, []), mode=mode, handling="swap", pool=12)
    assert blocks(run, 4.5, 5.5, 6.5, 7.5) == [4, 11, 12, 7]
    assert facts(run, CallSwapped) == [(1.0, 0, 6.0, 0.0), (5.0, 0, 0.0, 6.0)]
    assert facts(run, Swapped) == [(12.0, 15.0, 0, 0.0, 6.0)]
    assert run.column("finish_s") == [17.0, 12.0]
    assert run.column("recomputed_tokens") == [0, 0]


@MODES
@pytest.mark.parametrize("back_s", [2.0, 20.0])
@HANDLINGS
def test_a_call_outlives_its_device(handling: str, back_s: float, mode: str) -> None:
    """Node 0 fails at 4 s, in a call from 2 to 8 s. The KV is lost, and all 6 tokens are computed
    at the return, on the node whose turn it is, whether or not the first is back by then."""
    run = serve(
        (0.0, 3, 4, [(2, 6.0, 1)]),
        mode=mode,
        handling=handling,
        replicas=2,
        faults=[Fault(time_s=4.0, target="node0/gpu0", kind="fail", duration_s=back_s)],
    )
    assert run.column("finish_s") == [10.0]
    assert run.column("replica") == [1]
    assert prefills(run) == [(0.0, 3), (8.0, 6)]
    assert run.column("recomputed_tokens") == [4]
    assert blocks(run, 4.25, 7.75) == [0, 0]


@MODES
def test_a_call_that_returns_while_nothing_is_up_waits_for_a_device(mode: str) -> None:
    run = serve(
        ONE,
        mode=mode,
        faults=[Fault(time_s=3.0, target="node0/gpu0", kind="fail", duration_s=10.0)],
    )
    assert prefills(run) == [(0.0, 3), (13.0, 7)]
    assert run.column("finish_s") == [16.0]


@MODES
def test_kv_on_its_way_back_is_lost_with_its_device(mode: str) -> None:
    """At 7 s, halfway back from the host; the second node computes all 7 tokens from then on."""
    run = serve(
        ONE,
        mode=mode,
        handling="swap",
        replicas=2,
        faults=[Fault(time_s=7.0, target="node0/gpu0", kind="fail", duration_s=50.0)],
    )
    assert prefills(run) == [(0.0, 3), (7.0, 7)]
    assert run.column("finish_s") == [10.0]
    assert run["requests_rerouted"] == 1


@MODES
def test_a_device_that_fails_in_a_last_call_leaves_accounts_in_order(mode: str) -> None:
    """The answer needs no device: A ends at 6 s, and no replica's account goes below zero."""
    run = serve(
        (0.0, 3, 2, [(2, 4.0, 0)]),
        mode=mode,
        replicas=2,
        faults=[Fault(time_s=4.0, target="node0/gpu0", kind="fail", duration_s=50.0)],
    )
    assert run.column("finish_s") == [6.0]
    assert run.serving.gateway.outstanding_requests == [0, 0]
    assert run.serving.gateway.outstanding_tokens == [0, 0]


def test_without_a_policy_a_call_is_an_error() -> None:
    """The kit fills in a policy where none is given."""
    demands = [Demand(3, 5, 0.0, calls=(Call(2, 4.0, 2),))]
    simulation, serving, _ = build(client=OpenLoop(Listed(demands), TraceTimes()))
    serving._tools = None
    with pytest.raises(ConfigError, match="tools: none"):
        simulation.run()


@pytest.mark.parametrize(
    "calls",
    [
        [(3, 1.0, 0), (2, 1.0, 0)],
        [(2, 1.0, 0), (2, 1.0, 0)],
        [(0, 1.0, 0)],
        [(6, 1.0, 0)],
        [(2, -1.0, 0)],
        [(2, float("nan"), 0)],
        [(2, float("inf"), 0)],
        [(2, 1.0, -1)],
    ],
)
def test_impossible_calls_name_the_request(calls: list[tuple[int, float, int]]) -> None:
    with pytest.raises(ConfigError, match="request 1: "):
        serve((0.0, 3, 5, []), (0.5, 3, 5, calls))
