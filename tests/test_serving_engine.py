"""The serving engine by hand: exact times, rules for what does not fit, routing, faults."""

import pytest
from scipy import stats
from serving_kit import build, simulate

from models.constant_cost import ConstantCost, LinearCost
from policies.batching.chunked_prefill import ChunkedPrefill
from policies.batching.contract import Plan
from policies.batching.prefill_first import PrefillFirst
from policies.ordering.shortest_job_first import ShortestJobFirst
from policies.routing.least_outstanding import LeastOutstanding
from policies.routing.power_of_two import PowerOfTwo
from policies.routing.round_robin import RoundRobin
from sim.core.errors import CapacityError, ConfigError, LawBroken, Stalled
from sim.hardware.faults import Fault
from sim.serving.clients import ClosedLoop, OpenLoop
from sim.serving.facts import Iterations, RequestArrived, RequestFinished, Swapped
from workloads.arrivals import Poisson
from workloads.lengths import Fixed
from workloads.synthetic import Synthetic


def batches(outcome):
    """(decodes, prefill tokens) of every iteration in order."""
    facts = outcome.log.of(Iterations)
    return [
        (f.decodes, f.last_prefill_tokens if step == f.steps - 1 else f.prefill_tokens)
        for f in facts
        for step in range(f.steps)
    ]


# Times of iterations


def test_chunked_prefill_shares_the_budget():
    """Budget 8: A's prompt of 12 takes 8 and 4, B's of 6 the 4 that A leaves and, with A
    decoding, 2 more."""
    requests = [(0.0, 12, 3), (0.5, 6, 2)]
    outcome = simulate(requests, engine={"max_batch_tokens": 8}, mode="step")
    assert batches(outcome) == [(0, 8), (0, 8), (1, 2), (2, 0)]
    assert outcome.column("first_token_s") == [2.0, 3.0]
    assert outcome.column("finish_s") == [4.0, 4.0]
    assert outcome.column("scheduled_s") == [0.0, 1.0]


def test_the_pieces_of_a_lone_prompt_are_one_event():
    """18 tokens in pieces of 8, 8 and 2, at 1 s and 0.1 s a token; 0.2 s for each token cached."""
    cost = LinearCost(1.0, 0.1, 0.2)
    outcome = simulate([(0.0, 18, 3)], engine={"max_batch_tokens": 8}, cost=cost)
    assert [(f.steps, f.prefilled) for f in outcome.log.of(Iterations)] == [(3, 18), (2, 0)]
    (first_s,) = outcome.column("first_token_s")
    assert first_s == pytest.approx(1.8 + (1.8 + 0.2 * 8) + (1.2 + 0.2 * 16))


def test_prefill_first_stalls_decodes():
    requests = [(0.0, 4, 5), (1.5, 9, 2)]
    outcome = simulate(requests, batching=PrefillFirst, mode="step")
    assert batches(outcome) == [(0, 4), (1, 0), (0, 9), (2, 0), (1, 0), (1, 0)]
    assert outcome.column("first_token_s") == [1.0, 3.0]
    assert outcome.column("finish_s") == [6.0, 4.0]


def test_a_step_costs_what_it_reads():
    """Two requests decode together: contexts 5 and 3, then 6 and 4."""
    cost = LinearCost(1.0, 0.0, 0.5)
    outcome = simulate([(0.0, 4, 3), (0.0, 2, 3)], cost=cost)
    assert outcome.column("finish_s") == [1.0 + (1 + 0.5 * 8) + (1 + 0.5 * 10)] * 2


def test_shortest_job_first_orders_those_that_wait():
    requests = [(0.0, 1, 5), (1.0, 1, 9), (2.0, 1, 2), (3.0, 1, 4)]
    outcome = simulate(requests, ordering=ShortestJobFirst, engine={"max_sequences": 1})
    assert outcome.column("finish_s") == [5.0, 20.0, 7.0, 11.0]


