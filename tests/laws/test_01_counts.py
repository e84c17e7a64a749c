"""Laws of what is counted: requests, tokens, KV blocks, bytes, time, work, waiting, preemptions.

The laws have numbers: 1 requests, 2 tokens, 3 blocks, 4 bytes, 5 time, 6 energy, 8 work, 9 Little,
10 queueing theory, 11 preemptions, 12 jump and step, 13 observers, 14 lazy workloads, 15 scale,
16 one request by hand, 17 equal arrivals, 18 determinism, 19 streams. (7 is kept for carbon.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scenarios import TIGHT, Scenario, offloading_policies, policies, scenarios
from serving_kit import Outcome

from sim.core.simulation import Simulation
from sim.hardware.facts import TransferEnded
from sim.serving.facts import CallSwapped, Iterations, RequestFinished, RequestRejected, Swapped
from sim.serving.serving import Serving

MODES = st.sampled_from(["jump", "step"])


@given(scenarios(), MODES)
def test_law_01_requests_are_neither_lost_nor_doubled(scenario: Scenario, mode: str) -> None:
    """Requests in = done + queued + running + rejected, at any time and at the end."""

    def check(simulation: Simulation, serving: Serving) -> None:
        if not simulation.env.quiet():
            return  # what a failed replica gave up is on its way to another at this very moment
        gateway = serving.gateway
        here = Counter(request.id for request in gateway.in_flight())
        assert len(here) == gateway.unfinished()
        assert not here or max(here.values()) == 1

    run = scenario.run(mode, after_event=check)
    assert run.column("id") == list(range(run.serving.gateway.arrived))
    ends = Counter(run.column("status"))
    assert ends["finished"] == run["requests_finished"]
    assert ends["rejected"] == run["requests_rejected"]
    assert ends["unfinished"] == run["requests_unfinished"]
    ended = [fact.request.id for fact in _facts(run, RequestFinished, RequestRejected)]
    assert len(ended) == len(set(ended)) == ends["finished"] + ends["rejected"]
    if scenario.until_s is None:
        assert len(run.rows) == len(scenario.requests)
        assert ends["unfinished"] == 0


@given(scenarios(), MODES)
def test_law_02_tokens_made_are_tokens_asked(scenario: Scenario, mode: str) -> None:
    run = scenario.run(mode)
    finished = sum(row["output_tokens"] for row in run.rows if row["status"] == "finished")
    left = run.serving.gateway.in_flight()
    assert run["output_tokens"] == finished + sum(request.generated_tokens for request in left)
    for request, row in zip(left, (run.rows[request.id] for request in left), strict=True):
        assert 0 <= request.generated_tokens <= row["output_tokens"]
        assert request.generated_tokens < row["output_tokens"] or request._calls
    if scenario.over_context == "reject":
        asked = [request[1:] for request in scenario.requests[: len(run.rows)]]
        assert [(row["prompt_tokens"], row["output_tokens"]) for row in run.rows] == asked


@given(scenarios(), MODES)
def test_law_03_kv_blocks_are_free_or_held(scenario: Scenario, mode: str) -> None:
    """Free + used = total after every event, on the GPUs and in host memory, and what requests
    hold is what is used."""

    def check(_: Simulation, serving: Serving) -> None:
        for replica in serving.replicas:
            pool, host = replica.pool, replica.swap.pool
            pool.check()
            host.check()
            requests = replica.requests()
            held = sum(replica.view.blocks_held(request) for request in requests)
            assert pool.used == held
            block = replica.batch.block_tokens
            assert host.used == sum(r.host_blocks_held(block) for r in requests)

    run = scenario.run(mode, after_event=check)
    if scenario.until_s is None:
        assert all(r.pool.used == r.swap.pool.used == 0 for r in run.serving.replicas)
        # The mean is a sum of areas, to rounding.
        assert 0.0 <= run["kv_occupancy.mean"] <= run["kv_occupancy.peak"] + 1e-12
        assert run["kv_occupancy.peak"] <= 1.0


@given(scenarios(faults=False, until=False), MODES)
def test_law_04_bytes_sent_are_bytes_asked(scenario: Scenario, mode: str) -> None:
    _check_bytes(scenario.but(batching="chunked_prefill-swap").run(mode))


@pytest.mark.parametrize("mode", ["jump", "step"])
def test_law_04_holds_where_much_is_swapped(mode: str) -> None:
    run = TIGHT.but(batching="chunked_prefill-swap").run(mode)
    assert _check_bytes(run) >= 8


def _check_bytes(run: Outcome) -> int:
    """Transfers carry what was swapped, links carry the transfers. Returns how many there were."""
    assert run.log is not None
    cluster = run.simulation.cluster
    assert cluster is not None
    swaps = [*run.log.of(Swapped), *run.log.of(CallSwapped)]
    # The last request may end while KV of a call before is on its way.
    left = cluster.network.under_way()
    transfers = run.log.of(TransferEnded)
    for tag, asked in (
        ("swap out", sum(fact.out_bytes for fact in swaps)),
        ("swap in", sum(fact.in_bytes for fact in swaps)),
    ):
        assert sum(each.size_bytes for each in (*transfers, *left) if each.tag == tag) == asked
    assert all(fact.moved_bytes == fact.size_bytes for fact in transfers)
    for link in cluster.network.links.values():
        over = [
            each.moved_bytes
            for each in (*transfers, *left)
            if link in cluster.network.route(each.source, each.target).links
        ]
        assert link.bytes_sent == pytest.approx(sum(over), rel=1e-12)
    return len(transfers)


@given(scenarios(), MODES)
def test_law_05_time_never_goes_back(scenario: Scenario, mode: str) -> None:
    def check(simulation: Simulation, _: Serving, next_s: float) -> None:
        assert next_s >= simulation.now

    run = scenario.run(mode, before_event=check)
    assert run.log is not None
    # Iterations of a jump that is cut short are told when that happens, not at their end.
    told = [
        fact.end_s if isinstance(fact, (Swapped, TransferEnded)) else fact.time_s
        for fact in run.log.facts
        if not isinstance(fact, Iterations)
    ]
    assert told == sorted(told)
    for replica in range(scenario.replicas):
        spans = [(f.start_s, f.end_s) for f in _facts(run, Iterations) if f.replica == replica]
        assert all(start < end for start, end in spans)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
    for row in run.rows:
        times = [row[key] for key in ("arrival_s", "scheduled_s", "first_token_s", "finish_s")]
        known = [time for time in times if time is not None]
        assert known == sorted(known)
        assert known[-1] <= run.simulation.now


@given(scenarios(regions=False, faults=False, until=False), MODES)
def test_law_08_no_replica_idles_while_it_has_work(scenario: Scenario, mode: str) -> None:
    """From a request's coming to its replica until its end, iterations and swaps follow one
    another without a gap: every policy of the repo may start the first in its queue when it has
    the whole replica to itself."""
    scenario = scenario.but(calls=0)
    run = scenario.run(mode)
    base_s, per_token_s = scenario.frontend
    busy: dict[int, list[tuple[float, float]]] = {}
    for fact in _facts(run, Iterations, Swapped):
        spans = busy.setdefault(fact.replica, [])
        if spans and spans[-1][1] == fact.start_s:
            spans[-1] = (spans[-1][0], fact.end_s)
        else:
            spans.append((fact.start_s, fact.end_s))
    for row in run.rows:
        if row["status"] == "finished":
            here_s = row["arrival_s"] + (base_s + per_token_s * row["prompt_tokens"])
            assert any(a <= here_s and row["finish_s"] <= b for a, b in busy[row["replica"]])


@given(scenarios(regions=False, faults=False, until=False, closed=False), MODES)
def test_law_09_littles_law_in_the_system_and_in_the_queue(scenario: Scenario, mode: str) -> None:
    """The gauges, integrated over time, are the sums of what requests spent there. All times lie
    on a grid of eighths (of sixty-fourths, where KV moves), at which the series samples: so the
    integral is exact."""
    # Iterations in which the host has a part lie on no grid: see `test_host_side`.
    assume(scenario.batching not in offloading_policies())
    grid_s = 1 / 64
    run = scenario.but(
        requests=tuple((round(at * 8) / 8, p, o) for at, p, o in scenario.requests),
        cost="constant, dyadic",
        frontend=(0.0, 0.0),
        gpus=1,
        series_interval_s=grid_s,
    ).run(mode)
    end_s = run.simulation.now
    samples = [row for row in run.table("series") if row["time_s"] < end_s]
    here = sum(row["running"] + row["waiting"] + row["in_calls"] for row in samples)
    done = [row for row in run.rows if row["status"] == "finished"]
    assert here * grid_s == sum(row["e2e_latency_s"] for row in done)
    if run["preemptions"] == 0 and not scenario.async_scheduling and not scenario.calls:
        waiting = sum(row["waiting"] for row in samples)
        assert waiting * grid_s == sum(row["queue_s"] for row in done)


@given(scenarios(faults=False, until=False), MODES)
def test_law_11_preemptions_are_bounded(scenario: Scenario, mode: str) -> None:
    """No livelock: every iteration computes a token, and a request is preempted only where that
    lets another one make tokens."""
    _check_progress(scenario, scenario.run(mode))


@pytest.mark.parametrize("ordering", sorted(policies("ordering")))
@pytest.mark.parametrize("batching", sorted(policies("batching")))
@pytest.mark.parametrize("block_tokens", [1, 3])
def test_law_11_on_a_pool_for_hardly_more_than_one(
    ordering: str, batching: str, block_tokens: int
) -> None:
    blocks = 28 // block_tokens
    tight = TIGHT.but(
        ordering=ordering, batching=batching, block_tokens=block_tokens, kv_blocks=blocks
    )
    run = tight.run()
    assert run["preemptions"] + run.result.summary.get("serving.offload.iterations", 0) > 0
    _check_progress(tight, run)


def _check_progress(scenario: Scenario, run: Outcome) -> None:
    made = run["output_tokens"]
    assert run["iterations"] <= made + run["prefill_tokens"]
    assert run["preemptions"] <= made + len(run.rows)
    longest = max((row["prompt_tokens"] + row["output_tokens"] for row in run.rows), default=0)
    if not scenario.calls:
        # Eviction of KV that was kept comes on top of the preemption that kept it.
        assert run["recomputed_tokens"] <= run["preemptions"] * longest
    assert run["requests_unfinished"] == 0


def _facts(run: Outcome, *kinds: type) -> Iterator[Any]:
    assert run.log is not None
    return (fact for fact in run.log.facts if isinstance(fact, kinds))
