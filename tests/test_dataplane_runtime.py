"""Changes while packets go on: moves of flows, changes of plan, cores, estimates, other tenants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dataplane_kit import Run, Scripted, profile
from hypothesis import given, settings
from hypothesis import strategies as st
from network_function_kit import agilio, bluefield, function

from experiments.compose import compose
from models.errors import LawBroken, Stalled
from models.network_functions.plan import Plan, plan
from models.network_functions.program_text import program
from models.network_functions.traffic import TrafficProfile
from policies.partition.adaptive import Adaptive, Oracle
from policies.partition.contract import Decision
from policies.partition.goals import FewestCores
from sim.core.run import run as run_config
from sim.dataplane.change_time import change_s
from sim.dataplane.copies import copy_rounds
from sim.dataplane.facts import EpochEnded, PlanCarriedOut
from sim.dataplane.places import Places
from sim.dataplane.transition import entries_per_flow, stages
from sim.hardware.faults import Fault, Faults
from workloads.demand import Packet
from workloads.packets.zipf_flows import Phase


def check_no_update_lost(run: Run) -> None:
    """Of flows that go on, the entries hold as many updates as packets have left; nothing was
    dropped, so these are all."""
    path = run.system.path
    assert path.counts.all_dropped == 0
    left = run.log.by_flow()
    alive = set(left) - path.counts.over
    assert alive
    for flow in alive:
        assert path.entries.read(flow) == left[flow], flow


def test_flows_move_both_ways_without_loss_or_reordering():
    """The number of flows at the NIC goes up and down while flows end and begin."""
    nat = function("nat")
    plans = [plan(nat, "SCS", k) for k in (200.0, 1500.0, 50.0, 800.0)]
    run = Run(
        "nat",
        traffic=profile(flows=2000.0, rate_pps=1e6, zipf_exponent=0.6),
        policy=Scripted(*plans),
        packets=40_000,
        decide_s=8e-3,
        steering="any",
    )
    figures = run.go()
    assert figures["plans"] == 4
    assert figures["flows_moved"] > 3000
    run.check_conserved()
    run.log.check_order()
    check_no_update_lost(run)
    assert figures["packets_held"] == sum(fact.held for fact in run.log.moved) > 0
    assert figures["packets_reordered"] == figures["packets_misrouted"] == 0
    assert {fact.to_nic for fact in run.log.moved} == {True, False}
    for fact in run.log.moved:
        # At least a round trip over PCIe, and an insertion for each entry.
        assert fact.end_s - fact.start_s > 2e-6 + 3 / 1e6
    path = run.system.path
    # Two entries of 64 bytes and one of 32, each with what the bus adds.
    each_bytes = 2 * (64 + 60) + 32 + 60
    assert path.crossing.moved_bytes == figures["flows_moved"] * each_bytes
    busy_s = path.stations.up.busy_s + path.stations.down.busy_s
    crossed_s = 2 * path.counts.crossed * (256 + 60) / 6.25e9
    assert busy_s == pytest.approx(crossed_s + path.crossing.moved_bytes / 6.25e9)


@settings(max_examples=15)
@given(
    st.sampled_from([("nat", "SCS", 0.0), ("flow_monitor", "SRC", 2.0), ("upf", "SSSS", 0.0)]),
    st.lists(st.sampled_from([1.0, 20.0, 90.0, 200.0]), min_size=2, max_size=5),
    st.sampled_from([3.0, 30.0]),
    st.sampled_from([1.0, 5.0]),
    st.integers(1, 1000),
)
def test_every_update_is_in_the_entries_however_flows_move(case, numbers, length, every_ms, seed):
    """Packets of a flow that goes on are as many as its entries say, wherever they were meanwhile;
    of counters that both sides keep, copies and what was merged are all additions."""
    name, sides, adds = case
    made = function(name)
    run = Run(
        name,
        traffic=profile(flows=200.0, rate_pps=2e5, packets_per_flow=length, zipf_exponent=0.7),
        policy=Scripted(*[plan(made, sides, number) for number in numbers]),
        packets=3000,
        decide_s=every_ms * 1e-3,
        limits={"nic": 4096, "moving": 4096},
        monitor={"interval_s": 1e-3},
        seed=seed,
    )
    figures = run.go()
    run.check_conserved()
    run.log.check_order()
    check_no_update_lost(run)
    assert figures["packets_reordered"] == figures["packets_misrouted"] == 0
    entries = run.system.path.entries
    assert entries.merged + sum(entries.added) == adds * run.system.path.counts.all_left
    assert not set(entries.counts[0]) & set(entries.counts[1])


def test_drops_amid_moves_lose_no_update_and_no_order():
    """Full queues drop packets between others of their flow that are still under way."""
    nat = function("nat")
    run = Run(
        "nat",
        traffic=profile(flows=30.0, rate_pps=6e6, zipf_exponent=1.2, packets_per_flow=200.0),
        policy=Scripted(*[plan(nat, "SCS", k) for k in (3.0, 25.0) * 8]),
        packets=20_000,
        decide_s=2e-4,
        limits={"ring": 4, "moving": 8},
        fixed_cores=2,
    )
    figures = run.go()
    assert figures["packets_dropped"] > 500
    assert figures["flows_moved"] > 100
    run.check_conserved()
    run.log.check_order()
    entries = run.system.path.entries
    assert not set(entries.counts[0]) & set(entries.counts[1])


def test_flows_whose_last_packet_is_lost_leave_the_nic():
    """More than the port takes: of the flows at the NIC only those are over whose entries are on
    their way out."""
    run = Run(
        "nat",
        "SCS",
        profile(rate_pps=8e6, flows=2000.0),
        offloaded=500.0,
        nic=replace(agilio(), packets_per_s=5.4e6),
        packets=40_000,
        log=False,
    )
    gone, at_nic = [], []

    def look(_):
        path = run.system.path
        at_nic.append(len(path.entries.at_nic))
        gone.append(sum(not path.known(flow) for flow in path.entries.at_nic))

    for time_s in np.arange(1e-3, 5e-3, 1e-3):
        run.simulation.at(time_s, look)
    figures = run.go()
    run.check_conserved()
    assert figures["drop_share.wire"] > 0.2
    # Of 2,000 flows that end, 500 are at the NIC, and a fifth of their last packets are lost.
    assert max(gone) < 10
    assert 400 < min(at_nic) <= max(at_nic) <= 520


def test_the_nic_takes_as_many_flows_as_its_memory_has_room_for():
    """Each flow has two entries of 64 bytes and one of 32, in tables loaded to three quarters."""
    small = agilio()
    large = [each for each in small.memory_levels if each.name == "EMEM"]
    nic = replace(small, memory_levels=[replace(large[0], bytes=520 * 1.33 * 160.0, caches=())])
    nat = function("nat")
    run = Run(
        "nat",
        traffic=profile(flows=2000.0, rate_pps=1e6),
        policy=Swapping("SCS", 500.0),
        nic=nic,
        packets=8000,
        decide_s=2e-3,
    )

    def ask(_):
        for flow in range(500, 700):
            run.system.path.moves.ask(flow, True)
        run.system.path.moves.go_on(run.simulation.now)

    run.simulation.at(1e-3, ask)
    figures = run.go()
    assert run.system.path.most_moved == 520.0
    assert nat.states[0].entries_per_flow == 2.0
    most = 500
    at_nic = set(range(500))
    for fact in run.log.moved:
        (at_nic.add if fact.to_nic else at_nic.discard)(fact.flow)
        most = max(most, len(at_nic))
    assert most == 520
    assert figures["installs_refused"] >= 150
    run.check_conserved()


class Openings:
    """Flows that begin; then forty end, and a hundred more begin."""

    finite = True

    def packets(self, rng):
        opened = [("N", i) for i in range(600)]
        more = [("T", i) for i in range(40)] + [("N", i) for i in range(600, 700)]
        for i, (kind, flow) in enumerate(opened + more):
            yield Packet(i * 1e-5, flow, 256.0, kind)


def test_a_full_table_takes_no_new_flows():
    """Room for the connections of 520 flows, beside the firewall's rules and counters; those that
    it refused keep no other out."""
    small = agilio()
    large = next(each for each in small.memory_levels if each.name == "EMEM")
    size = 1.33 * (520.5 * 64 + 10_000 * (48 + 16))
    nic = replace(small, memory_levels=[replace(large, bytes=size, caches=())])
    run = Run("firewall", "NNN", profile(flows=500.0, rate_pps=1e5), nic=nic)
    run.system.packets = Openings()
    figures = run.go()
    assert figures["packets_left"] == 520 + 40 + 40
    assert figures["packets_dropped"] == 80 + 60
    assert {fact.place for fact in run.log.dropped} == {"inserts"}


@pytest.mark.parametrize(
    ("name", "sides", "offloaded", "adds"),
    [("flow_monitor", "SRC", 1000.0, 2.0), ("heavy_hitter", "RCR", 0.0, 4.0)],
)
def test_copies_of_counters_add_up(name, sides, offloaded, adds):
    """So many additions of each packet, on either side, merged now and then; those of packets that
    have nothing more to do at the NIC after the host among them."""
    run = Run(
        name,
        sides,
        profile(rate_pps=10e6),
        offloaded=offloaded,
        packets=20_000,
        monitor={"interval_s": 3e-4},
        nic=bluefield() if name == "heavy_hitter" else None,
        log=False,
    )
    run.go()
    path = run.system.path
    entries = path.entries
    assert entries.merged > 0.0
    assert path.counts.all_dropped == 0
    assert entries.merged + sum(entries.added) == adds * path.counts.all_left


def test_packets_of_offloaded_flows_count_where_they_end_at_the_host():
    """No block of the NIC comes after the host: each updates its flow's entries all the same."""
    run = Run("nat", "SCC", profile(flows=2000.0, rate_pps=2e6), offloaded=500.0, packets=6000)
    run.go()
    path = run.system.path
    assert path.counts.all_dropped == 0
    hits = path.counts.left[0]
    assert not path.trips.find(0, 0).after
    assert hits > 3000
    assert sum(path.hits.values()) == hits
    assert path.entries.updates == 6000
    check_no_update_lost(run)


