"""Laws of conservation, order and progress on random small systems."""

from math import fsum

import pytest
from hypothesis import given, settings
from scenarios import Scenario, scenarios
from serving_kit import IDLE_W, NODE_W, PEAK_W, simulate

from models.constant_cost import LinearCost
from policies.ordering.shortest_remaining import ShortestRemaining
from sim.core.errors import LawBroken
from sim.hardware.facts import TransferEnded
from sim.serving.facts import Iterations, RequestArrived, RequestFinished, Swapped
from sim.serving.law_check import LawCheck

FEW = settings(max_examples=60)


def settle(scenario, mode="jump"):
    """Run with every law checked at every boundary."""
    return scenario.run(mode, observers=[LawCheck()])


@FEW
@given(scenarios())
def test_requests_tokens_and_blocks_are_conserved(scenario):
    """Requests in = done + queued + running + rejected, tokens made = tokens asked, free + used =
    total blocks, blocks held = blocks used, KV written = kept + thrown away, time never back."""
    for mode in ("jump", "step"):
        outcome = settle(scenario, mode)
        assert outcome["requests_arrived"] == len(outcome.rows)
        if scenario.until_s is None:
            assert outcome["requests_unfinished"] == 0
            asked = sum(r["output_tokens"] for r in outcome.rows if r["status"] == "finished")
            assert outcome["output_tokens"] == asked
            for replica in outcome.serving.replicas:
                assert replica.pool.free == replica.pool.total_blocks
                assert replica.swap.pool.free == replica.swap.pool.total_blocks


@FEW
@given(scenarios(until=False, faults=False))
def test_bytes_sent_are_bytes_asked(scenario):
    outcome = settle(scenario)
    swapped = fsum(f.out_bytes + f.in_bytes for f in outcome.log.of(Swapped))
    sent = fsum(f.moved_bytes for f in outcome.log.of(TransferEnded))
    assert sent == pytest.approx(swapped, rel=1e-12)


@FEW
@given(scenarios(until=False))
def test_energy_is_the_integral_of_power(scenario):
    """Between two facts of the hardware the power of a device is that of its present step."""
    outcome = scenario.run()
    energy_j, last_s = 0.0, 0.0

    def integrate(simulation, serving, next_s):
        nonlocal energy_j, last_s
        now = min(next_s, simulation.now if next_s == float("inf") else next_s)
        devices = [d for r in serving.replicas for d in r.group.devices]
        middle = (last_s + now) / 2.0
        energy_j += fsum(d.meter.power_w(middle) for d in devices) * (now - last_s)
        last_s = now

    stepwise = scenario.run("step", before_event=integrate, series_interval_s=None)
    assert stepwise["energy_j"] == pytest.approx(energy_j, rel=1e-9)
    assert outcome["energy_j"] == stepwise["energy_j"]
    whole = outcome.result.number("energy_j")
    rest = NODE_W * outcome.result.number("simulated_s") * len(outcome.serving.replicas)
    assert whole >= outcome["energy_j"] + rest * (1 - 1e-12)


def test_energy_of_one_request_by_hand():
    """Ten steps of a second at full power, then none: 10 s at peak and 5 s idle."""
    outcome = simulate([(5.0, 1, 10)])
    assert outcome["energy_j"] == pytest.approx(10 * PEAK_W + 5 * IDLE_W, rel=1e-12)


@FEW
@given(scenarios(faults=False, until=False, frontend=False))
def test_no_replica_idles_while_it_may_start_something(scenario):
    """Whenever a replica computes nothing at the end of an instant, nothing waits for it."""
    idle_with_work = []

    def look(simulation, serving, next_s):
        if next_s > simulation.now:
            idle_with_work.extend(
                (simulation.now, replica.index)
                for replica in serving.replicas
                if replica.queued and not replica.run.live and not replica._moving
            )

    scenario.run(before_event=look)
    assert not idle_with_work


@FEW
@given(scenarios(faults=False, until=False))
def test_littles_law(scenario):
    """Mean number in the system = throughput x mean time in it, integrated from the facts."""
    outcome = scenario.run()
    changes = [(f.time_s, 1) for f in outcome.log.of(RequestArrived)]
    changes += [(f.time_s, -1) for f in outcome.log.of(RequestFinished)]
    changes += [(r["arrival_s"], -1) for r in outcome.rows if r["status"] == "rejected"]
    area, number, last_s = 0.0, 0, 0.0
    for time_s, change in sorted(changes, key=lambda c: (c[0], -c[1])):
        area += number * (time_s - last_s)
        number, last_s = number + change, time_s
    sojourns = fsum(r["e2e_latency_s"] for r in outcome.rows if r["status"] == "finished")
    assert number == 0
    assert area == pytest.approx(sojourns, rel=1e-9, abs=1e-9)


