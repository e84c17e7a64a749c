"""Requests that wait and choose a region: by hand, the best of both, law 7, and configurations."""

from __future__ import annotations

from functools import partial
from math import fsum
from typing import Any

import pytest
from carbon_kit import PUE, Given, catalogue, site
from hypothesis import given
from hypothesis import strategies as st
from serving_kit import IDLE_W, PEAK_W, Listed, Outcome, simulate

from experiments.compose import compose
from models.carbon.pue import ConstantPue
from models.constant_cost import ConstantCost
from policies.routing.carbon import Carbon
from policies.routing.nearest import Nearest
from policies.shifting.at_once import AtOnce
from policies.shifting.lets_wait_awhile import Interruptible, NonInterruptible
from sim.carbon.ledger import Ledger
from sim.carbon.sites import Sites
from sim.core.errors import ConfigError
from sim.core.run import run as run_config
from sim.serving.clients import ClosedLoop
from sim.serving.deferral import Deferring
from sim.serving.together import Together
from workloads.arrivals import TraceTimes
from workloads.demand import Demand

CARBON = partial(Carbon, 100.0, 100.0, 1, 2)
STEP_S = 0.125
#: A request of two tokens: two steps.
REQUEST_J = 2 * STEP_S * (PEAK_W - IDLE_W)
run = partial(simulate, log=False, replicas=2, cost=ConstantCost(STEP_S))


def grid(*values: float) -> Given:
    """By ten seconds, the last value for long after."""
    return Given([*(10.0 * n for n in range(len(values))), 1e6], values)


def two(west: Given, east: Given, trip_s: float = 0.0, *pues: float) -> Sites:
    """node0 in the west, node1 in the east."""
    at_west, at_east = (
        site(signal, nodes=[node], pue=ConstantPue(pue))
        for signal, node, pue in zip(
            (west, east), ("node0", "node1"), pues or (PUE, PUE), strict=True
        )
    )
    trips = {"west": {"west": 0.0, "east": trip_s}, "east": {"west": trip_s, "east": 0.0}}
    return Sites({"west": at_west, "east": at_east}, trips)


def waiting(*requests: tuple[float, str], policy: Any = None, **keys: Any) -> Deferring:
    """(time, origin): one released each second, done within 40 s, in the cleanest of both."""
    demands = [Demand(1, 2, at, "batch", (), origin) for at, origin in requests]
    settings: dict[str, Any] = {
        "wait_s": 40.0, "rate_rps": 1.0, "most_unfinished": 100, "of_sites": "least",
    } | keys  # fmt: skip
    return Deferring(Listed(demands), TraceTimes(), policy or Interruptible(), **settings)


def watched() -> dict[str, Any]:
    return {"observers": [Ledger(catalogue(), requests=True)]}


def work_g(outcome: Outcome) -> float:
    """Operational grams of steps, nobody's idle power in them."""
    rows = outcome.table("carbon")
    return fsum(row["operational_g"] for row in rows if row["account"] == "work")


# ---- by hand ----

WEST, EAST = grid(300.0, 50.0, 300.0, 400.0), grid(100.0, 400.0, 100.0, 400.0)


def test_the_best_hour_and_the_best_region_by_hand() -> None:
    """The east is clean at once, the west cleaner from 10 to 20 s: all wait for it. By the mean of
    both, 200, 225 and 200 g/kWh, they would go east at once, at twice the grams."""
    found = {}
    for of_sites in ("least", "mean"):
        client = waiting(*[(0.0, "west")] * 3, (0.0, "east"), of_sites=of_sites)
        sites = two(WEST, EAST, 0.5)
        ledger = {"observers": [Ledger(catalogue())]}
        found[of_sites] = run(client=client, sites=sites, routing=CARBON, **ledger)
    best, mean = found["least"], found["mean"]
    assert best.column("arrival_s") == [10.0, 11.0, 12.0, 13.0]
    assert best.column("replica") == [0, 0, 0, 0]
    # The one of the east travels a quarter of a second there and back.
    assert best.column("finish_s") == [10.25, 11.25, 12.25, 13.75]
    assert [row["finish_s"] for row in best.table("deferred")] == [10.25, 11.25, 12.25, 13.75]
    assert work_g(best) == pytest.approx(4 * REQUEST_J * PUE * 50.0 / 3.6e6)
    assert mean.column("replica") == [1, 1, 1, 1]
    assert mean.column("arrival_s") == [0.0, 1.0, 2.0, 3.0]
    assert work_g(mean) == pytest.approx(4 * REQUEST_J * PUE * 100.0 / 3.6e6)


def test_work_that_may_pause_goes_from_one_region_to_the_other() -> None:
    """Fourteen seconds of work: ten in the west at 50, then four in the east at 100 g/kWh."""
    late = grid(300.0, 50.0, 300.0, 400.0), grid(400.0, 400.0, 100.0, 400.0)
    client = waiting(*[(0.0, "west")] * 14)
    outcome = run(client=client, sites=two(*late), routing=CARBON, **watched())
    assert outcome.column("arrival_s") == [10.0 + n for n in range(14)]
    assert outcome.column("replica") == [0] * 10 + [1] * 4


def test_effectiveness_weighs() -> None:
    """100 g in the east at 1.0 is less than 75 g in the west at 1.5, and there first."""
    west, east = grid(300.0, 75.0, 300.0), grid(100.0, 300.0, 300.0)
    for pues, at_s, replica in (((1.5, 1.0), 0.0, 1), ((1.2, 1.0), 10.0, 0)):
        sites = two(west, east, 0.0, *pues)
        outcome = run(client=waiting((0.0, "west")), sites=sites, routing=CARBON)
        assert outcome.column("arrival_s") == [at_s]
        assert outcome.column("replica") == [replica]