def test_a_nic_that_fails_loses_what_is_under_way_and_comes_back():
    run = Run("firewall", "CCC", profile(rate_pps=5e6), packets=20_000)
    nic_at = run.simulation.at
    nic_at(1e-3, lambda _: run.cluster.nodes[0].smartnic.fail())
    nic_at(2e-3, lambda _: run.cluster.nodes[0].smartnic.repair())
    figures = run.go()
    run.check_conserved()
    run.log.check_order()
    assert {fact.place for fact in run.log.dropped} == {"down"}
    assert figures["packets_dropped"] == pytest.approx(5000, rel=0.1)
    quiet = [fact for fact in run.log.left if 1e-3 < fact.time_s < 2e-3]
    assert not quiet


def test_a_slower_nic_takes_longer():
    means = []
    for speed in (1.0, 0.5):
        run = Run("load_balancer", "NNNN", profile(rate_pps=1e5), packets=500)
        nic = run.cluster
        run.simulation.at(
            0.0, lambda _, nic=nic, speed=speed: nic.nodes[0].smartnic.set_speed(speed)
        )
        run.go()
        means.append(np.mean([fact.latency_s for fact in run.log.left if fact.kind == "EM"]))
    assert means[1] == pytest.approx(2 * means[0], rel=0.02)


