"""Energy and carbon of data paths: whose every joule and gram is."""

from __future__ import annotations

from collections import defaultdict
from math import fsum

import pytest
from carbon_kit import Given, sites
from dataplane_kit import Run, Scripted, profile
from network_function_kit import function, part

from models.network_functions.plan import plan
from sim.carbon.ledger import Ledger

#: A mean of two levels, and four steps of the ledger in a run.
UNTIL_S = 0.016
GRID = Given([0.0, 0.004, 0.008, 0.012, 1e9], [3600.0, 1800.0, 7200.0, 3600.0])


def accounts(rates: bool, others: bool = False, **settings):
    """Joules, operational and embodied grams by component and tenant; and the run."""
    catalogue = part("carbon/embodied", "catalogue")
    run = Run(
        **{
            "program": "nat",
            "traffic": profile(rate_pps=8e6),
            "packets": None,
            "until_s": UNTIL_S,
            "rates": rates,
            "burst": 1 if rates else 8,
            "monitor": {"interval_s": 1e-3},
            "steering": "any",
            "log": False,
            "sites": sites(GRID),
            **settings,
        }
    )
    run.simulation.observe(Ledger(catalogue))
    if others:
        run.simulation.at(
            0.003,
            lambda _: run.cluster.nodes[0].cpu.task(
                core_seconds=8 * 0.006, cores_wanted=8.0, tenant="training"
            ),
        )
    figures = run.go()
    books: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    result = run.simulation.results.close({}, {})
    for row in result._tables["carbon"].to_pylist():
        for i, key in enumerate(("energy_j", "operational_g", "embodied_g")):
            books[row["component"], row["tenant"]][i] += row[key]
    return run, figures, dict(books), result


def plans():
    nat = function("nat")
    return Scripted(plan(nat, "SCS", 2000.0), plan(nat, "CCC"), plan(nat, "SCS", 9000.0), nodes=20)


@pytest.mark.parametrize("rates", [False, True])
def test_every_joule_and_gram_is_somebodys_once(rates):
    """Through changes of plan, with another tenant on the host for a while."""
    run, _, books, result = accounts(rates, others=True, policy=plans(), decide_s=4e-3)
    node = run.cluster.nodes[0]
    assert {tenant for _, tenant in books} == {"dataplane", "training", "idle"}
    whole = [fsum(sums[i] for sums in books.values()) for i in range(3)]
    assert whole[0] == pytest.approx(run.cluster.energy_j(UNTIL_S), rel=1e-9)
    # A joule is so many milligrams; PUE 1.5 on top. Steps are as long as each other.
    lives = part("carbon/embodied", "catalogue").node(node.spec)
    made_g = fsum(life.accrued_g(0.0, UNTIL_S) for life in lives.values())
    assert whole[2] == pytest.approx(made_g, rel=1e-9)
    assert whole[1] == pytest.approx(result["carbon.operational_g"], rel=1e-9)
    rows = result._tables["carbon"].to_pylist()
    for number, factor in enumerate((1.0, 0.5, 2.0, 1.0)):
        step = [row for row in rows if row["start_s"] == 0.004 * number]
        assert {row["end_s"] for row in step} == {0.004 * (number + 1)}
        energy_j, grams = (fsum(row[key] for row in step) for key in ("energy_j", "operational_g"))
        assert grams == pytest.approx(1.5e-3 * factor * energy_j, rel=1e-9)
    # Work of the NIC is the data path's alone, and the NIC is its own.
    assert {tenant for component, tenant in books if component == "smartnic"} == {"dataplane"}
    # The other tenant: 8 of 32 cores for 6 ms.
    spec = node.cpu.spec
    worked_j = (spec.peak_w - spec.idle_w) * 8 / 32 * 0.006
    stood_j = spec.idle_w * 8 / 32 * 0.006
    assert books["cpu", "training"][0] == pytest.approx(worked_j + stood_j, rel=1e-9)
    assert books["host", "training"][0] == pytest.approx(100.0 * 8 / 32 * 0.006, rel=1e-9)


@pytest.mark.parametrize("rates", [False, True])
def test_cores_that_poll_are_the_data_paths_and_the_rest_idle(rates):
    run, figures, books, _ = accounts(rates, sides="CCC", fixed_cores=4)
    node = run.cluster.nodes[0]
    cpu, nic = node.cpu.spec, node.smartnic
    share = 4 / 32
    drawn_j = (cpu.peak_w - cpu.idle_w) * share * UNTIL_S
    stood_j = cpu.idle_w * UNTIL_S
    assert books["cpu", "dataplane"][0] == pytest.approx(drawn_j + share * stood_j, rel=1e-9)
    assert books["cpu", "idle"][0] == pytest.approx((1 - share) * stood_j, rel=1e-9)
    for component in ("cpu", "dram", "drives", "host"):
        mine, rest = books[component, "dataplane"][2], books[component, "idle"][2]
        assert mine == pytest.approx(share * (mine + rest), rel=1e-9)
    assert books["smartnic", "dataplane"][0] == pytest.approx(nic.meter.energy_j(UNTIL_S), rel=1e-9)
    worked_j = (nic.spec.peak_w - nic.spec.idle_w) * figures["utilisation.cores"] * UNTIL_S
    assert nic.meter.dynamic_j(UNTIL_S) == pytest.approx(worked_j, rel=1e-9)
    assert nic.meter.dynamic_j(UNTIL_S) > 0.0


@pytest.mark.parametrize("rates", [False, True])
def test_methods_of_attribution_hand_out_all_of_it(rates):
    _, _, books, result = accounts(rates, others=True, policy=plans(), decide_s=4e-3)
    whole = fsum(sums[1] + sums[2] for sums in books.values())
    handed: dict[str, dict[str, float]] = defaultdict(dict)
    for row in result._tables["carbon_attribution"].to_pylist():
        handed[row["method"]][row["account"]] = row["grams"]
    assert set(handed) == {"usage_and_reservation", "spread", "usage", "equal", "shapley"}
    for method, grams in handed.items():
        assert fsum(grams.values()) == pytest.approx(whole, rel=1e-9), method
        assert min(grams["dataplane"], grams["training"]) > 0.0, method
    # Who comes for a while makes the peak.
    assert handed["shapley"]["training"] > handed["usage"]["training"]
    booked = fsum(sums[1] + sums[2] for (_, who), sums in books.items() if who == "dataplane")
    assert handed["usage_and_reservation"]["dataplane"] == pytest.approx(booked, rel=1e-9)
    assert result["dataplane.carbon_g"] == pytest.approx(booked, rel=1e-9)
    assert handed["usage_and_reservation"]["idle"] > 0.0
    assert "idle" not in handed["spread"]
