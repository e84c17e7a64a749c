"""The claims of Cora: settings, plans, measures by hand, and that all can be judged and drawn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.reproduce.claim import Plot
from experiments.reproduce.papers import paper
from experiments.reproduce.papers.cora import (
    PAPER,
    anchors,
    bindings,
    changes,
    cores,
    crossover,
    migration,
    model_error,
    runtime,
    searches,
    sweeps,
    tenant,
    threads,
    throughput,
)
from experiments.reproduce.papers.cora.changes import Followed
from experiments.reproduce.papers.cora.cores import Saved, Use
from experiments.reproduce.papers.cora.plans import (
    AGILIO,
    BLUEFIELD,
    CORA,
    CPU_ONLY,
    NAIVE,
    best_plans,
    cpu_only,
    saving,
    traffic,
)
from experiments.reproduce.papers.cora.points import Case, simulate
from experiments.reproduce.papers.cora.reference import LONG
from experiments.reproduce.plots import picture
from experiments.reproduce.workers import Workers
from models.network_functions.plan import Plan
from policies.partition.goals import FewestCores
from sim.dataplane.facts import FlowMoved, PacketLeft

# ---- settings and plans


def test_traffic_is_at_80_percent_of_the_line():
    assert traffic(AGILIO).rate_pps == pytest.approx(0.8 * 5e9 / 276)
    assert traffic(BLUEFIELD, size=108.0).rate_pps == pytest.approx(0.8 * 12.5e9 / 128)


def test_a_point_is_its_plan():
    """The host alone: no block on the NIC, which the sides do not say."""
    case = Case("nat", AGILIO, traffic(AGILIO))
    alone = cpu_only(case)
    point = case.under(alone.plan)
    assert len(point.at_host) == 6
    assert point.cost().host_cycles == alone.host_cycles
    some = case.under(Plan("CCC", 0.0, (True,) * 6))
    assert some.cost().host_cycles < alone.host_cycles


def test_best_plans_and_what_they_save():
    case = Case("upf", AGILIO, traffic(AGILIO, 20.0))
    found = best_plans(case, FewestCores())
    assert found[CORA].plan.sides == "SNNR"
    assert saving(case, found[CORA]) == pytest.approx(77.3, abs=0.5)
    assert saving(case, found[CORA]) > max(saving(case, found[way]) for way in NAIVE)
    assert saving(case, found[CPU_ONLY]) == 0.0
    assert saving(case, None) == 0.0


def test_ways_that_do_not_hold_the_rate_are_missing():
    """At 80 % of 40 Gb/s in 64-byte packets PCIe carries no more than 36 of 47.6 million."""
    found = best_plans(Case("firewall", AGILIO, traffic(AGILIO, size=64.0)), FewestCores())
    assert CPU_ONLY not in found
    assert CORA in found


def test_packets_save_what_the_model_says():
    case = Case("load_balancer", AGILIO, traffic(AGILIO, flows=1e5))
    found = best_plans(case, FewestCores())
    seen = {}
    for way in (CPU_ONLY, CORA):
        point = case.under(found[way].plan)
        figures = simulate(point, case.profile.rate_pps, bursts=4000, fixed_cores=None)
        assert figures["drop_share"] == 0.0
        seen[way] = figures["busy_cores"]
    percent = 100.0 * (1.0 - seen[CORA] / seen[CPU_ONLY])
    assert percent == pytest.approx(saving(case, found[CORA]), abs=3.0)


# ---- measures by hand


def test_a_plan_that_drops_saves_nothing():
    key, idle = (AGILIO, LONG, "nat"), Use(1.0, 0.1, 0.0)
    found = {
        (*key, CPU_ONLY): Saved("CCC", 0.0, [Use(2.0, 0.1, 0.0), Use(4.0, 0.1, 0.0)], idle),
        (*key, CORA): Saved("SCS", 50.0, [Use(1.0, 0.1, 0.0), Use(2.0, 0.1, 0.0)], idle),
    }
    assert cores.simulated(found, (*key, CORA)).value == 50.0
    assert cores._most_dropped(found).value == 0.0
    some = [Use(1.0, 0.1, 0.0), Use(2.0, 0.1, 0.1)]
    found[*key, CORA] = Saved("SCS", 50.0, some, idle)
    assert cores.simulated(found, (*key, CORA)).samples == (50.0, 0.0)
    assert cores._most_dropped(found).samples == (0.0, 10.0)
    # What the queues hid in packets.
    later = Saved("SCS", 50.0, [Use(1.0, 0.1, 0.0)] * 2, Use(1.0, 0.1, 0.02))
    found[*key, CORA] = later
    assert cores.simulated(found, (*key, CORA)).value == 0.0
    assert cores._most_dropped(found).value == pytest.approx(2.0)
    assert cores.simulated(found, (*key, "by state")).value == 0.0


def test_rates_and_packets_apart_by_hand():
    packets = [Use(1.0, 0.2, 0.0), Use(3.0, 0.2, 0.0)]
    found = {
        (AGILIO, LONG, "nat", CORA): Saved("SCS", 50.0, packets, Use(2.06, 0.2, 0.0)),
        (AGILIO, LONG, "upf", CORA): Saved("NNNR", 50.0, packets, Use(2.0, 0.19, 0.0)),
        # Hardly any work.
        (AGILIO, LONG, "firewall", CORA): Saved(
            "NNN", 50.0, [Use(0.01, 0.2, 0.0)], Use(0.02, 0.2, 0.0)
        ),
    }
    assert cores._rates_apart(found).value == pytest.approx(5.0)


def test_a_plan_is_followed_in_rates_for_longer_than_its_queues_last():
    """All entries of the UPF are too many for the channel; its queue alone takes 4 ms of them."""
    profile = traffic(AGILIO, 20.0, flows=1e5)
    point = Case("upf", AGILIO, profile).under(Plan("NNNR", 0.0, (True,) * 7))
    lost = crossover._expected(20.0) / 100.0
    assert cores.follow(point).dropped == pytest.approx(lost, rel=0.1)


def test_lost_insertions_by_hand():
    """14.49 Mpkt/s in flows of 10 packets are 1.449 M flows/s; half a million can be inserted."""
    rate = 0.8 * 5e9 / 276
    assert crossover._expected(10.0) == pytest.approx(100.0 * (rate / 10.0 - 5e5) / rate)
    assert crossover._expected(40.0) == 0.0
    assert crossover.lost((7.0, 1)) == pytest.approx(crossover._expected(7.0) / 100.0, rel=0.15)


def test_ratio_of_savings_in_packets():
    found = {
        CPU_ONLY: [(10.0, 0.0)] * 3,
        "by state": [(8.0, 0.0)] * 3,
        "by traffic": [(1.0, 0.01)] * 3,
        CORA: [(6.0, 0.0)] * 3,
    }
    assert crossover._ratio_in_packets(found).value == pytest.approx(2.0)


def followed(busy, dropped):
    count = len(busy)
    every = np.ones(count)
    return Followed(
        0.1 * np.arange(1, count + 1),
        np.array(busy, dtype=float),
        every,
        np.array(dropped, dtype=float),
        1e3 * every,
        1.0,
    )


def test_times_after_a_change_by_hand():
    """Ten seconds at 1 core; then 3 cores for two seconds, 2 from there on; drops for 0.7 s."""
    run = followed([1.0] * 100 + [3.0] * 20 + [2.0] * 80, [0.0] * 100 + [50.0] * 7 + [0.5] * 93)
    assert runtime.settled_s(run, 1) == 2.0
    assert runtime.dropping_s(run, 1) == pytest.approx(0.7)
    assert runtime.settled_s(run, 0) == runtime.dropping_s(run, 0) == 0.0
    assert runtime._drops(run, 1) == pytest.approx((7 * 5.0 + 93 * 0.05) / 100)


def test_traffics_that_follow_each_other():
    every = changes.phases()
    assert len(every) == len(changes.CHANGES) + 1
    assert every[changes.SHORTER].profile.packets_per_flow == 10.0
    assert every[3].profile.rate_pps == pytest.approx(1.5 * every[0].profile.rate_pps)
    assert [phase.reshuffled for phase in every] == [0.0, 0.0, 0.0, 0.0, 0.1]


def test_bounds_and_mean_values_of_few_threads():
    """384 cycles issued, 672 waited but for what is in the engine's cache; the recursion by
    hand."""
    found = threads.predicted(threads.EVEN, 1, "asymptotic")
    assert found == pytest.approx(8e8 / 1056, rel=0.01)
    assert threads.predicted(threads.EVEN, 8, "asymptotic") == pytest.approx(8e8 / 384)
    queue = rate = 0.0
    for n in range(1, 5):
        response = 384 * (1 + queue)
        rate = n / (response + 8e8 / found - 384)
        queue = rate * response
    assert threads.predicted(threads.EVEN, 4, "mva") == pytest.approx(8e8 * rate)


# ---- moves


def seen(left, moves):
    made = object.__new__(migration.Observed)
    made.left, made.moves = left, moves
    return made


def packet(time_s, flow, number, kind):
    return PacketLeft(time_s, flow, number, kind, 1e-6)


def test_errors_by_what_binds_by_hand():
    def point(binding, error):
        return SimpleNamespace(binding=binding, rate_error=error)

    seeds = [
        [point("pcie bytes", 0.0), point("pcie packets", 0.0), point("memory EMEM", -0.06)],
        [point("pcie bytes", 0.0), point("pcie packets", 0.02), point("memory EMEM", 0.08)],
    ]
    mean, worst = (bindings.by_binding(seeds, which) for which in (0, 1))
    assert list(mean) == ["PCIe (one server), 2 of 3", "NIC memory engine, 1 of 3"]
    assert [each.value for each in mean.values()] == pytest.approx([0.5, 7.0])
    assert [each.value for each in worst.values()] == pytest.approx([1.0, 7.0])
    # Every resource of the model has its kind.
    for nic in (AGILIO, BLUEFIELD):
        cost = cpu_only(Case("ipsec_gateway", nic, traffic(nic)))
        for name in (*cost.nic.seconds, "host cores", "host memory"):
            assert bindings.kind(name)


def test_misrouted_and_reordered_packets_are_counted():
    moves = [FlowMoved(1.0, 1.1, 7, True, 0, "a"), FlowMoved(2.0, 2.1, 7, False, 0, "a")]
    right = [
        packet(0.9, 7, 1, "EM"),
        packet(1.2, 7, 2, "EH"),
        packet(2.2, 7, 3, "EM"),
        packet(0.5, 8, 4, "EH"),
        packet(2.5, 8, 5, "EH"),
    ]
    assert seen(right, moves).misrouted() == 0
    assert seen(right, moves).reordered() == 0
    late = PacketLeft(2.4, 8, 9, "EM", 0.2)
    wrong = [*right[:1], packet(1.2, 7, 2, "EM"), packet(2.3, 8, 6, "EH"), late]
    assert seen(wrong, moves).misrouted() == 2
    assert seen(wrong, moves).reordered() == 1


def test_lost_updates_are_counted():
    run = migration.Observed([50.0, 200.0], 6e-3, 1)
    assert run.lost() == run.misrouted() == run.reordered() == 0
    assert run.moves
    alive = next(p.flow for p in run.left if p.flow not in run.system.path.counts.over)
    run.left = [p for p in run.left if p.flow != alive or p.kind == "N"][:]
    lost = run.system.path.entries.read(alive)
    kept = sum(p.flow == alive for p in run.left)
    assert run.lost() == (lost - kept if kept else 0)
    run.left.append(packet(1.0, alive, 10**9, "EM"))
    assert run.lost() == abs(kept + 1 - lost)


# ---- claims and pictures


FAKES = {
    anchors.measure: lambda item: anchors.MEASURED[item],
    model_error.compare: lambda item: SimpleNamespace(
        binding="host cores" if item[0].profile.flows > 5e5 else "line",
        rate_error=0.01,
        mva_error=-0.01,
        cores_error=0.02,
        utilisation_error=0.0,
        own_error=0.4,
    ),
    cores.run: lambda item: Use(1.0 + 0.1 * item[1], 0.1, 0.0),
    cores.follow: lambda item: Use(1.0, 0.1, 0.0),
    sweeps._cuts: lambda item: [
        sweeps.Cut(
            {CPU_ONLY: 0.0, "by state": 20.0, "by traffic": 30.0 - i % 3, CORA: 50.0},
            {CPU_ONLY: 4.0, "by state": 3.0, "by traffic": 2.5, CORA: 2.0},
        )
        for i in range(len(item))
    ],
    crossover.lost: lambda item: crossover._expected(item[0]) / 100.0,
    crossover.run_ahead: lambda item: (1.0 + 3.0 * (item[0] == CPU_ONLY), 0.0),
    throughput.run: lambda item: item[2] * (1.0 + 0.01 * item[3]),
    searches.search: lambda item: searches.Search(
        (1.0, 1.0), (1.0, 1.0), 10, searches.PLANS.get(item[1], 1e9), 0.5
    ),
    threads.simulate: lambda item: 1e6 * item[2],
    changes.follow: lambda item: followed([1.0] * 500, [0.0] * 500),
    migration.move_both_ways: lambda item: migration.Moved(9, 9, 9, 0, 0, 0, 0),
    migration.leave: lambda item: (2.0, 1.0),
    tenant.beside: lambda item: tenant.Shared(30.0, 2.0, 127e9, 1e9),
}


@pytest.fixture(scope="module")
def made_up() -> dict[object, object]:
    """Data of every study, by study: nothing is simulated."""

    class Made(Workers):
        """Gives made-up figures for what a study maps."""

        def map(self, function, items):  # type: ignore[no-untyped-def,override]
            return [FAKES[function](item) for item in items]

    with Made(1) as workers:
        return {study: study.run(workers) for study in {claim.study for claim in PAPER.claims}}


def test_every_claim_can_be_judged(made_up):
    assert paper("cora") is PAPER
    for claim in PAPER.claims:
        judged = claim.accepted.judge(claim.measure(made_up[claim.study]), claim.unit)
        assert judged.simulated, claim.id


@pytest.mark.parametrize("plot", PAPER.plots, ids=lambda plot: plot.name)
def test_every_plot_draws(plot: Plot[object], made_up):
    assert picture(plot, made_up[plot.study]).startswith(b"\x89PNG")


def test_sweeps_have_all_that_claims_ask_for():
    todo = sweeps.places(full=False)
    assert len(todo) == len(set(todo))
    assert crossover.AHEAD in todo
    assert set(sweeps.places(full=True)) > set(todo)
    assert sum(key[1] not in searches.CHAINS for key in _keys()) == searches.COUNT


def _keys():
    class Kept(Workers):
        """Keeps what was asked for."""

        def map(self, function, items):  # type: ignore[no-untyped-def,override]
            self.asked = list(items)
            return [None] * len(self.asked)

    with Kept(1) as workers:
        searches.study(workers)
        return workers.asked


def test_plans_of_nat_by_hand():
    """Entries of flows N, S or C, twice; ports N or C: 18 sides, 8 of them without a split, 9
    numbers for the others; six blocks."""
    nat = Case("nat", AGILIO, traffic(AGILIO))
    assert searches.plans(nat) == (8 + 9 * 10) * 2**6