@pytest.mark.parametrize(
    ("program", "sides", "offloaded", "target", "fault", "place"),
    [
        ("upf", "NNNR", 0.0, "node0/nic", {"kind": "slow", "speed": 0.25}, "nic"),
        ("nat", "SCS", 5000.0, "node0/nic", {"kind": "fail"}, "down"),
        ("firewall", "CCC", 0.0, "node0/cpu", {"kind": "slow", "speed": 0.5}, "ring"),
        ("firewall", "CCC", 0.0, "node0/cpu", {"kind": "fail"}, "ring"),
        ("firewall", "CCC", 0.0, "tenant", {}, "ring"),
    ],
)
def test_rates_go_through_troubles_as_packets_do(program, sides, offloaded, target, fault, place):
    """Before, in and after 4 ms of a slow-down, a failure, or another tenant on the host."""
    found = []
    for rates in (False, True):
        run = Run(
            program,
            sides,
            profile(rate_pps=14e6, packets_per_flow=200.0),
            offloaded=offloaded,
            packets=None,
            until_s=0.012,
            burst=1 if rates else 4,
            rates=rates,
            steering="any",
            fixed_cores=3,
            cores=3,
            monitor={"interval_s": 1e-3},
            limits={"ring": 64},
            workload={"evenly": True},
            log=False,
        )
        if target == "tenant":
            # Its weight leaves packets one and a half of their three cores.
            cpu = {}
            weight = 30.5 / 1.5

            def begin(_, run=run, cpu=cpu, weight=weight):
                cpu["task"] = run.cluster.nodes[0].cpu.task(
                    core_seconds=1.0, cores_wanted=32.0, tenant="training", weight=weight
                )

            run.simulation.at(4e-3, begin)
            run.simulation.at(8e-3, lambda _, cpu=cpu: cpu["task"].cancel())
        else:
            run.simulation.add(
                Faults([Fault(time_s=4e-3, target=target, duration_s=4e-3, **fault)])
            )
        epochs = []
        run.simulation.facts.subscribe(EpochEnded, epochs.append)
        figures = run.go()
        seen = np.array([(e.end_s, e.delivered_pps, e.dropped_pps, e.busy_cores) for e in epochs])
        spans = ((1e-3, 4e-3), (5e-3, 8e-3), (9e-3, 12e-3))
        means = [
            seen[(seen[:, 0] > low + 1e-9) & (seen[:, 0] < high + 1e-9), 1:].mean(axis=0)
            for low, high in spans
        ]
        assert figures[f"drop_share.{place}"] > 0.05
        assert figures["drop_share"] == pytest.approx(figures[f"drop_share.{place}"], abs=2e-3)
        found.append(np.array(means) / [14e6, 14e6, 3.0])
    packets, rates = found
    assert rates == pytest.approx(packets, rel=0.05, abs=0.01)
    # In full, less, in full again.
    assert packets[:, 0] == pytest.approx([1.0, packets[1, 0], 1.0], rel=0.02)
    assert packets[1, 0] < 0.8


def test_a_host_that_fails_gets_no_packets():
    run = Run("firewall", "CCC", profile(rate_pps=5e6), packets=20_000)
    run.simulation.at(1e-3, lambda _: run.cluster.nodes[0].cpu.fail())
    run.go()
    run.check_conserved()
    assert {fact.place for fact in run.log.dropped} == {"ring"}
    assert max(fact.time_s for fact in run.log.left) < 1.2e-3


@settings(max_examples=10)
@given(
    st.lists(
        st.sampled_from([("CCC", 0), ("NNN", 0), ("SRR", 60), ("SCR", 20), ("NRC", 0)]),
        min_size=2,
        max_size=5,
    ),
    st.sampled_from([1, 4]),
    st.booleans(),
)
def test_any_plan_follows_any_other(steps, burst, learn):
    firewall = function("firewall")
    run = Run(
        "firewall",
        traffic=profile(flows=100.0, rate_pps=5e4 * burst),
        policy=Scripted(*[plan(firewall, sides, k) for sides, k in steps]),
        packets=4500,
        burst=burst,
        decide_s=14e-3,
        learn=learn and burst == 1,
        limits={"nic": 4096, "moving": 4096},
    )
    run.go()
    run.check_conserved()
    run.log.check_order()
    path = run.system.path
    assert path.counts.all_dropped == 0
    assert path.trips.cost.plan.sides == run.system.runtime.plan.sides
    assert not run.system.carrier.changing


def test_a_change_of_sides_takes_at_least_its_insertions():
    firewall = function("firewall")
    run = Run(
        "firewall",
        traffic=profile(flows=400.0, rate_pps=2e5),
        policy=Scripted(plan(firewall, "CCC"), plan(firewall, "NRR")),
        packets=12_000,
        decide_s=5e-3,
        limits={"nic": 4096, "moving": 4096},
    )
    figures = run.go()
    run.log.check_order()
    # 10,000 rules, 10,000 counters and 400 flows at a million a second.
    assert figures["entries_copied"] >= 20_000
    _, fact = run.log.plans
    assert fact.start_s == 5e-3
    moved_s = [fact.end_s for fact in run.log.moved if fact.to_nic]
    assert len(moved_s) >= 300
    assert min(moved_s) > 5e-3 + 20_000 / 1e6
    assert run.system.path.trips.cost.plan.sides == "NRR"


@pytest.mark.parametrize("rates", [False, True])
def test_what_leaves_the_nic_as_a_whole_is_copied(rates):
    """100,000 token buckets that flows of both sides may share, to the host and back: 500 cycles
    and a crossing of PCIe for each, and an insertion on the way back. Those that packets have
    used meanwhile are copied again."""
    limiter = function("rate_limiter")
    there, back = plan(limiter, "NCN"), plan(limiter, "NNN")
    run = Run(
        "rate_limiter",
        traffic=profile(rate_pps=1e5, flows=400.0),
        policy=Scripted(back, there, back),
        packets=None,
        until_s=0.35,
        decide_s=0.05,
        limits={"nic": 4096, "moving": 4096},
        rates=rates,
        monitor={"interval_s": 0.05, "sample": 100_000},
        log=False,
    )
    seen = []

    def look(_):
        now = run.simulation.now
        carrier = run.system.carrier
        cost = carrier.flow.cost if rates else run.system.path.trips.cost
        busy_s = carrier.busy_s(now)
        seen.append((now, cost.plan.sides, busy_s["pcie up"], busy_s["inserts"]))

    for time_s in np.arange(0.002, 0.35, 1e-3):
        run.simulation.at(time_s, look)
    figures = run.go()
    sides = [each[1] for each in seen]
    out = sides.index("NCN")
    into = len(sides) - sides[::-1].index("NCN")
    # 20 ms of a core, and a round trip for each batch of 64.
    assert 0.05 + 0.020 < seen[out][0] < 0.05 + 0.040
    # At a million insertions a second.
    assert 0.10 + 0.100 < seen[into][0] < 0.10 + 0.115
    before = next(each for each in seen if each[0] > 0.049)
    copied_s = 100_000 * (32 + 60) / 6.25e9
    assert seen[out][2] - before[2] == pytest.approx(copied_s, rel=0.1)
    assert seen[out][3] - before[3] < 0.001
    assert seen[into][3] - seen[out][3] == pytest.approx(0.1, rel=0.05)
    if not rates:
        # 400 flows use as many buckets at most, in each of up to nine rounds.
        assert 200_050 < figures["entries_copied"] < 200_000 + 2 * 9 * 400
        assert run.system.path.counts.all_dropped == 0