@FEW
@given(scenarios(faults=False, until=False))
def test_preemptions_are_bounded_by_progress(scenario):
    """No livelock: between two preemptions of one request some token is made."""
    outcome = scenario.run()
    made = outcome["output_tokens"] + outcome["prefill_tokens"]
    assert outcome["preemptions"] <= made


@FEW
@given(scenarios())
def test_observers_change_nothing(scenario):
    watched = settle(scenario)
    alone = scenario.run(log=False, series_interval_s=None)
    assert watched.rows == alone.rows
    for metric, value in alone.result.summary.items():
        assert watched.result.summary[metric] == value, metric


@FEW
@given(scenarios())
def test_lazy_is_eager(scenario):
    eager = scenario.run(client=scenario.client(eager=True))
    assert eager.rows == scenario.run().rows


@FEW
@given(scenarios(faults=False, until=False))
def test_halving_times_and_doubling_rates_changes_no_ratio(scenario):
    """Dyadic costs, so that halving is exact."""
    cost = LinearCost(1 / 64, 1 / 256, 1 / 2048)
    half = LinearCost(1 / 128, 1 / 512, 1 / 4096)
    requests = tuple((round(64 * at) / 64, p, o) for at, p, o in scenario.requests)
    slow = scenario.but(requests=requests, frontend=(0.0, 0.0), think_s=0.0, host_blocks=0)
    fast = slow.but(requests=tuple((at / 2, p, o) for at, p, o in requests))
    a, b = slow.run(cost=cost), fast.run(cost=half, series_interval_s=0.125)
    for key in ("ttft_s", "e2e_latency_s", "queue_s"):
        assert a.column(key) == [None if x is None else 2 * x for x in b.column(key)]
    for key in ("preemptions", "iterations", "gpu_busy_share", "kv_occupancy.mean"):
        assert a.result.summary[f"serving.{key}"] == b.result.summary[f"serving.{key}"]


def test_one_request_on_an_empty_system_is_the_cost_model_by_hand():
    """Prompt 10 in pieces of 4, 4 and 2, then two decodes that read 11 and 12 tokens."""
    cost = LinearCost(1.0, 0.1, 0.01)
    outcome = simulate([(0.0, 10, 3)], cost=cost, engine={"max_batch_tokens": 4})
    first = (1.4 + 0.01 * 0) + (1.4 + 0.01 * 4) + (1.2 + 0.01 * 8)
    assert outcome.column("first_token_s")[0] == pytest.approx(first, rel=1e-12)
    last = first + (1.1 + 0.01 * 11) + (1.1 + 0.01 * 12)
    assert outcome.column("finish_s")[0] == pytest.approx(last, rel=1e-12)


def test_order_of_equal_arrivals_changes_order_alone():
    """The same requests at the same instant, listed in another order."""
    sizes = [(0.0, 4, 7), (0.0, 9, 2), (0.0, 2, 11)]
    outcomes = [simulate(s, engine={"max_sequences": 8}) for s in (sizes, sizes[::-1])]
    spans = [
        sorted((r["prompt_tokens"], r["finish_s"]) for r in outcome.rows) for outcome in outcomes
    ]
    assert spans[0] == spans[1]


def test_the_check_finds_a_broken_law():
    """A replica that loses a block is caught."""

    class Thief:
        def attach(self, simulation):
            simulation.facts.subscribe(Iterations, self.steal)
            self.simulation = simulation

        def steal(self, fact):
            if fact.end_s > 3.0:
                self.simulation.systems[0].replicas[0].pool.take(1)

        def finish(self, results):
            pass

    scenario = Scenario(requests=((0.0, 4, 60),), kv_blocks=40)
    with pytest.raises(LawBroken, match="requests hold"):
        scenario.run("step", observers=[Thief(), LawCheck()])


def test_a_locked_order_preempts_nobody_and_srpt_does():
    requests = [(0.0, 1, 30), (3.5, 1, 2)]
    plain = simulate(requests, engine={"max_sequences": 1})
    assert plain["preemptions"] == 0
    assert plain.column("finish_s") == [30.0, 32.0]
    srpt = simulate(requests, engine={"max_sequences": 1}, ordering=ShortestRemaining)
    assert srpt["preemptions"] == 1
    assert srpt.column("finish_s") == [32.0, 6.0]
