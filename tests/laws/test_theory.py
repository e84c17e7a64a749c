"""Law 10: queueing theory on the engine that serves requests.

The mapping. A request has a prompt of one token and `n` output tokens. With a constant step of
`s` seconds its prefill yields the first token and each later step one more, so it is served for
exactly `n * s` seconds. So

- one slot is a single server, M/G/1 with sizes in steps (geometric sizes: M/M/1, fixed: M/D/1),
  and shortest remaining first with KV kept over preemptions is SRPT;
- `c` slots are `c` servers (M/M/c) whose steps keep time with one another;
- a step proportional to the batch gives each of `k` requests one token every `k * s` seconds,
  which is processor sharing.

What the steps take away from the continuous queue: one that finds other slots busy, or is to
displace another, waits for the next boundary, half a step at the mean; a geometric size is at
least one step. With MEAN = 500 tokens at the mean both are 0.1 % of a service time, far below the
intervals, which are some percent. Each law is tested twice: request by request against a plain
event-by-event simulation of the continuous queue with the same arrivals and sizes, and at the mean
against the closed form, which must lie in the interval of independent replications (Student t).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import numpy as np
import pytest
from scipy import stats
from serving_kit import Outcome, simulate

from models.constant_cost import ConstantCost, ProportionalCost
from models.queueing import (
    dd1_response_s,
    mg1_ps_response_s,
    mg1_response_s,
    mm1_response_s,
    mmc_response_s,
    srpt_response_s,
)
from policies.ordering.shortest_remaining import ShortestRemaining
from sim.serving.clients import OpenLoop
from workloads.arrivals import Evenly, Poisson
from workloads.lengths import Fixed, Geometric, Lengths, Mixture
from workloads.synthetic import Synthetic

MEAN = 500
STEP_S = 1.0 / MEAN  # a mean service takes a second
CONFIDENCE = 0.99
REPLICATIONS = 10

SIZES: dict[str, Lengths] = {
    "geometric": Geometric(MEAN),
    "fixed": Fixed(MEAN),
    # Nine in ten short, one in ten ten times as long: squared variation 4.5.
    "mixed": Mixture(
        parts={"short": Geometric(263), "long": Geometric(2633)}, shares={"short": 9, "long": 1}
    ),
}
#: Mean and second moment in seconds; of a geometric size of mean m: m and 2 m^2 - m tokens.
MOMENTS = {
    "geometric": (1.0, (2.0 * MEAN**2 - MEAN) / MEAN**2),
    "fixed": (1.0, 1.0),
    "mixed": (
        (0.9 * 263 + 0.1 * 2633) / MEAN,
        (0.9 * (2 * 263**2 - 263) + 0.1 * (2 * 2633**2 - 2633)) / MEAN**2,
    ),
}


def serve(
    sizes: str, rate: float, requests: int, seed: int, *, slots: int, cost: Any = None, **more: Any
) -> Outcome:
    """The engine as a queue."""
    client = OpenLoop(Synthetic(Fixed(1), SIZES[sizes], count=requests), Poisson(rate))
    return simulate(
        client=client,
        cost=cost or ConstantCost(STEP_S),
        seed=seed,
        engine={"max_sequences": slots, "max_batch_tokens": 1 << 20, "kv_blocks": 1 << 26},
        log=False,
        **more,
    )


def assert_theory(
    expected: float, sizes: str, rate: float, requests: int, within: float, **queue: Any
) -> None:
    """The closed form lies in the interval of the mean response over independent replications,
    each without its first fifth; and the interval is at most `within` of it to either side."""
    means = []
    for seed in range(REPLICATIONS):
        responses = serve(sizes, rate, requests, seed, **queue).column("e2e_latency_s")
        means.append(float(np.mean(responses[requests // 5 :])))
    spread = stats.t.ppf(0.5 + 0.5 * CONFIDENCE, REPLICATIONS - 1) * stats.sem(means)
    assert abs(np.mean(means) - expected) <= spread, (np.mean(means), spread, expected)
    assert spread <= within * expected, (spread, expected)


ONE = {"slots": 1}
SRPT = {"slots": 1, "ordering": ShortestRemaining}
SHARED = {"slots": 1 << 20, "cost": ProportionalCost(STEP_S)}


@pytest.mark.parametrize(("load", "requests", "within"), [(0.5, 3000, 0.05), (0.75, 4500, 0.15)])
def test_law_10_mm1(load: float, requests: int, within: float) -> None:
    assert_theory(mm1_response_s(load, 1.0), "geometric", load, requests, within, **ONE)


@pytest.mark.parametrize(
    ("servers", "load", "requests", "within"), [(2, 0.6, 3000, 0.06), (8, 0.8, 5000, 0.1)]
)
def test_law_10_mmc(servers: int, load: float, requests: int, within: float) -> None:
    expected = mmc_response_s(load * servers, 1.0, servers)
    assert_theory(expected, "geometric", load * servers, requests, within, slots=servers)


@pytest.mark.parametrize(("load", "requests", "within"), [(0.5, 3000, 0.04), (0.8, 4000, 0.15)])
def test_law_10_md1(load: float, requests: int, within: float) -> None:
    assert_theory(mg1_response_s(load, 1.0, 1.0), "fixed", load, requests, within, **ONE)


@pytest.mark.parametrize(("load", "requests", "within"), [(0.3, 5000, 0.15), (0.6, 8000, 0.18)])
def test_law_10_mg1_first_come_first_served(load: float, requests: int, within: float) -> None:
    mean_s, second_s2 = MOMENTS["mixed"]
    expected = mg1_response_s(load, mean_s, second_s2)
    assert_theory(expected, "mixed", load, requests, within, **ONE)


@pytest.mark.parametrize(
    ("sizes", "load", "requests", "within"),
    [("mixed", 0.5, 3000, 0.1), ("geometric", 0.75, 3000, 0.12), ("fixed", 0.6, 2000, 0.08)],
)
def test_law_10_mg1_processor_sharing(
    sizes: str, load: float, requests: int, within: float
) -> None:
    expected = mg1_ps_response_s(load, MOMENTS[sizes][0])
    assert_theory(expected, sizes, load, requests, within, **SHARED)


@pytest.mark.parametrize(("load", "requests", "within"), [(0.5, 3000, 0.05), (0.8, 4000, 0.15)])
def test_law_10_srpt(load: float, requests: int, within: float) -> None:
    expected = srpt_response_s(load, lambda x: np.exp(-x), 40.0)
    assert_theory(expected, "geometric", load, requests, within, **SRPT)


@pytest.mark.parametrize(("load", "requests", "within"), [(0.5, 2500, 0.10)])
def test_law_10_srpt_of_varied_sizes(load: float, requests: int, within: float) -> None:
    short, long = 263 / MEAN, 2633 / MEAN

    def density(x: Any) -> Any:
        return 0.9 / short * np.exp(-x / short) + 0.1 / long * np.exp(-x / long)

    assert_theory(srpt_response_s(load, density, 150.0), "mixed", load, requests, within, **SRPT)


# The same, request by request, against the continuous queue


Jobs = list[tuple[float, float]]


def first_come_first_served(jobs: Jobs, servers: int) -> list[float]:
    """Responses by the recursion of Kiefer and Wolfowitz."""
    free = [0.0] * servers
    responses = []
    for at, size in jobs:
        end = max(at, heappop(free)) + size
        heappush(free, end)
        responses.append(end - at)
    return responses


def shortest_remaining_first(jobs: Jobs) -> list[float]:
    """Responses of a single server that always serves the job with the least left."""
    responses = [0.0] * len(jobs)
    left: list[tuple[float, int]] = []
    now = 0.0
    for number, (at, size) in enumerate([*jobs, (float("inf"), 0.0)]):
        while left and now < at:
            size_left, job = heappop(left)
            if now + size_left > at:
                heappush(left, (size_left - (at - now), job))
                break
            now += size_left
            responses[job] = now - jobs[job][0]
        now = at
        heappush(left, (size, number))
    return responses


def shared_equally(jobs: Jobs) -> list[float]:
    """Responses of processor sharing, by the service that each job present has had."""
    responses = [0.0] * len(jobs)
    ends: list[tuple[float, int]] = []
    now = had = 0.0
    for number, (at, size) in enumerate([*jobs, (float("inf"), 0.0)]):
        while ends and now + (ends[0][0] - had) * len(ends) <= at:
            now += (ends[0][0] - had) * len(ends)
            had, job = heappop(ends)
            responses[job] = now - jobs[job][0]
        if ends:
            had += (at - now) / len(ends)
        now = at
        heappush(ends, (had + size, number))
    return responses


def jobs_of(run: Outcome) -> Jobs:
    sizes = [tokens * STEP_S for tokens in run.column("output_tokens")]
    return list(zip(run.column("arrival_s"), sizes, strict=True))


@pytest.mark.parametrize("sizes", list(SIZES))
@pytest.mark.parametrize("mode", ["jump", "step"])
def test_law_10_one_slot_is_a_single_server_for_every_request(sizes: str, mode: str) -> None:
    """Exactly: what waits starts when the one before it ends, what finds none starts at once."""
    run = serve(sizes, 0.9, 1000 if mode == "jump" else 40, 1, slots=1, mode=mode)
    expected = first_come_first_served(jobs_of(run), 1)
    assert run.column("e2e_latency_s") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("servers", [2, 7])
def test_law_10_slots_are_servers_within_a_step_for_every_request(servers: int) -> None:
    run = serve("geometric", 0.9 * servers, 1500, 2, slots=servers)
    late = np.subtract(run.column("e2e_latency_s"), first_come_first_served(jobs_of(run), servers))
    assert late.min() >= -1e-9
    assert late.max() <= STEP_S + 1e-9
    assert 0.0 < late.mean() < STEP_S


@pytest.mark.parametrize("sizes", list(SIZES))
def test_law_10_a_proportional_step_is_processor_sharing(sizes: str) -> None:
    """A token lasts `k` steps with `k` requests present, and so long may an arrival wait."""
    run = serve(sizes, 0.7, 1500, 3, **SHARED)
    expected = np.array(shared_equally(jobs_of(run)))
    found = np.array(run.column("e2e_latency_s"))
    assert found.mean() == pytest.approx(expected.mean(), rel=3e-3)
    assert found == pytest.approx(expected, rel=0.05, abs=100 * STEP_S)


@pytest.mark.parametrize("sizes", ["geometric", "mixed"])
def test_law_10_shortest_remaining_first_within_steps(sizes: str) -> None:
    """At the mean: where two differ by less than a step, which one goes first may too."""
    run = serve(sizes, 0.8, 2000, 4, **SRPT)
    expected = shortest_remaining_first(jobs_of(run))
    assert run["preemptions"] > 100
    assert np.mean(run.column("e2e_latency_s")) == pytest.approx(np.mean(expected), rel=3e-3)


@pytest.mark.parametrize("mode", ["jump", "step"])
@pytest.mark.parametrize(("gap_s", "tokens"), [(1.5, 4), (1.0, 4), (0.75, 4), (0.25, 9)])
def test_law_10_dd1_is_exact(gap_s: float, tokens: int, mode: str) -> None:
    """Evenly spaced requests of one size, steps of a quarter second: to the bit."""
    run = simulate(
        client=OpenLoop(Synthetic(Fixed(1), Fixed(tokens), count=60), Evenly(1.0 / gap_s)),
        cost=ConstantCost(0.25),
        engine={"max_sequences": 1},
        mode=mode,
    )
    if gap_s in (0.25, 1.0):  # exact as a rate, too
        expected = [dd1_response_s(number, gap_s, 0.25 * tokens) for number in range(60)]
        assert run.column("e2e_latency_s") == expected
    else:
        starts = run.column("arrival_s")
        jobs = [(at, 0.25 * tokens) for at in starts]
        assert run.column("e2e_latency_s") == pytest.approx(
            first_come_first_served(jobs, 1), rel=1e-12
        )