def test_a_change_of_plan_that_loses_an_update_is_an_error():
    limiter = function("rate_limiter")
    run = Run(
        "rate_limiter",
        traffic=profile(rate_pps=1e5, flows=400.0),
        policy=Scripted(plan(limiter, "NNN"), plan(limiter, "NCN")),
        packets=None,
        until_s=0.1,
        decide_s=0.01,
        limits={"nic": 4096, "moving": 4096},
        log=False,
    )

    def meddle(_):
        path = run.system.path
        if path.arrivals.held is not None and not path.last:
            # Somebody updates a bucket while the last entries are on their way.
            path.entries.changed[(7, 1)] = -1

    for time_s in np.arange(0.01, 0.1, 1e-6):
        run.simulation.at(time_s, meddle)
    with pytest.raises(LawBroken, match="updates are lost in a change of plan"):
        run.go()


def test_what_is_copied_is_what_a_side_lacks():
    """Copies of counters are added up where one of them goes; rules are dropped with their copy."""
    traffic = profile()

    def found(name, before, after):
        program = function(name)
        (stage,) = stages(
            program, traffic, plan(program, before), plan(program, after), lambda each: True
        )
        return {(copy.state.name, copy.to_nic): copy.entries for copy in stage.copied}

    assert found("heavy_hitter", "NCN", "RCN") == {("cms", False): 262_144}
    assert found("heavy_hitter", "RCN", "NCN") == {("cms", True): 262_144}
    assert found("heavy_hitter", "RCN", "CCN") == {("cms", False): 262_144}
    assert found("heavy_hitter", "NCN", "NCR") == {("whit", False): 4096}
    assert found("heavy_hitter", "NCR", "NCN") == {}
    assert found("heavy_hitter", "NCN", "CNC") == {
        ("cms", False): 262_144,
        ("topk", True): 8192,
        ("whit", False): 4096,
    }


def test_a_query_of_copied_counters_is_behind_until_they_are_merged():
    """Counted at the NIC, queried at the host: a flow's count there is that of the last merge."""
    hitter = function("heavy_hitter")
    on_nic = tuple(block.name != "query" for block in hitter.blocks)
    found = []
    for interval_s in (1.0, 2e-3):
        run = Run(
            "heavy_hitter",
            traffic=profile(rate_pps=1e6, flows=100.0, packets_per_flow=1000.0),
            policy=Scripted(Plan("RCR", 0.0, on_nic)),
            packets=20_000,
            monitor={"interval_s": interval_s, "merge_cycles": 1.0},
            log=False,
        )
        found.append(run.go())
    # Never merged, the host has counted nothing.
    assert found[0]["count_error"] == 1.0
    assert 0.05 < found[1]["count_error"] < 0.5
    # Where one side does both, it is never behind.
    run = Run("heavy_hitter", "RCR", profile(rate_pps=1e6), packets=2000, log=False)
    assert run.go()["count_error"] == 0.0


@pytest.mark.parametrize("rates", [False, True])
def test_what_the_runtime_counts_costs_the_host(rates):
    """220 cycles for a sample; 10 for each counter of which both sides keep a copy, each epoch."""
    traffic = profile(rate_pps=2e6, flows=2000.0)
    busy = []
    for costs in (True, False):
        cycles = {} if costs else {"sample_cycles": 0.0, "merge_cycles": 0.0}
        run = Run(
            "flow_monitor",
            "SRC",
            traffic,
            offloaded=100.0,
            packets=None,
            until_s=0.02,
            rates=rates,
            fixed_cores=4,
            monitor={"sample": 1, "interval_s": 1e-3, **cycles},
            workload={"evenly": True},
            log=False,
        )
        figures = run.go()
        busy.append(figures["busy_cores"])
    samples = 220 * (1.0 - traffic.weights(100.0)["EH"]) * 2e6
    assert busy[0] - busy[1] == pytest.approx((samples + 10 * 4096 / 1e-3) / 2.5e9, rel=0.1)


def test_moves_that_were_asked_for_use_up_cores_in_rates():
    """One core that packets fill, and as many moves as the channel takes: packets make room."""
    drops = []
    for flows in (0, 20_000):
        run = Run(
            "nat",
            "SCS",
            profile(rate_pps=8e6, packets_per_flow=1e4, flows=40_000.0),
            offloaded=20_000.0,
            packets=None,
            until_s=0.02,
            rates=True,
            learn=True,
            fixed_cores=1,
            monitor={"interval_s": 1e-3},
            limits={"ring": 64},
            log=False,
        )
        moves = dict.fromkeys(range(flows), False)
        run.simulation.at(
            1e-3, lambda _, run=run, moves=moves: run.system.carrier.move(1e-3, moves)
        )
        figures = run.go()
        assert figures["busy_cores"] <= 1.0 + 1e-9
        drops.append(figures["drop_share.ring"])
    assert drops[1] > drops[0] + 0.02


def test_stages_go_flow_by_flow_where_they_can():
    upf, traffic = function("upf"), profile()

    def way(before, after):
        found = stages(
            upf,
            traffic,
            plan(upf, before, 100.0 if "S" in before else 0.0),
            plan(upf, after, 100.0 if "S" in after else 0.0),
            lambda each: True,
        )
        return [(stage.plan.sides, stage.begins, stage.target) for stage in found]

    inf = float("inf")
    assert way("NNNR", "SNNR") == [("SNNR", "all", 100.0)]
    assert way("SNNR", "NNNR") == [("SNNR", "same", inf), ("NNNR", "none", 0.0)]
    assert way("CCCC", "NNCC") == [("SSCC", "none", inf), ("NNCC", "none", 0.0)]
    assert way("NNCC", "CCCC") == [("SSCC", "all", 0.0), ("CCCC", "none", 0.0)]
    # Where no plan does for the time between, all entries are copied at once; so they are of two
    # states that go different ways.
    (only,) = stages(upf, traffic, plan(upf, "CNNR"), plan(upf, "NNNR"), lambda each: False)
    assert [(each.state.name, each.entries) for each in only.copied] == [("pdr", 40_000.0)]
    (only,) = stages(upf, traffic, plan(upf, "NCCC"), plan(upf, "CNCC"), lambda each: True)
    assert only.plan.sides == "CNCC"
    assert [(each.state.name, each.entries, each.to_nic) for each in only.copied] == [
        ("pdr", 40_000.0, False),
        ("qer", 20_000.0, True),
    ]
    assert entries_per_flow(upf, plan(upf, "SSNR", 1.0)) == 3.0


