"""Clients by hand: who sends when, and what of rejected requests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from serving_kit import Listed, Outcome, simulate

from sim.core.errors import ConfigError
from sim.serving.clients import ClosedLoop, OpenLoop
from sim.serving.facts import RequestArrived, RequestFinished, RequestRejected
from workloads.arrivals import Burst, TraceTimes
from workloads.demand import Demand


def closed(
    sizes: list[tuple[int, int]], concurrency: int, think_s: float = 0.0, **settings: object
) -> Outcome:
    client = ClosedLoop(Listed([Demand(*size) for size in sizes]), concurrency, think_s)
    return simulate(client=client, **settings)  # type: ignore[arg-type]


def test_a_closed_loop_sends_the_next_when_one_ends() -> None:
    """Two in flight: 1 + 3 and 1 + 5 tokens at 0 s, then 1 + 2 at 3 s, then 1 + 1 at 5 s."""
    run = closed([(1, 3), (1, 5), (1, 2), (1, 1)], 2)
    assert run.column("arrival_s") == [0.0, 0.0, 3.0, 5.0]
    assert run.column("finish_s") == [3.0, 5.0, 5.0, 6.0]


def test_it_thinks_between() -> None:
    run = closed([(1, 3), (1, 5), (1, 2)], 2, 0.75)
    assert run.column("arrival_s") == [0.0, 0.0, 3.75]
    # The next boundary after 3.75 s is at 4 s.
    assert run.column("scheduled_s") == [0.0, 0.0, 4.0]


@pytest.mark.parametrize("concurrency", [1, 3, 50])
def test_never_more_in_flight_than_asked(concurrency: int) -> None:
    run = closed([(1 + n % 7, 1 + n % 5) for n in range(40)], concurrency, 0.25, replicas=2)
    assert run.log is not None
    flying = most = 0
    for fact in run.log.facts:
        if isinstance(fact, RequestArrived):
            flying += 1
        elif isinstance(fact, (RequestFinished, RequestRejected)):
            flying -= 1
        most = max(most, flying)
    assert most == min(concurrency, 40)
    assert run["requests_finished"] == 40


def test_a_rejected_request_makes_room_for_the_next() -> None:
    run = closed([(1, 3), (90, 1), (90, 1), (1, 2)], 1, context_tokens=50)
    assert run.column("status") == ["finished", "rejected", "rejected", "finished"]
    assert run.column("arrival_s") == [0.0, 3.0, 3.0, 3.0]
    assert run.result["simulated_s"] == 5.0


def test_all_rejected_is_a_finished_run() -> None:
    run = closed([(90, 1)] * 5, 2, context_tokens=50)
    assert run["requests_rejected"] == 5
    assert run.result["serving.e2e_latency_s.mean"] is None
    assert run.result["simulated_s"] == 0.0


def test_the_run_ends_with_its_last_request() -> None:
    run = closed([(1, 1), (1, 1)], 1, 10.0)
    assert run.column("finish_s") == [1.0, 12.0]
    assert run.result["simulated_s"] == 12.0


class Endless:
    """Requests without end, all too long; it loses patience before a test would hang."""

    finite = False
    count = None

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        for _ in range(10_000):
            yield Demand(90, 1)
        raise TimeoutError("10,000 requests at one moment")


def test_a_closed_loop_whose_requests_are_all_rejected_is_an_error_or_ends() -> None:
    try:
        simulate(client=ClosedLoop(Endless(), 1), context_tokens=50, until_s=5.0)
    except ConfigError:
        return


def test_a_burst_comes_at_once_and_in_order() -> None:
    demands = [Demand(1, 1 + number) for number in range(5)]
    run = simulate(client=OpenLoop(Listed(demands), Burst(2.5)))
    assert run.column("arrival_s") == [2.5] * 5
    assert run.column("finish_s") == [3.5, 4.5, 5.5, 6.5, 7.5]


def test_an_empty_workload_is_a_run_of_nothing() -> None:
    for client in (OpenLoop(Listed([]), TraceTimes()), ClosedLoop(Listed([]), 3)):
        run = simulate(client=client)
        assert run["requests_arrived"] == 0
        assert run.rows == []


def test_times_that_fall_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"arrives at 1\.0 s, after one at 2\.0 s"):
        simulate([(2.0, 1, 1), (1.0, 1, 1)])


@pytest.mark.parametrize(
    ("concurrency", "think_s", "said"),
    [(0, 0.0, "concurrency: 0"), (True, 0.0, "concurrency: True"), (2, -1.0, "think_s: -1.0"),
     (1.5, 0.0, "concurrency: 1.5"), (1, float("nan"), "think_s: nan")],
)  # fmt: skip
def test_bad_settings_are_named(concurrency: int, think_s: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ClosedLoop(Listed([]), concurrency, think_s)
