"""Requests that wait: by hand, deadlines whatever happens, savings, and what bad input is told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from carbon_kit import Given, catalogue, sites
from hypothesis import given
from hypothesis import strategies as st
from serving_kit import Listed, Outcome, simulate, trace

from experiments.compose import compose
from experiments.reproduce.papers.carbon.settings import part
from models.carbon.pue import TemperaturePue
from models.constant_cost import ConstantCost
from policies.shifting.at_once import AtOnce
from policies.shifting.contract import Run
from policies.shifting.lets_wait_awhile import Interruptible, NonInterruptible
from sim.carbon.ledger import Ledger
from sim.carbon.outlook import Forecast, JointForecast
from sim.core.errors import ConfigError, LawBroken, TraceError
from sim.core.run import run as run_config
from sim.serving.clients import ClosedLoop
from sim.serving.deferral import Deferring
from sim.serving.together import Together
from workloads.arrivals import TraceTimes
from workloads.demand import Demand

POLICIES = {
    "at once": "at_once",
    "in one piece": "lets_wait_awhile",
    "may pause": "lets_wait_awhile_interruptible",
    "threshold": "threshold",
    "night": "night",
}
#: 0 to 10 s at 300, to 20 s at 100, to 30 s at 200, then at 400 g/kWh.
GRID = Given([0.0, 10.0, 20.0, 30.0, 1e6], [300.0, 100.0, 200.0, 400.0])
run = partial(simulate, log=False, cost=ConstantCost(0.001))


def deferring(times: Sequence[float], policy: Any, **keys: Any) -> Deferring:
    """Requests of two tokens handed in at these times; a request a second, done within 40 s."""
    demands = [Demand(1, 2, at, "batch") for at in times]
    settings: dict[str, Any] = {"wait_s": 40.0, "rate_rps": 1.0, "most_unfinished": 100} | keys
    return Deferring(Listed(demands), TraceTimes(), policy, **settings)


def released(outcome: Outcome, table: str = "deferred") -> list[float]:
    return sorted(row["released_s"] for row in outcome.table(table))


def test_a_batch_is_released_in_the_cleanest_slot_by_hand() -> None:
    """Four requests at once and one a second later, gathered over 2 s: five seconds of work in the
    slot from 10 to 20 s, a request each second."""
    client = deferring([0.0, 0.0, 0.0, 0.0, 1.0], Interruptible(), gather_s=2.0)
    outcome = run(client=client, sites=sites(GRID))
    assert released(outcome) == [10.0, 11.0, 12.0, 13.0, 14.0]
    assert outcome.column("arrival_s") == [10.0, 11.0, 12.0, 13.0, 14.0]
    figures = outcome.result
    assert (figures["serving.deferred"], figures["serving.deferred.forced"]) == (5, 0)
    assert (figures["serving.deferred.late"], figures["serving.deferred.held"]) == (0, 0)
    assert figures["serving.deferred.held_s.mean"] == pytest.approx((10 + 11 + 12 + 13 + 13) / 5)
    assert figures["serving.deferred.held_s.max"] == 13.0


def test_one_that_may_pause_does() -> None:
    """Fourteen seconds of work: ten in the cleanest slot, four in the next."""
    outcome = run(client=deferring([0.0] * 14, Interruptible()), sites=sites(GRID))
    assert released(outcome) == [10.0 + n for n in range(14)]
    ends = Given([0.0, 10.0, 20.0, 30.0, 1e6], [100.0, 300.0, 100.0, 400.0])
    outcome = run(client=deferring([0.0] * 14, Interruptible()), sites=sites(ends))
    assert released(outcome) == [*map(float, range(10)), 20.0, 21.0, 22.0, 23.0]
    outcome = run(client=deferring([0.0] * 14, NonInterruptible()), sites=sites(ends))
    assert released(outcome) == [float(n) for n in range(14)]


def test_at_once_is_at_once() -> None:
    outcome = run(client=deferring([0.0, 3.0, 3.0], AtOnce()), sites=sites(GRID))
    assert released(outcome) == [0.0, 3.0, 4.0]


def test_a_request_that_never_fits_ends_too() -> None:
    demands = [Demand(90, 1, 0.0), Demand(1, 1, 0.0)]
    client = Deferring(Listed(demands), TraceTimes(), AtOnce(), 40.0, 1.0, 9)
    outcome = run(client=client, sites=sites(GRID), context_tokens=50)
    assert outcome.column("status") == ["rejected", "finished"]
    assert [row["finish_s"] is None for row in outcome.table("deferred")] == [True, False]
    assert (outcome["deferred.late"], outcome["deferred.missed"]) == (0, 1)


def test_one_that_is_not_done_has_missed_its_deadline() -> None:
    """Seven requests of 30 s at a time, released at once, due after 10 s; the run ends at 11 s
    resp. 9 s: none has finished."""
    for until_s, missed in ((11.0, 7), (9.0, 0)):
        client = deferring([0.0] * 7, AtOnce(), wait_s=10.0, rate_rps=1.0, serve_s=2.0)
        slow = {"cost": ConstantCost(30.0), "until_s": until_s}
        outcome = simulate(client=client, log=False, sites=sites(GRID), **slow)
        rows = outcome.table("deferred")
        assert len(rows) == outcome["deferred"] == 7
        assert all(row["finish_s"] is None for row in rows)
        assert (outcome["deferred.late"], outcome["deferred.missed"]) == (0, missed)


def test_beats_are_left_out_while_others_are_served() -> None:
    """Somebody else has requests at the gateway until 4 s: the batch, at once by its plan, begins
    when they are through."""
    clients = {
        "chat": trace([(0.0, 1, 4000)]),
        "batch": deferring([0.5] * 3, AtOnce(), most_unfinished=1),
    }
    outcome = run(client=Together(clients), sites=sites(GRID))
    assert released(outcome, "serving_batch_deferred") == [4.5, 5.5, 6.5]
    assert outcome["batch.deferred.forced"] == 0


def test_slack_used_up_it_goes_whatever_there_is() -> None:
    """Others are there all the time; three requests of a second, due at 40 s, begin at 37 s."""
    clients = {
        "chat": trace([(0.0, 1, 60_000)]),
        "batch": deferring([0.0] * 3, AtOnce(), most_unfinished=1),
    }
    outcome = run(client=Together(clients), sites=sites(GRID))
    assert released(outcome, "serving_batch_deferred") == [37.0, 38.0, 39.0]
    assert outcome["batch.deferred.forced"] == 3


def test_more_than_the_rate_can_do_is_spread_to_the_deadline() -> None:
    outcome = run(client=deferring([0.0] * 80, Interruptible()), sites=sites(GRID))
    assert released(outcome) == pytest.approx([0.5 * n for n in range(80)])
    assert outcome["deferred.missed"] == outcome["deferred.late"] == 0


def test_time_for_serving_is_kept() -> None:
    """Of the 40 s ten are for serving: at 28 s the last two of the slack go."""
    late = Given([0.0, 25.0, 1e6], [300.0, 100.0])
    outcome = run(client=deferring([0.0] * 2, NonInterruptible(), serve_s=10.0), sites=sites(late))
    assert released(outcome) == [25.0, 26.0]
    later = Given([0.0, 29.0, 1e6], [300.0, 100.0])
    outcome = run(client=deferring([0.0] * 2, NonInterruptible(), serve_s=10.0), sites=sites(later))
    assert released(outcome) == [28.0, 29.0]


def test_a_wrong_forecast_is_planned_again() -> None:
    """Forecasts that are wrong by three times the mean: plans are made again each 5 s by what is
    read off the grid, and the deadline is met."""
    site = {"forecast_error": 3.0}
    found = {}
    for replan_s in (None, 5.0):
        client = deferring([0.0] * 5, Interruptible(), replan_s=replan_s)
        found[replan_s] = run(client=client, sites=sites(GRID, **site), seed=2)
        assert max(released(found[replan_s])) <= 40.0
    assert found[5.0]["deferred.plans"] > found[None]["deferred.plans"]


class Lazy:
    """Plans half of the work."""

    def plan(self, job: Any, forecast: Any, now_s: float) -> list[Run]:
        return [Run(now_s, now_s + 0.5 * job.remaining_s)]


def test_a_plan_that_leaves_work_out_is_told_of() -> None:
    with pytest.raises(LawBroken, match=r"plan of 1 s in 1 runs made at 0 s, for 2 s of work"):
        run(client=deferring([0.0, 0.0], Lazy()), sites=sites(GRID))


# ---- laws ----


@st.composite
def deferrals(draw: st.DrawFn) -> tuple[list[float], dict[str, Any], Given]:
    """Times of requests, settings of the client, a grid."""
    times = sorted(draw(st.lists(st.integers(0, 400).map(lambda n: n / 8), max_size=25)))
    keys = {
        "wait_s": draw(st.sampled_from([12.0, 40.0, 200.0])),
        "rate_rps": draw(st.sampled_from([0.3, 1.0, 8.0])),
        "most_unfinished": draw(st.sampled_from([1, 2, 50])),
        "gather_s": draw(st.sampled_from([0.0, 1.0, 7.5])),
        "serve_s": draw(st.sampled_from([0.0, 3.0])),
        "replan_s": draw(st.sampled_from([None, 2.5])),
    }
    values = draw(st.lists(st.integers(1, 900).map(float), min_size=31, max_size=31))
    return times, keys, Given([*(10.0 * n for n in range(31)), 1e9], values)


def mixed(times: list[float], keys: dict[str, Any], policy: Any) -> Together:
    """With a closed loop beside it, that is there for a while."""
    chat = ClosedLoop(Listed([Demand(1, 9, kind="chat")] * 20), 2, 0.3)
    return Together({"chat": chat, "batch": deferring(times, policy, **keys)})


@pytest.mark.parametrize("policy", POLICIES)
@given(deferrals(), st.sampled_from([0.0, 0.3]))
def test_no_deadline_is_missed_and_none_is_lost(policy: str, drawn: Any, error: float) -> None:
    """All are released between being handed in and their deadline less the time for serving,
    whatever the policy, the pace and the forecast; jump = step, and the books balance."""
    times, keys, grid = drawn
    outcomes = [
        run(
            client=mixed(times, keys, part(f"shifting/{POLICIES[policy]}")),
            sites=sites(grid, forecast_error=error),
            cost=ConstantCost(0.125),
            observers=[Ledger(catalogue())],
            mode=mode,
        )
        for mode in ("jump", "step")
    ]
    jump, step = outcomes
    rows = jump.table("serving_batch_deferred")
    assert len(rows) == len(times) == jump["batch.deferred"]
    assert sorted(row["submitted_s"] for row in rows) == times
    for row in rows:
        assert row["deadline_s"] == row["submitted_s"] + keys["wait_s"]
        assert row["submitted_s"] <= row["released_s"]
        assert row["released_s"] <= row["deadline_s"] - keys["serve_s"] + 1e-6
    assert jump["requests_finished"] == len(times) + 20
    assert rows == step.table("serving_batch_deferred")
    assert jump.rows == step.rows


def work_g(outcome: Outcome) -> float:
    rows = outcome.table("carbon")
    return sum(row["operational_g"] for row in rows if row["account"] == "work")


@given(st.lists(st.integers(1, 900).map(float), min_size=8, max_size=8), st.integers(1, 40))
def test_savings_are_never_negative_with_a_perfect_forecast(
    values: list[float], count: int
) -> None:
    """One at a time: a request takes a fraction of its beat, so that the same work is done
    whenever it is; none is saved by a grid that never changes."""
    edges = [10.0 * n for n in range(8)] + [1e9]
    for grid in (Given(edges, values), Given(edges, [values[0]] * 8)):
        grams = {
            name: work_g(
                run(
                    client=deferring([0.0] * count, policy, wait_s=70.0),
                    sites=sites(grid),
                    observers=[Ledger(catalogue())],
                )
            )
            for name, policy in (
                ("once", AtOnce()),
                ("piece", NonInterruptible()),
                ("pause", Interruptible()),
            )
        }
        assert grams["pause"] <= grams["piece"] * (1 + 1e-9) <= grams["once"] * (1 + 2e-9)
    assert grams["pause"] == pytest.approx(grams["once"], rel=1e-9)


WARMTH = TemperaturePue(0.1, 0.02, 18.0)


def test_cooling_is_planned_with() -> None:
    """The grid never changes; PUE is 1.5 for ten seconds, 1.1 for ten, 1.3 after."""
    outside = Given([0.0, 10.0, 20.0, 1e6], [38.0, 8.0, 28.0])
    place = {"pue": WARMTH, "outside": outside}
    outcome = run(client=deferring([0.0] * 3, Interruptible()), sites=sites(**place))
    assert released(outcome) == [10.0, 11.0, 12.0]
    short = Given([0.0, 30.0], [38.0], "thermometer")
    said = r"^client\.wait_s: .* by the forecast of sites\.home; thermometer: is known from 0"
    with pytest.raises(TraceError, match=said):
        run(client=deferring([0.0], Interruptible()), sites=sites(pue=WARMTH, outside=short))


@given(
    st.lists(st.integers(1, 900).map(float), min_size=6, max_size=6),
    st.lists(st.integers(-5, 45).map(float), min_size=9, max_size=9),
    st.integers(1, 30),
)
def test_savings_are_never_negative_whatever_the_weather(
    values: list[float], outside_c: list[float], count: int
) -> None:
    """As above, with a temperature that changes at times of its own."""
    grams = []
    for policy in (Interruptible(), NonInterruptible(), AtOnce()):
        grid = Given([*(12.0 * n for n in range(6)), 1e9], values)
        outside = Given([*(7.0 * n for n in range(9)), 1e9], outside_c)
        client = deferring([0.0] * count, policy, wait_s=70.0)
        place = sites(grid, pue=WARMTH, outside=outside)
        grams.append(work_g(run(client=client, sites=place, observers=[Ledger(catalogue())])))
    assert grams[0] <= grams[1] * (1 + 1e-9)
    assert grams[1] <= grams[2] * (1 + 1e-9)


# ---- several clients ----


def test_clients_side_by_side_change_nothing_of_each_other() -> None:
    chat = [(0.5 * n, 1 + n % 3, 2) for n in range(9)]
    alone = run(chat)
    beside = run(
        client=Together({"chat": trace(chat), "batch": deferring([1.0], AtOnce())}),
        sites=sites(GRID),
    )
    kept = [row for row in beside.rows if row["kind"] != "batch"]
    sizes = [(row["arrival_s"], row["prompt_tokens"]) for row in alone.rows]
    assert [(row["arrival_s"], row["prompt_tokens"]) for row in kept] == sizes


def test_each_hears_of_its_own_requests() -> None:
    """Two closed loops, one of them with requests that are rejected at once."""
    loops = {
        "one": ClosedLoop(Listed([Demand(1, 3, kind="one")] * 5), 1),
        "two": ClosedLoop(Listed([Demand(n, 2, kind="two") for n in (1, 90, 90, 1)]), 1),
    }
    outcome = run(client=Together(loops), context_tokens=50)
    rows = outcome.rows
    assert sum(row["kind"] == "one" for row in rows) == 5
    assert sorted(row["status"] for row in rows if row["kind"] == "two") == [
        "finished", "finished", "rejected", "rejected",
    ]  # fmt: skip


# ---- bad input ----


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"wait_s": 0.0}, r"client\.wait_s: 0\.0; a deadline lies after"),
        ({"wait_s": -3.0}, r"client\.wait_s: -3\.0"),
        ({"wait_s": 10.0, "gather_s": 6.0, "serve_s": 4.0}, r"gather_s \+ serve_s = 10 s"),
        ({"rate_rps": 0.0}, r"client\.rate_rps: 0\.0"),
        ({"most_unfinished": 0}, r"client\.most_unfinished: 0"),
        ({"replan_s": 0.0}, r"client\.replan_s: 0\.0"),
        ({"gather_s": -1.0}, r"client\.gather_s: -1\.0"),
    ],
)
def test_settings_are_checked(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        deferring([0.0], AtOnce(), **keys)


def test_sites_are_needed_and_must_be_known() -> None:
    with pytest.raises(ConfigError, match="asks for sites"):
        run(client=deferring([0.0], AtOnce()))
    with pytest.raises(ConfigError, match=r"client\.site: no replica at 'moon'; home"):
        run(client=deferring([0.0], AtOnce(), site="moon"), sites=sites(GRID))
    with pytest.raises(ConfigError, match="name at least one"):
        Together({})


def test_a_signal_that_ends_before_a_deadline_is_named() -> None:
    short = Given([0.0, 30.0], [100.0], "short")
    said = (
        r"^client\.wait_s: .* 0 s .* 40 s, by the forecast of sites\.home; short: is known from 0"
    )
    with pytest.raises(TraceError, match=said):
        run(client=deferring([0.0], Interruptible()), sites=sites(short))
    clients = {"batch": deferring([0.0], Interruptible())}
    with pytest.raises(TraceError, match=r"^client\.clients\.batch\.wait_s: "):
        run(client=Together(clients), sites=sites(short))


# ---- configurations ----


@pytest.mark.parametrize("policy", POLICIES.values())
def test_the_shipped_client_runs(policy: str) -> None:
    words = [
        "client=deferred",
        f"shifting@client.clients.batch.shifting={policy}",
        "workload.count=20",
    ]
    result = run_config(compose([*words, "client.clients.batch.workload.count=20"]))
    assert result["serving.requests_finished"] == 40
    assert result["serving.batch.deferred.late"] == 0


def test_the_forecast_is_right_of_now_and_off_later() -> None:
    truth = GRID.signal
    wrong = Forecast(truth, 0.5, lambda: np.random.default_rng(1), lambda: 12.0)
    edges, values = wrong.pieces(12.0, 35.0)
    assert edges.tolist() == [12.0, 20.0, 30.0, 35.0]
    assert values[0] == 100.0
    assert values[1] != 200.0
    assert wrong.pieces(12.0, 35.0)[1].tolist() == values.tolist()
    perfect, flat = (
        Forecast(given.signal, 0.0, lambda: pytest.fail("drawn"), lambda: 12.0)
        for given in (GRID, Given([0.0, 1e6], [300.0]))
    )
    edges, values = JointForecast([perfect, flat], "mean").pieces(5.0, 25.0)
    assert edges.tolist() == [5.0, 10.0, 20.0, 25.0]
    assert values.tolist() == [300.0, 200.0, 250.0]