def test_rounds_of_copying_end_when_little_changes():
    copied, lasts_s = copy_rounds(1000.0, 1e-6, 0.0, 10.0, lambda seconds: 1e5 * seconds)
    assert copied == pytest.approx(1000 + 100 + 10)
    assert lasts_s == pytest.approx(copied / 1e6)
    # What changes faster than it is copied is given up after eight rounds.
    assert copy_rounds(1000.0, 1e-6, 0.0, 10.0, lambda seconds: 1e9)[0] == pytest.approx(9000)


def test_a_search_takes_its_time_on_a_core():
    nat = function("nat")
    run = Run(
        "nat",
        traffic=profile(rate_pps=1e6),
        policy=Scripted(plan(nat, "CCC"), plan(nat, "SCS", 100.0), nodes=500),
        packets=20_000,
        decide_s=5e-3,
        limits={"nic": 4096},
    )
    figures = run.go()
    first, fact = run.log.plans[:2]
    assert (first.start_s, first.end_s, first.plan) == (0.0, 0.0, plan(nat, "CCC"))
    assert fact.end_s - fact.start_s == pytest.approx(500 * 20_000 / 2.5e9)
    assert figures["search_s"] >= fact.end_s - fact.start_s


# Cores of the host


def tenant_s(sides, offloaded=0.0, core_seconds=0.16):
    """Seconds that another tenant of the host needs for its work on all cores."""
    run = Run(
        "firewall",
        sides,
        profile(rate_pps=14e6),
        offloaded=offloaded,
        packets=None,
        until_s=0.02,
        burst=16,
        log=False,
    )
    ended = []

    def begin(_):
        cpu = run.cluster.nodes[0].cpu
        task = cpu.task(core_seconds=core_seconds, cores_wanted=32.0, tenant="training")
        task.callbacks.append(lambda _: ended.append(run.simulation.now))

    run.simulation.at(0.001, begin)
    run.go()
    return ended[0] - 0.001, run.system.provision.count


def test_cores_that_a_plan_frees_are_free_for_others():
    on_host_s, on_host = tenant_s("CCC")
    on_nic_s, on_nic = tenant_s("NNN")
    assert (on_host, on_nic) == (3, 1)
    assert on_host_s == pytest.approx(0.16 / (32 - on_host))
    assert on_nic_s == pytest.approx(0.16 / (32 - on_nic))


def test_cores_that_a_plan_frees_are_free_for_serving():
    """Decode attention wants all of eight cores. Four poll for packets that are all at the host,
    one under Cora's plan: what it computes takes twice as long, or eight sevenths."""
    words = ["experiment=cora_neo", "workload.count=30", "output_tokens=4", "until_s=12"]
    cores, seconds = {}, {}
    for name in ("cpu_only", "cora_static"):
        result = run_config(compose([*words, f"partition={name}", "carbon=none"]))
        assert result.number("serving.requests_finished") == 30
        assert result.number("dataplane.drop_share") == 0.0
        cores[name] = result.number("dataplane.cores")
        seconds[name] = result.number("serving.tpot_s.mean")
    alone = run_config(compose([*words, "~systems.dataplane", "carbon=none"]))
    least = alone.number("serving.tpot_s.mean")
    assert cores == {"cpu_only": 4.0, "cora_static": 1.0}
    longer = {name: each - least for name, each in seconds.items()}
    assert longer["cora_static"] > 0.005 * least
    assert longer["cpu_only"] == pytest.approx(7.0 * longer["cora_static"], rel=0.02)


def test_cores_are_slower_where_others_have_their_share():
    run = Run(
        "firewall",
        "CCC",
        profile(rate_pps=14e6),
        fixed_cores=20,
        packets=None,
        until_s=2e-3,
        burst=4,
    )
    speeds = []

    def begin(_):
        cpu = run.cluster.nodes[0].cpu
        cpu.task(core_seconds=1.0, cores_wanted=32.0, tenant="training")

    run.simulation.at(0.5e-3, begin)
    run.simulation.at(1e-3, lambda _: speeds.append(run.system.path.host.speed))
    run.go()
    assert speeds == [pytest.approx(16 / 20)]


def test_cores_follow_the_load():
    """A plan made for a tenth of what comes: packets are lost until enough cores poll."""
    run = Run(
        "firewall",
        "CCC",
        profile(rate_pps=14e6),
        packets=None,
        until_s=0.012,
        monitor={"interval_s": 1e-3},
        steering="any",
        burst=4,
    )
    run.system.traffic = profile(rate_pps=1.4e6)
    figures = run.go()
    assert run.system.provision.count == 3
    assert figures["drop_share.ring"] > 0.01
    late = [fact for fact in run.log.dropped if fact.time_s > 0.008]
    assert not late


def test_others_have_their_share_of_pcie():
    """A copy to the host gets half of the link where packets want more than half; they are dropped
    at the rate that is left, and come through again when the copy is done."""
    traffic = profile(rate_pps=16e6)
    run = Run(
        "firewall",
        "CCC",
        traffic,
        packets=None,
        until_s=9e-3,
        fixed_cores=16,
        steering="any",
        burst=4,
    )
    took = []

    def copy(_):
        began = run.simulation.now
        sent = run.cluster.network.send(3.125e9 * 2e-3, "node0/nic", "node0")
        sent.callbacks.append(lambda _: took.append(run.simulation.now - began))

    run.simulation.at(3e-3, copy)
    run.go()
    # 16 M x 316 bytes of 6.25 GB/s: four fifths.
    assert took == [pytest.approx(2e-3, rel=0.01)]
    rates = [
        4 * sum(low < fact.time_s <= low + 1e-3 for fact in run.log.left) / 1e-3
        for low in (1.5e-3, 3.8e-3, 7e-3)
    ]
    assert rates[0] == pytest.approx(16e6, rel=0.05)
    assert rates[1] == pytest.approx(3.125e9 / 316, rel=0.05)
    # What waited at the rings comes, too.
    assert rates[2] > 16e6


class Endless:
    """A system that waits for what never comes."""

    name = "endless"

    def start(self, simulation):
        """Nothing to schedule."""

    def done(self):
        return False

    def snapshot(self):
        return {"waiting": 1}


def test_a_data_path_that_is_done_keeps_no_run_alive():
    policy = Scripted(plan(function("firewall"), "CCC"))
    run = Run("firewall", None, profile(rate_pps=1e6), policy=policy, packets=500, decide_s=1e-4)
    run.simulation.add(Endless())
    with pytest.raises(Stalled, match="endless"):
        run.simulation.run()
    assert run.system.done()


# What the runtime knows


