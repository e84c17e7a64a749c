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
from sim.hardware.faults import Fault
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


def released(outcome: Outcome, table: str = "deferred") -> list[float]:
    return sorted(row["released_s"] for row in outcome.table(table))


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


def test_effectiveness_weighs_in_a_mean() -> None:
    """Means of 200 and 175 g/kWh; with twice the power in the west, of 250 and 275."""
    west, east = grid(100.0, 200.0, 900.0), grid(300.0, 150.0, 900.0)
    for pues, at_s in (((1.0, 1.0), 10.0), ((2.0, 1.0), 0.0)):
        client = waiting((0.0, "west"), of_sites="mean")
        assert released(run(client=client, sites=two(west, east, 0.0, *pues))) == [at_s]


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


# ---- regions that fail ----


def down(region: str, from_s: float, to_s: float) -> Fault:
    target = {"west": "node0/gpu0", "east": "node1/gpu0"}[region]
    return Fault(time_s=from_s, target=target, kind="fail", duration_s=to_s - from_s)


def failing(client: Deferring, sites: Sites, *faults: Fault, **keys: Any) -> Outcome:
    return run(client=client, sites=sites, routing=CARBON, faults=faults, **keys)


def test_when_a_region_fails_what_waits_for_it_is_planned_anew() -> None:
    """All wait for the west at 10 s. It fails at 5 s: the east is as clean as it gets until 10 s,
    and takes the rate of one region. What is handed in at 6 s counts on the west no more."""
    client = waiting(*[(0.0, "west")] * 2, (6.0, "west"))
    outcome = failing(client, two(WEST, EAST), down("west", 5.0, 60.0))
    assert released(outcome) == [5.0, 6.0, 7.0]
    assert outcome.column("replica") == [1, 1, 1]
    assert (outcome["deferred.forced"], outcome["deferred.missed"]) == (0, 0)
    alone = waiting(*[(0.0, "west")] * 2, site="west")
    told = failing(alone, two(WEST, EAST), down("west", 5.0, 60.0))
    assert released(told) == [10.0, 12.0]


def test_when_a_region_comes_back_it_is_counted_on() -> None:
    """While the west is down the east's best is 20 s; back at 8 s, its 50 g/kWh begin at 10 s."""
    west, east = WEST, grid(400.0, 200.0, 100.0, 400.0)
    for back_s, found in ((8.0, [10.0, 11.0, 12.0]), (50.0, [20.0, 21.0, 22.0])):
        client = waiting(*[(2.0, "west")] * 3)
        outcome = failing(client, two(west, east), down("west", 1.0, back_s))
        assert released(outcome) == found


def test_what_is_under_way_stops_for_the_next_clean_hour() -> None:
    """Nine from 10 s on in the west, which fails with the fourth on it: that one is served again
    at once, those left wait for the east at 20 s."""
    client = waiting(*[(0.0, "west")] * 9)
    sites = two(WEST, grid(400.0, 400.0, 100.0, 400.0))
    outcome = failing(client, sites, down("west", 13.125, 60.0))
    assert released(outcome) == [10.0, 11.0, 12.0, 13.0, 20.0, 21.0, 22.0, 23.0, 24.0]
    assert outcome.column("replica") == [0, 0, 0, *[1] * 6]
    assert outcome["requests_rerouted"] == 1


def test_deadlines_that_half_of_the_replicas_can_meet_are_met() -> None:
    """Eighteen requests of a second, one at a time at each replica, done by 45 s: both do them in
    nine of the seconds from 30 to 40. From 15 s on there is one, and it begins at 20 s."""
    late = [grid(400.0, 400.0, 300.0, 100.0, 400.0)] * 2
    for faults, begins_s in (((), 30.0), ((down("west", 15.0, 90.0),), 20.0)):
        client = waiting(
            *[(0.0, "east")] * 18, rate_rps=2.0, wait_s=45.0, serve_s=1.0, of_sites="mean"
        )
        outcome = failing(
            client, two(*late), *faults, cost=ConstantCost(0.5), engine={"max_sequences": 1}
        )
        assert released(outcome)[0] == begins_s
        assert outcome["deferred.forced"] == 0
        assert outcome["deferred.missed"] == 0


def test_nothing_is_released_while_no_replica_is_up() -> None:
    """At once by their plan, but both are down from 1 s on: they go when the west is back, at the
    rate of one region or of half of both; or, where it is back too late, by their deadline, which
    they miss."""
    for back_s, of_sites, found, forced in (
        (12.0, "least", [12.0, 13.0, 14.0], 0),
        (12.0, "mean", [12.0, 14.0, 16.0], 0),
        (60.0, "mean", [37.0, 38.0, 39.0], 3),
    ):
        client = waiting(*[(2.0, "west")] * 3, policy=AtOnce(), wait_s=38.0, of_sites=of_sites)
        faults = down("west", 1.0, back_s), down("east", 1.0, 90.0)
        outcome = failing(client, two(WEST, EAST), *faults)
        assert released(outcome) == found
        assert outcome["deferred.forced"] == outcome["deferred.missed"] == forced
        assert outcome.column("replica") == [0, 0, 0]