def test_asynchronous_scheduling_joins_one_iteration_later():
    requests = [(0.0, 1, 6), (1.5, 1, 1)]
    for asynchronous, at in ((False, 2.0), (True, 3.0)):
        engine = {"async_scheduling": asynchronous}
        assert simulate(requests, engine=engine).column("scheduled_s")[1] == at


def test_an_idle_replica_starts_at_once():
    outcome = simulate([(3.25, 1, 1), (7.5, 1, 1)], engine={"async_scheduling": True})
    assert outcome.column("scheduled_s") == [3.25, 7.5]


def test_frontend_time_stands_before_the_queue():
    outcome = simulate([(0.0, 10, 1)], frontend=(0.5, 0.25))
    assert outcome.column("scheduled_s") == [3.0]
    assert outcome["ttft_s.mean"] == 4.0


# Memory


def test_exhausted_blocks_preempt_the_latest_which_computes_again():
    """Blocks of 1 token, 8 of them: A (prompt 3) and B (prompt 3) hold 6, both need one each
    iteration; when none is left B leaves, and comes back with 3 + 2 tokens to prefill."""
    engine = {"block_tokens": 1, "kv_blocks": 8}
    outcome = simulate([(0.0, 3, 5), (0.0, 3, 5)], engine=engine, mode="step")
    assert batches(outcome)[:3] == [(0, 6), (2, 0), (1, 0)]
    assert outcome.column("preemptions") == [0, 1]
    assert outcome.column("recomputed_tokens") == [0, 4]
    # A decodes at 2..5 and ends at 5; B prefills 5 tokens at 5..6 and ends two tokens later.
    assert outcome.column("finish_s") == [5.0, 8.0]


def test_swapped_blocks_take_the_bytes_over_the_link():
    """4 blocks of 1 token and 1 byte leave at 2 bytes a second and come back as slowly."""
    outcome = simulate(
        [(0.0, 3, 5), (0.0, 3, 5)],
        engine={"block_tokens": 1, "kv_blocks": 8, "host_swap_bytes": 100.0},
        batching=lambda: ChunkedPrefill(preemption="swap"),
        link_bytes_per_s=2.0,
    )
    swaps = [(f.start_s, f.end_s, f.out_bytes, f.in_bytes) for f in outcome.log.of(Swapped)]
    assert swaps == [(2.0, 4.0, 4.0, 0.0), (7.0, 9.0, 0.0, 4.0)]
    assert outcome.column("recomputed_tokens") == [0, 0]
    assert outcome.column("finish_s") == [7.0, 12.0]


def test_the_largest_request_fills_the_pool_to_the_last_block():
    """Its last token's KV is never written, so prompt + output = pool + 1 fits."""
    engine = {"block_tokens": 4, "kv_blocks": 3}
    fits = simulate([(0.0, 6, 7)], engine=engine)
    assert fits["requests_finished"] == 1
    assert fits["kv_occupancy.peak"] == 1.0
    over = simulate([(0.0, 6, 8)], engine=engine)
    assert over["requests_rejected"] == 1


def test_rules_for_requests_over_the_context():
    requests = [(0.0, 30, 10), (0.0, 5, 5)]
    rejected = simulate(requests, context_tokens=32)
    assert rejected.column("status") == ["rejected", "finished"]
    cut = simulate(requests, context_tokens=32, engine={"over_context": "truncate"})
    assert cut.column("prompt_tokens") == [22, 5]
    assert cut["requests_truncated"] == 1
    with pytest.raises(CapacityError, match="30 prompt \\+ 10 output tokens exceed the model's"):
        simulate(requests, context_tokens=32, engine={"over_context": "error"})


# Plans that cannot be


class Planned:
    """A batching policy that makes one plan by a function of the view, and none else."""

    def __init__(self, make):
        self.make = make

    def plan(self, view, now_s):
        plan = Plan()
        self.make(view, plan)
        return plan