def test_the_estimate_finds_the_traffic():
    true = profile(rate_pps=10e6, zipf_exponent=1.1, packets_per_flow=20.0)
    run = Run(
        "nat",
        "SCS",
        true,
        offloaded=5000.0,
        packets=None,
        until_s=0.03,
        burst=2,
        monitor={"interval_s": 2e-3, "ranks": 200},
        log=False,
    )
    run.system.traffic = profile(rate_pps=1e6, zipf_exponent=0.5, packets_per_flow=100.0)
    run.go()
    found = run.system.runtime.profile
    assert found.rate_pps == pytest.approx(true.rate_pps, rel=0.05)
    assert found.packets_per_flow == pytest.approx(true.packets_per_flow, rel=0.05)
    assert found.zipf_exponent == pytest.approx(true.zipf_exponent, abs=0.15)
    assert found.packet_bytes == pytest.approx(256.0)


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("sides", ["NNNR", "CCCC"])
def test_the_exponent_is_known_where_nothing_is_split(sides, rates):
    """All at the NIC, where each flow's entry counts; all at the host, where they are sampled."""
    true = profile(rate_pps=8e6, zipf_exponent=1.2, packets_per_flow=80.0)
    run = Run("upf", sides, true, packets=None, until_s=0.02 if not rates else 0.2, rates=rates,
              monitor={"interval_s": 2e-3, "ranks": 100, "sample": 8}, log=False)  # fmt: skip
    run.system.traffic = profile(rate_pps=8e6, zipf_exponent=0.6)
    run.go()
    assert run.system.runtime.profile.zipf_exponent == pytest.approx(1.2, abs=0.15)


def test_the_exponent_stays_where_nothing_counts_flows():
    """The heavy hitter's states at the NIC are counters of many flows each."""
    true = profile(rate_pps=8e6, zipf_exponent=1.2)
    run = Run("heavy_hitter", "NCR", true, packets=None, until_s=0.2, rates=True,
              monitor={"interval_s": 2e-3}, log=False)  # fmt: skip
    run.go()
    assert run.system.runtime.profile.zipf_exponent == pytest.approx(1.2)


@pytest.mark.parametrize("rates", [False, True])
def test_a_policy_sees_which_hits_are_reached(rates):
    """Known by rank, all of them; with flows that end before they are found, fewer."""
    shares = {}

    class Looking(Scripted):
        def decide(self, view, now_s):
            shares.setdefault(view._learn, []).append(view.hit_share)
            return super().decide(view, now_s)

    traffic = profile(rate_pps=4e6, packets_per_flow=10.0, flows=2000.0)
    for learn in (False, True):
        Run("nat", policy=Looking(plan(function("nat"), "SCS", 500.0)), traffic=traffic,
            packets=None, until_s=0.02, decide_s=5e-3, learn=learn, rates=rates, log=False,
            monitor={"interval_s": 1e-3, "sample": 8}).go()  # fmt: skip
    promised = traffic.head_share(500.0)
    assert shares[False][0] is None
    assert shares[False][-1] == pytest.approx(promised, rel=0.05)
    assert 0.05 * promised < shares[True][-1] < 0.85 * promised


def test_places_of_flows_that_ended_are_learned_anew_without_decisions():
    """Flows end after 50 packets; the sketch of those at the host, which nobody but an epoch
    empties, would soon hold ended ones only."""
    shares, offloaded = [], []
    for decide_s in (None, 0.02):
        run = Run(
            "nat",
            "SCS",
            profile(rate_pps=1e6, flows=250.0, packets_per_flow=200.0),
            offloaded=50.0,
            packets=None,
            until_s=0.15,
            learn=True,
            decide_s=decide_s,
            monitor={"sample": 4, "interval_s": 2e-3, "candidates": 256},
            log=False,
        )
        run.go()
        left = run.system.path.counts.left
        shares.append(left[0] / (left[0] + left[1]))
        offloaded.append(run.system.carrier.offloaded)
    assert shares[0] > 0.95 * shares[1]
    assert min(offloaded) > 30


class Listed:
    """Packets from a list: a workload that says nothing of popularity."""

    finite = True

    def __init__(self, packets):
        self._packets = packets

    def packets(self, rng):
        return iter(self._packets)


def test_flows_that_end_without_a_last_packet_do_not_stay():
    """Of one packet, and fallen silent, at the host and at the NIC: they are active no more, and
    their entries go."""
    packets = []
    for i in range(4000):
        # A flow of one packet each 10 us, over by the next; flow 1 000 000 and 30 more go on
        # until the middle, 30 of them until the end.
        heavy = 1_000_000 + (i % 31 if i < 2000 else i % 30)
        over = ((i - 1,) if i else ()) + ((1_000_030,) if i == 2000 else ())
        packets.append(Packet(i * 1e-5, i, 256.0, "N", over=over))
        packets.append(Packet(i * 1e-5 + 5e-6, heavy, 256.0, "N" if i < 31 else "E"))
    run = Run(
        "firewall",
        "SRC",
        profile(rate_pps=2e5, flows=1000.0),
        offloaded=200.0,
        until_s=0.05,
        monitor={"sample": 1, "interval_s": 2e-3},
    )
    run.system.packets = Listed(packets)
    run.go()
    path = run.system.path
    run.check_conserved()
    assert path.live() == {*range(1_000_000, 1_000_030), 3999}
    assert run.system.runtime._monitor.profile.flows == pytest.approx(31.0, abs=5)
    # Those that are heavy were learned; the one that fell silent has left the NIC.
    assert path.entries.at_nic >= set(range(1_000_000, 1_000_030))
    assert path.entries.at_nic <= path.live()
    assert path.entries.counts[0].keys() <= path.live()


class Swapping:
    """Keeps a plan, and exchanges the slowest flows at the NIC for the heaviest at the host."""

    def __init__(self, sides: str, offloaded: float) -> None:
        self.sides, self.offloaded = sides, offloaded

    def decide(self, view, now_s):
        if view.plan is None:
            return Decision(plan=plan(view.program, self.sides, self.offloaded))
        out = sorted(view.member_rates().items(), key=lambda item: (item[1], item[0]))
        into = sorted(view.candidate_rates().items(), key=lambda item: (-item[1], item[0]))
        pairs = [
            (slow, fast)
            for (slow, low), (fast, high) in zip(out, into, strict=False)
            if high > 2 * low
        ]
        return Decision(swaps=pairs)