def test_the_rate_is_for_as_many_replicas_as_one_region_has() -> None:
    """Two in each region: with one left in each all of the rate, with one in all half of it."""
    trips = {"west": {"west": 0.0, "east": 0.0}}
    for broken, gap_s in (([0, 2], 1.0), ([0, 1, 2], 2.0)):
        west, east = site(WEST, nodes=["node0", "node1"]), site(EAST)
        faults = [
            Fault(time_s=3.0, target=f"node{node}/gpu0", kind="fail", duration_s=60.0)
            for node in broken
        ]
        outcome = failing(
            waiting(*[(4.0, "west")] * 3), Sites({"west": west, "east": east}, trips), *faults,
            replicas=4,
        )  # fmt: skip
        begins_s = 4.0 if gap_s > 1.0 else 10.0
        assert released(outcome) == [begins_s + gap_s * n for n in range(3)]


outages = st.lists(
    st.tuples(
        st.sampled_from(["west", "east"]),
        st.integers(0, 320).map(lambda n: n / 4),
        st.integers(1, 40),
    ),
    max_size=5,
)


@given(values, values, origins, outages, st.booleans(), st.sampled_from(["least", "mean"]))
def test_law_00_whatever_fails_each_goes_once_and_in_time(
    west: list[float],
    east: list[float],
    requests: list[tuple[float, str]],
    drawn: list[tuple[str, float, int]],
    replans: bool,
    of_sites: str,
) -> None:
    """All are released once, between being handed in and their deadline; none misses it where
    never both regions were down after it was handed in; the same in both modes."""
    faults = [down(region, at_s, at_s + lasts_s) for region, at_s, lasts_s in drawn]
    outcomes = []
    for mode in ("jump", "step"):
        chats = ClosedLoop(Listed([Demand(1, 9, 0.0, "chat", (), "west")] * 10), 2, 0.3)
        batch = waiting(
            *sorted(requests), gather_s=2.5, serve_s=5.0, replan_s=7.0 if replans else None,
            of_sites=of_sites, most_unfinished=4,
        )  # fmt: skip
        clients = Together({"chat": chats, "batch": batch})
        sites = two(grid(*west), grid(*east), 0.25)
        outcomes.append(failing(clients, sites, *faults, mode=mode))
    jump, step = outcomes
    rows = jump.table("serving_batch_deferred")
    assert rows == step.table("serving_batch_deferred")
    assert jump.rows == step.rows
    assert sorted(row["submitted_s"] for row in rows) == sorted(at for at, _ in requests)
    assert len({row["id"] for row in rows}) == len(rows) == jump["batch.deferred"]
    assert jump["requests_finished"] == len(requests) + 10
    dark = [
        (max(one[1], other[1]), min(one[1] + one[2], other[1] + other[2]))
        for one in drawn for other in drawn
        if one[0] == "west" and other[0] == "east"
    ]  # fmt: skip
    for row in rows:
        assert row["submitted_s"] <= row["released_s"] <= row["deadline_s"] - 5.0 + 1e-6
        if not any(a <= b and b >= row["submitted_s"] for a, b in dark):
            assert row["finish_s"] <= row["deadline_s"]


@given(
    values,
    values,
    origins,
    st.sampled_from([AtOnce, NonInterruptible, Interruptible]),
    st.sampled_from([("least", 1.0, 2), ("mean", 0.5, 1)]),
)
def test_a_region_that_is_down_is_as_none(
    west: list[float],
    east: list[float],
    requests: list[tuple[float, str]],
    policy: Any,
    share: tuple[str, float, int],
) -> None:
    """Released as in a run where there is the other alone, with the rate and the room of one region
    or half of those of both."""
    of_sites, rate_rps, room = share
    keys = {"policy": policy(), "of_sites": of_sites}
    both = waiting(*sorted(requests), most_unfinished=2, **keys)
    outcome = failing(both, two(grid(*west), grid(*east)), down("west", 0.0, 1e5))
    one = waiting(*sorted(requests), rate_rps=rate_rps, most_unfinished=room, **keys)
    place = {"east": site(grid(*east), pue=ConstantPue(PUE))}
    alone = Sites(place, {"west": {"east": 0.0}, "east": {"east": 0.0}})
    assert released(outcome) == released(run(client=one, sites=alone, replicas=1, routing=CARBON))


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