def _twice(view, plan):
    waiting = list(view.waiting)
    plan.chunks = [(r, r.prefill_tokens) for r in waiting + waiting]
    plan.steps = 1


def _too_much(view, plan):
    plan.chunks = [(r, r.prefill_tokens + 1) for r in view.waiting]
    plan.steps = 1


def _too_many(view, plan):
    plan.chunks = [(r, r.prefill_tokens) for r in view.waiting]
    plan.steps = 1


def _for_ever(view, plan):
    plan.chunks = [(r, r.prefill_tokens) for r in view.waiting]


def _not_running(view, plan):
    plan.preempt = [(r, "keep") for r in view.waiting]


@pytest.mark.parametrize(
    ("make", "engine", "error", "said"),
    [
        (_too_much, {}, LawBroken, "a piece of 5 tokens"),
        (_too_many, {"max_sequences": 1}, LawBroken, "max_sequences is 1"),
        (_too_many, {"block_tokens": 1, "kv_blocks": 5}, CapacityError, "blocks asked"),
        (_for_ever, {}, LawBroken, "2 pieces holds for"),
        (_not_running, {}, LawBroken, "not running"),
    ],
)
def test_plans_are_checked(make, engine, error, said):
    requests = [(0.0, 4, 1), (0.0, 4, 1)]
    with pytest.raises(error, match=said):
        simulate(requests, batching=lambda: Planned(make), engine=engine)


def test_a_request_named_twice_is_found():
    with pytest.raises(LawBroken, match="names 2 requests, 1 different"):
        simulate([(0.0, 4, 2)], batching=lambda: Planned(_twice), engine={"max_sequences": 9})


def test_a_policy_that_does_nothing_stalls_with_a_snapshot():
    with pytest.raises(Stalled, match="work unfinished in: serving") as caught:
        simulate([(0.0, 4, 1)], batching=lambda: Planned(lambda view, plan: None))
    (replica,) = caught.value.snapshot["serving"]["replicas"]
    assert replica["waiting"] == 1


def test_a_policy_that_asks_for_predictions_needs_a_predictor():
    class Nobody:
        def predict(self, prompt, output, rng):
            return None

    with pytest.raises(ConfigError, match="predictor"):
        simulate([(0.0, 1, 1)], ordering=ShortestJobFirst, predictor=Nobody())


# Clients


def test_closed_loop_keeps_its_number_in_flight_and_thinks():
    client = ClosedLoop(Synthetic(Fixed(3), Fixed(4), count=20), concurrency=3, think_s=0.5)
    outcome = simulate(client=client)
    number = most = 0
    events = [(f.time_s, 1) for f in outcome.log.of(RequestArrived)]
    events += [(f.time_s, -1) for f in outcome.log.of(RequestFinished)]
    for _, change in sorted(events):
        number += change
        most = max(most, number)
    assert most == 3
    assert outcome["requests_finished"] == 20
    ends = {f.time_s for f in outcome.log.of(RequestFinished)}
    later = [f.time_s for f in outcome.log.of(RequestArrived) if f.time_s > 0.0]
    assert all(time_s - 0.5 in ends for time_s in later)


def test_an_endless_workload_needs_an_end():
    endless = OpenLoop(Synthetic(Fixed(3), Fixed(4)), Poisson(1.0))
    with pytest.raises(ConfigError, match="never ends"):
        simulate(client=endless)
    cut = simulate(client=OpenLoop(Synthetic(Fixed(3), Fixed(4)), Poisson(1.0)), until_s=50.0)
    assert cut.result["simulated_s"] == 50.0
    assert cut["requests_arrived"] == cut["requests_finished"] + cut["requests_unfinished"]


# Routing


def test_round_robin_takes_turns():
    outcome = simulate([(0.1 * i, 1, 2) for i in range(9)], replicas=3)
    assert outcome.column("replica") == [0, 1, 2] * 3