def test_swaps_learn_a_new_order_of_popularity():
    """The most popular tenth is dealt anew: hits fall, and swaps bring them back."""
    traffic = profile(flows=2000.0, packets_per_flow=10_000.0, rate_pps=2e6, zipf_exponent=1.2)
    run = Run(
        "nat",
        policy=Swapping("SCS", 50.0),
        traffic=traffic,
        packets=None,
        until_s=0.06,
        decide_s=4e-3,
        learn=True,
        monitor={"sample": 1, "interval_s": 2e-3},
        workload={"phases": [Phase(0.02, traffic, reshuffled=1.0)]},
    )
    run.go()
    run.log.check_order()
    hits = np.array([[fact.time_s, fact.kind == "EH"] for fact in run.log.left])

    def share(low, high):
        return float(hits[(hits[:, 0] > low) & (hits[:, 0] <= high), 1].mean())

    before, at_once, later = share(0.0, 0.02), share(0.02, 0.024), share(0.04, 0.06)
    assert before == pytest.approx(traffic.head_share(50.0), abs=0.03)
    assert at_once < 0.5 * before
    assert later > 0.9 * before


def test_rates_follow_a_change_as_packets_do():
    """Popularity is dealt anew and learned again: host cores before, later and in between, and
    flows moved, in packets and in rates."""
    traffic = profile(flows=2000.0, packets_per_flow=1000.0, rate_pps=2e6, zipf_exponent=1.2)
    found = []
    for rates in (False, True):
        run = Run(
            "nat",
            policy=Swapping("SCS", 100.0),
            traffic=traffic,
            packets=None,
            until_s=0.07,
            decide_s=4e-3,
            learn=True,
            rates=rates,
            monitor={"sample": 4, "interval_s": 2e-3},
            steering="any",
            fixed_cores=4,
            log=False,
            workload={"phases": [Phase(0.03, traffic, reshuffled=0.5)]},
        )
        epochs = []
        run.simulation.facts.subscribe(EpochEnded, epochs.append)
        figures = run.go()
        cores = np.array([[fact.end_s, fact.busy_cores] for fact in epochs])
        spans = ((0.0, 0.03), (0.034, 0.05), (0.05, 0.07))
        means = [
            cores[(cores[:, 0] > low + 1e-9) & (cores[:, 0] < high + 1e-9), 1].mean()
            for low, high in spans
        ]
        found.append([*means, figures["flows_moved"]])
    assert found[1] == pytest.approx(found[0], rel=0.05)


def runtime(policy, phases=(), until_s=9.0, program="nat", **changes):
    traffic = profile(flows=20_000.0, packets_per_flow=1000.0, rate_pps=14e6)
    run = Run(
        program,
        policy=policy,
        traffic=traffic,
        packets=None,
        until_s=until_s,
        rates=True,
        workload={"phases": phases},
        monitor={"sample": 1000},
        **{"decide_s": 1.0, "learn": True, **changes},
    )
    run.go()
    return run


def cora():
    settings = {"saving": 0.1, "patience": 3, "margin": 2.0, "payback_s": 10.0, "recovery": 0.1}
    return Adaptive(FewestCores(), **settings, most_change_s=10.0)


def test_the_runtime_follows_a_change_that_a_static_plan_does_not():
    """All states at the NIC, until flows become a hundred times shorter: more insertions than it
    takes. Who follows drops nothing; who does not drops the first packets of flows."""
    short = profile(flows=20_000.0, packets_per_flow=10.0, rate_pps=14e6)
    found, still = (
        runtime(cora(), [Phase(2.0, short)], program="firewall", decide_s=decide_s, warm_up_s=5.0)
        for decide_s in (1.0, None)
    )
    drops = [
        each.simulation.results.summary["dataplane.drop_share.inserts"] for each in (found, still)
    ]
    # 1.4 million flows a second, of which a million find a place.
    assert drops == [0.0, pytest.approx(0.4 / 14.0, rel=0.01)]
    assert found.simulation.results.summary["dataplane.drop_share"] < 0.001
    assert found.log.plans[1].plan.sides != still.system.runtime.plan.sides == "NNN"
    assert 2.0 < found.log.plans[1].start_s <= 4.0


def test_an_oracle_needs_no_more_cores_than_a_runtime_that_learns():
    other = profile(flows=20_000.0, packets_per_flow=20.0, rate_pps=14e6, zipf_exponent=0.7)
    cores = []
    for policy, informed in ((cora(), False), (Oracle(FewestCores()), True)):
        run = runtime(policy, [Phase(2.0, other)], learn=not informed, informed=informed)
        cores.append(run.simulation.results.summary["dataplane.busy_cores"])
    assert cores[1] <= 1.01 * cores[0]


def test_without_a_change_the_plan_stays():
    run = runtime(cora())
    assert run.system.runtime.decisions == 9
    assert run.system.runtime.plans <= 2


def test_places_keep_their_members_apart():
    places = Places(
        TrafficProfile(
            flows=1000, zipf_exponent=1.0, packets_per_flow=10, packet_bytes=64, rate_pps=1e6
        ),
        np.random.default_rng(1),
    )
    places.set(places.place_of_rank[:100], True)
    assert places.hit == pytest.approx(profile(flows=1000.0).head_share(100.0))
    flows, counts = places.sample(5000)
    assert counts.sum() == 5000
    assert not places.member[flows % 1000].any()
    # Each as often as its popularity says: chi-square of 900 classes.
    expected = 5000 * places.weight[~places.member] / (1.0 - places.hit)
    seen = np.zeros(1000)
    seen[flows % 1000] = counts
    assert ((seen[~places.member] - expected) ** 2 / expected).sum() < 900 + 5 * (2 * 900) ** 0.5
    three = np.array([3])
    old = places.flows_at(three)
    places.renew(20_000)
    assert not places.current(old)
    assert places.current(places.flows_at(three))
    slow = places.slowest(1e6, 10)
    assert len(slow) == 10
    assert max(slow.values()) < min(places.top_counts(1e6, 10))


