"""A run that goes on idle: by hand, what it leaves alone, and one end for all that are compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jobs_kit
import pytest
from carbon_kit import GPU_G_PER_S, NODE_G_PER_S, PUE, Given, accounted, catalogue, sites
from hypothesis import given
from hypothesis import strategies as st
from jobs_kit import POLICIES, job
from scenarios import Scenario, scenarios
from serving_kit import IDLE_W, NODE_W, PEAK_W, Listed, Outcome, simulate

from models.constant_cost import ConstantCost
from models.errors import TraceError
from policies.shifting.at_once import AtOnce
from policies.shifting.lets_wait_awhile import Interruptible
from sim.carbon.ledger import Ledger
from sim.core.errors import ConfigError, Stalled
from sim.core.simulation import Simulation
from sim.hardware.faults import Fault
from sim.serving.deferral import Deferring
from workloads.arrivals import TraceTimes
from workloads.demand import Demand

STANDS_W = IDLE_W + NODE_W


def test_the_books_go_on_idle_by_hand() -> None:
    """Three steps of a second, then 97 s of idle power at a milligram a joule."""
    outcome = simulate([(0.0, 1, 3)], idle_until_s=100.0, log=False, **accounted())
    figures = outcome.result
    assert figures["simulated_s"] == 100.0
    assert figures["energy_j"] == pytest.approx(100 * STANDS_W + 3 * (PEAK_W - IDLE_W))
    assert figures["carbon.operational_g"] == pytest.approx(figures.number("energy_j") * PUE / 1e3)
    assert figures["carbon.embodied_g"] == pytest.approx(100 * (NODE_G_PER_S + GPU_G_PER_S))
    assert outcome["e2e_latency_s.mean"] == 3.0
    assert outcome["request_throughput_rps"] == 0.01


def test_a_run_that_is_longer_ends_with_its_work() -> None:
    plain, idle = (simulate([(0.0, 1, 3)], idle_until_s=end_s, log=False) for end_s in (None, 2.5))
    assert idle.result.summary == plain.result.summary
    assert idle.result["simulated_s"] == 3.0


@given(scenarios(regions=False), st.floats(0.5, 40.0))
def test_requests_are_none_the_wiser(scenario: Scenario, end_s: float) -> None:
    """The same requests in both modes, with all facts heard and without; the books balance."""
    scenario = replace(scenario, until_s=None)
    plain = scenario.run("jump", log=False)
    lasted_s = plain.result.number("simulated_s")
    runs = [
        scenario.run(mode, log=log, idle_until_s=end_s, **extra)
        for mode in ("jump", "step")
        for log, extra in ((False, {}), (True, accounted()), (True, {"series_interval_s": 0.5}))
    ]
    for run in runs:
        assert run.table("requests") == plain.table("requests")
        assert run.result["simulated_s"] == pytest.approx(max(lasted_s, end_s), rel=1e-9)
        assert run.result.number("energy_j") == pytest.approx(runs[0].result.number("energy_j"))
    for alone, *watched in (runs[:3], runs[3:]):
        for each in watched:
            assert alone.result.summary.items() <= each.result.summary.items()


def _deferred(policy: Any, **keys: Any) -> Outcome:
    """Five requests at 0 s, served one a second; from 10 to 20 s the grid is at its cleanest."""
    grid = Given([0.0, 10.0, 20.0, 1e6], [300.0, 100.0, 200.0])
    demands = [Demand(1, 2, 0.0, "batch")] * 5
    client = Deferring(Listed(demands), TraceTimes(), policy, 40.0, 1.0, 100)
    cost, ledger = ConstantCost(0.125), Ledger(catalogue())
    watched = {"sites": sites(grid), "observers": [ledger]}
    return simulate(client=client, cost=cost, log=False, **watched, **keys)


def test_one_end_leaves_the_difference_that_policies_make() -> None:
    """Alone, the one that waits books ten seconds more of idle power; to one end both draw as much,
    and the grams saved are those of the work, moved from 300 to 100 g/kWh."""
    policies = (AtOnce(), Interruptible())
    once, waits = (_deferred(policy).result for policy in policies)
    more_j = waits.number("energy_j") - once.number("energy_j")
    assert more_j == pytest.approx(10 * STANDS_W)
    once, waits = (_deferred(policy, idle_until_s=60.0).result for policy in policies)
    assert once["energy_j"] == pytest.approx(waits.number("energy_j"))
    saved_g = once.number("carbon.operational_g") - waits.number("carbon.operational_g")
    work_j = 5 * 2 * 0.125 * (PEAK_W - IDLE_W)
    assert saved_g == pytest.approx(work_j * PUE * 200.0 / 3.6e6)


@pytest.mark.parametrize("policy", POLICIES)
def test_to_one_end_sites_differ_by_what_jobs_add(policy: str) -> None:
    jobs = [job(2.0, 30.0), job(3.0, 40.0, 5.0), job(1.0, 20.0, 6.0)]
    grid = [300.0, 200.0, 100.0, 150.0, 400.0, 250.0, 120.0, 90.0] * 12
    once, other = (
        jobs_kit.run(
            jobs,
            grid,
            POLICIES[name],
            idle_until_s=3600.0 * 60,
            metered=False,
            observers=[Ledger(catalogue())],
        )
        for name in ("at once", policy)
    )
    for of in ("energy_j", "operational_g"):
        site = [sum(row[of] for row in ran.table("carbon")) for ran in (once, other)]
        jobs_ = [
            sum(row[of] for row in ran.table("carbon") if row["account"] != "idle")
            for ran in (once, other)
        ]
        assert site[0] - site[1] == pytest.approx(jobs_[0] - jobs_[1], abs=1e-6 * site[0])


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(ConfigError, match=r"idle_until_s: -1\.0 is not a time > 0"):
        Simulation(idle_until_s=-1.0)
    for odd in ([1.0], True, "soon"):
        with pytest.raises(ConfigError, match=r"idle_until_s: .* is not a time > 0"):
            Simulation(idle_until_s=odd)  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match=r"idle_until_s: 9\.0, but until_s ends the run at 5\.0 s"
    ):
        Simulation(until_s=5.0, idle_until_s=9.0)
    short = Given([0.0, 20.0], [100.0], "short")
    with pytest.raises(TraceError, match=r"short ends at 20 s of the run, which goes on to 50 s"):
        simulate([(0.0, 1, 1)], idle_until_s=50.0, **accounted(short))
    down = Fault(time_s=1.0, target="node0/gpu0", kind="fail")
    with pytest.raises(Stalled, match="work unfinished in: serving"):
        simulate([(0.0, 1, 9)], idle_until_s=50.0, faults=[down])