def test_least_outstanding_counts_prompt_and_predicted_output_until_the_end():
    """A (10 + 4) goes anywhere, B to the other, C to B's (12 < 14), D to A's after A ended."""
    requests = [(0.0, 10, 4), (0.1, 8, 4), (0.2, 1, 30), (20.0, 1, 1)]
    outcome = simulate(requests, replicas=2, routing=LeastOutstanding)
    first, second, third, fourth = outcome.column("replica")
    assert second == 1 - first
    assert third == second
    assert fourth == first


@pytest.mark.parametrize("routing", [RoundRobin, LeastOutstanding, PowerOfTwo])
@pytest.mark.parametrize("load", ["light", "heavy"])
def test_a_symmetric_load_gives_a_symmetric_split(routing, load):
    """Chi-square over 16 replicas: no replica is preferred, ties are broken evenly."""
    rate = 0.5 if load == "light" else 24.0
    client = OpenLoop(Synthetic(Fixed(1), Fixed(6), count=3200), Poisson(rate))
    cost = ConstantCost(0.1)
    outcome = simulate(client=client, routing=routing, replicas=16, cost=cost, seed=3, log=False)
    counts = [outcome.column("replica").count(i) for i in range(16)]
    assert stats.chisquare(counts).pvalue > 0.001, counts


# Faults


def test_requests_of_a_failed_replica_go_elsewhere_and_finish():
    faults = [Fault(time_s=2.5, target="node0/gpu0", kind="fail", duration_s=10.0)]
    requests = [(0.0, 4, 6), (0.0, 4, 6)]
    outcome = simulate(requests, replicas=2, faults=faults)
    assert outcome["requests_rerouted"] == 1
    assert outcome.column("replica") == [1, 1]
    # Two tokens were made; the other replica prefills 4 + 2 after its step that ends at 3.
    assert outcome.column("finish_s") == [7.0, 6.0]
    assert outcome["output_tokens"] == 12


def test_with_all_replicas_down_requests_wait_for_repair():
    faults = [Fault(time_s=1.5, target="node0/gpu0", kind="fail", duration_s=8.5)]
    outcome = simulate([(0.0, 4, 3), (5.0, 4, 1)], faults=faults)
    assert outcome.column("finish_s") == [12.0, 11.0]
    assert outcome.column("status") == ["finished", "finished"]


def test_a_slow_gpu_slows_its_iterations_from_that_moment():
    """Half speed from 1.5 s on: the step under way has 0.5 s of work left, which takes 1 s."""
    faults = [Fault(time_s=1.5, target="node0/gpu0", kind="slow", speed=0.5, duration_s=None)]
    outcome = simulate([(0.0, 1, 4)], faults=faults)
    assert outcome.column("finish_s") == [2.5 + 2 * 2.0]


def test_the_slowest_gpu_of_a_group_sets_the_pace():
    faults = [Fault(time_s=0.0, target="node0/gpu1", kind="slow", speed=0.25, duration_s=None)]
    outcome = simulate([(0.5, 1, 2)], gpus=2, faults=faults)
    assert outcome.column("finish_s") == [8.5]


# Randomness


def test_streams_are_independent_by_name():
    simulations = [build(seed=5)[0] for _ in range(2)]
    simulations[1].stream("something else").random(1000)
    drawn = [s.stream("arrivals").random(5).tolist() for s in simulations]
    assert drawn[0] == drawn[1]
    other = build(seed=6)[0].stream("arrivals").random(5).tolist()
    assert other != drawn[0]


def test_policies_are_compared_on_the_same_requests():
    client = [OpenLoop(Synthetic(Fixed(3), Fixed(9), count=50), Poisson(1.0)) for _ in range(2)]
    one = simulate(client=client[0], routing=PowerOfTwo, replicas=4)
    other = simulate(client=client[1], batching=PrefillFirst)
    assert one.column("arrival_s") == other.column("arrival_s")