@pytest.mark.parametrize("rates", [False, True])
def test_a_path_on_match_tables_uses_no_core(rates):
    """A look-up, and what it says is done: neither takes a core."""
    table = {"entry_bytes": 16, "entries": 1e4, "consistency": "ro"}
    routing = program(
        name="routing",
        states={"routes": table},
        blocks=[
            {
                "name": name,
                "classes": "NET",
                "cpu_cycles": 300,
                "npu_cycles": 110,
                "match_action": True,
                "uses": uses,
            }
            for name, uses in (("route", {"routes": {"reads": 1}}), ("forward", {}))
        ],
        source={"states": "assumption", "blocks": "assumption"},
    )
    run = Run(
        routing,
        "N",
        profile(rate_pps=20e6),
        nic=bluefield(),
        packets=None,
        until_s=2e-3,
        rates=rates,
    )
    figures = run.go()
    cost = run.system.runtime.price(run.system.runtime.plan)
    assert figures["throughput_mpps"] == pytest.approx(20.0, rel=0.03)
    assert figures["utilisation.cores"] == 0.0
    assert figures["busy_cores"] == 0.0
    looked_up = figures["offered_mpps"] * 1e6 * cost.nic.seconds["match tables"]
    assert figures["utilisation.match_tables"] == pytest.approx(looked_up, rel=0.01)
    assert looked_up > 0.1


@pytest.mark.parametrize(("packets_per_flow", "begins"), [(80.0, 5000.0), (400.0, 1000.0)])
def test_a_change_takes_as_long_as_it_was_expected_to(packets_per_flow, begins):
    """Flow after flow goes to the NIC, beside those that begin and end there."""
    upf = function("upf")
    traffic = profile(flows=20_000.0, packets_per_flow=packets_per_flow, rate_pps=14e6)
    expected = []

    class Asking(Scripted):
        def decide(self, view, now_s):
            decision = super().decide(view, now_s)
            if view.plan is not None and decision.plan is not None:
                expected.append(view.change_s(decision.plan))
            return decision

    run = Run("upf", policy=Asking(plan(upf, "SNNR", begins), plan(upf, "NNNR")), traffic=traffic,
              packets=None, until_s=0.3, rates=True, decide_s=0.1,
              monitor={"interval_s": 1e-3}, log=False)  # fmt: skip
    changes = []
    run.simulation.facts.subscribe(PlanCarriedOut, changes.append)
    run.go()
    (change,) = changes
    assert expected == [pytest.approx(change.end_s - change.start_s, rel=0.1)]
    assert expected[0] > 2.0 * (20_000 - begins) / 1e6


def test_a_change_that_would_not_end_flow_by_flow_copies_all_at_once():
    """Each flow has two entries in and two out: 1.08 million a second where a million find place,
    so that never all flows would be at the NIC. Under the plan before few come and go."""
    upf = function("upf")
    traffic = profile(flows=20_000.0, packets_per_flow=80.0, rate_pps=21.7e6)
    policy = Scripted(plan(upf, "SNNR", 2000.0), plan(upf, "NNNR"))
    run = Run("upf", policy=policy, traffic=traffic, packets=None, until_s=0.5, rates=True,
              decide_s=0.1, monitor={"interval_s": 1e-3}, log=False)  # fmt: skip
    changes, expected = [], []
    run.simulation.facts.subscribe(PlanCarriedOut, changes.append)
    run.simulation.at(
        0.09, lambda _: expected.append(run.system.runtime.change_s(plan(upf, "NNNR")))
    )
    run.go()
    (change,) = changes
    assert 2.0 * 18_000 / 1e6 < change.end_s - change.start_s < 0.2
    assert expected == [pytest.approx(change.end_s - change.start_s, rel=0.3)]
    assert not run.system.carrier.changing
    # Where more flows come and go it does not end either way.
    model, before = run.system.runtime._model(), plan(upf, "SNNR", 19_000.0)
    way = stages(upf, traffic, before, plan(upf, "NNNR"), lambda each: True)
    limits = run.system.limits
    assert change_s(model, model.cost(before), way, 19_000.0, limits, found=True) == np.inf


def test_an_oracle_s_changes_are_for_nothing():
    """No flow is moved, and from its first decision on it needs what its plan says."""
    other = profile(flows=20_000.0, packets_per_flow=20.0, rate_pps=14e6, zipf_exponent=0.7)
    run = runtime(
        Oracle(FewestCores()), [Phase(2.0, other, reshuffled=0.5)], learn=False, informed=True,
        until_s=4.0, warm_up_s=2.5,
    )  # fmt: skip
    summary = run.simulation.results.summary
    assert summary["dataplane.plans"] > 1
    assert summary["dataplane.flows_moved"] == 0
    cost = run.system.runtime.price(run.system.runtime.plan)
    assert summary["dataplane.busy_cores"] == pytest.approx(cost.busy_cores(14e6), rel=0.02)


@pytest.mark.parametrize("places", [300.0, 15_000.0])
def test_places_are_filled_and_hit_as_far_as_flows_are_found(places):
    """Few places, and more than are ever filled."""
    traffic = profile(flows=20_000.0, packets_per_flow=200.0, rate_pps=4e6)
    run = Run("nat", "SCS", traffic, offloaded=places, packets=None, until_s=8.0, rates=True,
              learn=True, decide_s=1.0, monitor={"sample": 200}, log=False)  # fmt: skip
    run.go()
    runtime = run.system.runtime
    reach = runtime.finding.reach(traffic)
    assert runtime._carrier.offloaded == pytest.approx(reach.filled(places), rel=0.1)
    promised = traffic.head_share(places) * reach.part(places)
    # Places that come free go to the flows that were counted most, which does a little better.
    assert runtime.hit_share == pytest.approx(promised, rel=0.1 if places > 1e4 else 0.2)
    # More places than are filled reach nothing more; places for all need not be found.
    hits = [reach.part(number) * traffic.head_share(number) for number in (1e4, 1.5e4)]
    assert hits[0] == pytest.approx(hits[1])
    assert reach.part(20_000.0) == 1.0


def test_the_runtime_keeps_all_flows_where_fewer_would_have_to_be_found():
    """Places for all take a little more insertions than the margin; with a few less, flows that
    begin are known only after a thousand packets, and end after 80."""
    nat = function("nat")
    policy = cora()
    first = policy.decide
    policy.decide = lambda view, now_s: (
        first(view, now_s) if view.plan else Decision(plan=plan(nat, "SCS", 20_000.0))
    )
    run = Run("nat", policy=policy, packets=None, until_s=4.0, rates=True, decide_s=1.0, learn=True,
              traffic=profile(flows=20_000.0, packets_per_flow=80.0, rate_pps=14e6),
              monitor={"sample": 1000}, log=False)  # fmt: skip
    figures = run.go()
    assert figures["offloaded_flows"] > 18_000
    assert figures["busy_cores"] < 0.45
    assert figures["packets_dropped"] == 0