def test_deadlines_count_the_way_home() -> None:
    """Released a second before the time for serving; half a second there and half a second back."""
    late = grid(900.0, 900.0, 900.0, 900.0), grid(900.0, 900.0, 900.0, 10.0)
    for serve_s, missed in ((0.125, 1), (0.5, 0)):
        client = waiting((0.0, "west"), serve_s=serve_s, policy=Latest())
        outcome = run(client=client, sites=two(*late, 1.0), routing=CARBON)
        (row,) = outcome.table("deferred")
        assert row["finish_s"] == pytest.approx(39.0 - serve_s + 1.0 + 2 * STEP_S)
        assert outcome["deferred.missed"] == missed


class Latest(AtOnce):
    """As late as can be."""

    def plan(self, job: Any, forecast: Any, now_s: float) -> Any:
        return super().plan(job, forecast, job.deadline_s - job.remaining_s)


# ---- laws ----

values = st.lists(st.integers(1, 900).map(float), min_size=8, max_size=8)
origins = st.lists(
    st.tuples(st.integers(0, 160).map(lambda n: n / 8), st.sampled_from(["west", "east"])),
    min_size=1,
    max_size=20,
)


@given(values, values, origins, st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.3]))
def test_law_07_in_time_and_space(
    west: list[float],
    east: list[float],
    requests: list[tuple[float, str]],
    trip_s: float,
    error: float,
) -> None:
    """Books hold every joule and gram, by site, account and request, beside others; the same in
    both modes and whoever watches; all released between being handed in and their deadline."""

    def world(mode: str = "jump", **keys: Any) -> Outcome:
        sites = two(grid(*west), grid(*east), trip_s)
        for each in sites.sites:
            each.forecast_error = error
        chats = [Demand(1, 9, 0.0, "chat", (), "west")] * 10
        clients = {
            "chat": ClosedLoop(Listed(chats), 2, 0.3),
            "batch": waiting(*sorted(requests), gather_s=2.5, serve_s=3.0, replan_s=7.0),
        }
        return run(client=Together(clients), sites=sites, routing=CARBON, mode=mode, **keys)

    jump, step, plain = world(**watched()), world("step", **watched()), world()
    result = jump.result
    booked = jump.table("carbon")
    for key, total in (
        ("energy_j", result.number("energy_j")),
        ("operational_g", result.number("carbon.operational_g")),
        ("embodied_g", result.number("carbon.embodied_g")),
    ):
        assert fsum(row[key] for row in booked) == pytest.approx(total, rel=1e-9)
    for name in ("west", "east"):
        emitted_g = fsum(row["operational_g"] for row in booked if row["site"] == name)
        assert emitted_g == pytest.approx(result.number(f"sites.{name}.operational_g"), rel=1e-9)
    own_j = fsum(row["energy_j"] for row in booked if row["account"] in ("prefill", "decode"))
    each_j = fsum(row["energy_j"] for row in jump.table("carbon_requests"))
    assert each_j == pytest.approx(own_j, rel=1e-9)
    assert jump.rows == step.rows == plain.rows
    assert plain.result.summary.items() <= result.summary.items()
    assert result["carbon_g"] == pytest.approx(step.result["carbon_g"], rel=1e-9)
    rows = jump.table("serving_batch_deferred")
    assert len(rows) == len(requests)
    for row in rows:
        assert row["submitted_s"] <= row["released_s"] <= row["deadline_s"] - 3.0 + 1e-6


@given(values, values, st.integers(1, 30))
def test_time_and_space_together_save_most(
    west: list[float], east: list[float], count: int
) -> None:
    """One at a time and no travel, so that the same work is done whenever and wherever it is."""
    requests = [(0.0, ("west", "east")[n % 2]) for n in range(count)]
    grams = {}
    for time in (AtOnce(), NonInterruptible(), Interruptible()):
        for space, of_sites in ((Nearest, "mean"), (CARBON, "mean"), (CARBON, "least")):
            client = waiting(*requests, policy=time, wait_s=75.0, of_sites=of_sites)
            sites = two(grid(*west), grid(*east))
            ledger = {"observers": [Ledger(catalogue())]}
            outcome = run(client=client, sites=sites, routing=space, **ledger)
            grams[type(time), space, of_sites] = work_g(outcome)
    best = grams[Interruptible, CARBON, "least"]
    assert all(best <= other * (1 + 1e-9) for other in grams.values())


# ---- configurations and bad input ----


def test_the_shipped_client_runs_in_two_regions() -> None:
    words = ["cluster=two_regions", "sites=two_regions", "replicas=2", "routing=carbon"]
    count = "client.clients.batch.workload.workload.count=30"
    result = run_config(
        compose([*words, "client=deferred_two_regions", "workload.count=10", count])
    )
    assert result["serving.requests_finished"] == 50
    assert result["serving.batch.deferred"] == 30
    assert result["serving.batch.deferred.missed"] == 0
    requests = result.table("requests")
    assert set(requests[requests.kind == "batch"].origin) == {"west", "east"}


def test_requests_from_nowhere_are_told_where_to_come_from() -> None:
    said = r"comes from no region.*from west, east alone; choose client=two_regions or deferred_two"
    with pytest.raises(ConfigError, match=said):
        run(client=waiting((0.0, "")), sites=two(WEST, EAST), routing=CARBON)
    with pytest.raises(ConfigError, match=r"client\.of_sites: 'best' is neither mean nor least"):
        waiting((0.0, "west"), of_sites="best")
