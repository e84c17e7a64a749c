"""Packets through a SmartNIC and its host: laws, bounds, bursts, rates."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from dataplane_kit import Run, profile
from hypothesis import given, settings
from hypothesis import strategies as st
from network_function_kit import FUNCTIONS, agilio, bluefield, function, part

from experiments.compose import compose
from experiments.figures import headline
from experiments.report.page import write_report
from models.errors import ConfigError
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import Plan
from models.network_functions.program_text import program
from models.network_functions.traffic import PACKET_TYPES
from models.network_functions.trip import Trips
from sim.core.run import run as run_config
from sim.core.simulation import Simulation
from sim.dataplane.dataplane import DataPlane
from sim.hardware.cluster import Cluster, NodeCount
from workloads.packets.zipf_flows import Phase

NICS = {"agilio": agilio, "bluefield": bluefield}


def cost_of(name, sides, traffic, offloaded=0.0, nic=None, **model):
    made = function(name) if isinstance(name, str) else name
    return CostModel(
        program=made,
        profile=traffic,
        nic=nic or agilio(),
        cpu=part("hardware/cpu", "server-32"),
        stack=part("packet_stack", "poll_mode"),
        **model,
    ).cost(Plan(sides, offloaded, (True,) * len(made.blocks)))


@st.composite
def cases(draw):
    """A program, NIC and a plan that can be, queues of any size, load up to far too much."""
    name = draw(st.sampled_from(FUNCTIONS))
    nic = draw(st.sampled_from(sorted(NICS)))
    traffic = profile(
        flows=float(draw(st.integers(50, 500))),
        packets_per_flow=draw(st.sampled_from([3.0, 20.0])),
        packet_bytes=draw(st.sampled_from([64.0, 512.0])),
        rate_pps=draw(st.sampled_from([1e6, 30e6, 200e6])),
    )
    sides = "".join(draw(st.sampled_from(state.options)) for state in function(name).states)
    offloaded = float(draw(st.integers(1, 50))) if "S" in sides else 0.0
    limits = {
        key: draw(st.sampled_from([2, 64]))
        for key in (
            "wire",
            "nic",
            "match",
            "accelerator",
            "pcie",
            "ring",
            "inserts",
            "moving",
            "moves",
        )
    }
    burst = draw(st.sampled_from([1, 8]))
    more = {
        "burst": burst,
        "steering": draw(st.sampled_from(["flow", "any"])),
        "learn": draw(st.booleans()) and burst == 1,
    }
    return name, nic, sides, offloaded, traffic, limits, more


@settings(max_examples=60)
@given(cases())
def test_packets_are_conserved_and_flows_keep_their_order(case):
    name, nic, sides, offloaded, traffic, limits, more = case
    made = NICS[nic]()
    if not isinstance(cost_of(name, sides, traffic, offloaded, made), PlanCost):
        return
    run = Run(
        name, sides, traffic, offloaded=offloaded, nic=made, packets=400, limits=limits, **more
    )
    figures = run.go()
    run.check_conserved()
    run.log.check_order()
    path = run.system.path
    assert path.idle
    assert not path.last
    assert figures["packets_arrived"] == 400 * path.burst
    assert len(run.log.left) * path.burst == figures["packets_left"]
    assert len(run.log.dropped) * path.burst == figures["packets_dropped"]
    # Of each flow, those that came have left or were dropped.
    workload = run.system.packets
    came = Counter(
        packet.flow for packet in workload.packets(Simulation(seed=1).stream("dataplane.packets"))
    )
    assert came == run.log.by_flow() + Counter(fact.flow for fact in run.log.dropped)
    assert path.under_way.count == path.cores.queued.count == path.host.jobs.count == 0
    # Little's law on every queue.
    now = run.simulation.now
    assert path.cores.queued.until(now) == pytest.approx(path.cores.waited_s)
    assert path.host.jobs.until(now) == pytest.approx(path.host.stayed_s)
    entries = path.entries
    assert not set(entries.counts[0]) & entries.at_nic
    assert set(entries.counts[1]) <= entries.at_nic


@settings(max_examples=40)
@given(cases(), st.sampled_from([1, 32]), st.sampled_from([0.0, 0.3, 1.0]))
def test_rates_are_conserved(case, cores, speed):
    """In any overload, on a NIC that is slow or down for a while."""
    name, nic, sides, offloaded, traffic, limits, more = case
    made = NICS[nic]()
    if not isinstance(cost_of(name, sides, traffic, offloaded, made), PlanCost):
        return
    more = {
        **more,
        "steering": None,
        "burst": 1,
        "rates": True,
        "monitor": {"interval_s": 1e-3},
        "cores": cores,
    }
    run = Run(
        name, sides, traffic, offloaded=offloaded, nic=made, packets=None, until_s=4e-3,
        limits=limits, log=False, **more,
    )  # fmt: skip
    device = run.cluster
    run.simulation.at(
        1.5e-3,
        lambda _: (
            device.nodes[0].smartnic.set_speed(speed) if speed else device.nodes[0].smartnic.fail()
        ),
    )
    run.simulation.at(2.5e-3, lambda _: speed or device.nodes[0].smartnic.repair())
    figures = run.go()
    totals = run.system.carrier.totals(4e-3)
    waiting = figures["packets_under_way"]
    assert 0.0 <= waiting <= limits["nic"] + limits["pcie"]
    assert totals.arrived == pytest.approx(traffic.rate_pps * 4e-3, rel=1e-9)
    assert totals.left + totals.all_dropped + waiting == pytest.approx(totals.arrived, rel=1e-9)
    assert min(totals.left, *totals.dropped.values()) >= 0.0
    assert totals.left_bytes == pytest.approx(totals.left * traffic.packet_bytes, rel=1e-9)
    assert totals.crossed_bytes <= totals.arrived_bytes
    # Nothing works for longer than there is time.
    for key, value in figures.items():
        if key.startswith("utilisation."):
            assert value <= 1.0 + 1e-9, key
    assert figures["busy_cores"] <= cores + 1e-9


@pytest.mark.parametrize(
    ("name", "sides", "offloaded"),
    [("nat", "SCS", 5000.0), ("flow_monitor", "SRC", 5000.0), ("firewall", "CCC", 0.0)],
)
def test_cores_at_work_are_what_the_packets_take(name, sides, offloaded):
    """The utilisation law at the host: a rate times its demand, within 1 %."""
    traffic = profile(rate_pps=10e6, packets_per_flow=40.0)
    run = Run(
        name,
        sides,
        traffic,
        offloaded=offloaded,
        packets=30_000,
        burst=8,
        fixed_cores=8,
        steering="any",
        workload={"evenly": True},
        log=False,
    )
    figures = run.go()
    path = run.system.path
    assert path.counts.all_dropped == 0
    cost = cost_of(name, sides, traffic, offloaded)
    model = path.trips.model
    cycles = sum(
        path.counts.left[i] * model.host.path_cycles(cost.paths[kind], sides)
        for i, kind in enumerate(PACKET_TYPES)
    )
    moves = 8 * path.moves.done * path.entries_per_flow * model.stack.move_cycles
    # Moves of a flow that begins or ends are those of a burst.
    now = run.simulation.now
    assert path.host.busy_s(now) * 2.5e9 == pytest.approx(cycles + moves, rel=0.01)
    assert figures["busy_cores"] == pytest.approx(cost.busy_cores(10e6), rel=0.03)


@pytest.mark.parametrize("ring", [1024, 2])
def test_bytes_over_pcie_are_those_of_packets_at_the_host(ring):
    """Those for which the ring has no place stay at the NIC."""
    run = Run("nat", "SCS", profile(), offloaded=2000.0, limits={"ring": ring}, fixed_cores=1)
    run.go()
    counts = run.system.path.counts
    visited = sum(counts.left[PACKET_TYPES.index(kind)] for kind in ("EM", "N", "T"))
    assert counts.all_dropped == sum(counts.dropped["ring"])
    assert (counts.all_dropped > 500) is (ring == 2)
    assert counts.crossed_bytes == pytest.approx(visited * 256.0)


def slow(**changes):
    return replace(bluefield(), **changes)


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize(
    ("name", "sides", "nic", "most_pps", "place"),
    [
        ("firewall", "CCC", slow(pcie_packets_per_s=2e6), 2e6, "pcie"),
        ("firewall", "CCC", slow(pcie_bandwidth_bytes_per_s=632e6), 2e6, "pcie"),
        ("ipsec_gateway", "NNN", slow(accelerators={"aes-gcm": 512e6}), 2e6, "accelerator"),
    ],
)
def test_what_pcie_or_an_accelerator_cannot_serve_is_dropped_there(
    rates, name, sides, nic, most_pps, place
):
    """Four times as many packets as go through: delays are those of the places, which are as many
    as the service of 512 packets lasts."""
    run = Run(
        name,
        sides,
        profile(rate_pps=4 * most_pps, packets_per_flow=200.0),
        nic=nic,
        packets=None,
        until_s=6e-3,
        warm_up_s=2e-3,
        fixed_cores=4,
        steering="any",
        rates=rates,
    )
    figures = run.go()
    assert figures["throughput_mpps"] == pytest.approx(most_pps / 1e6, rel=0.01)
    assert figures["drop_share"] == pytest.approx(0.75, rel=0.01)
    assert figures[f"drop_share.{place}"] == figures["drop_share"]
    if not rates:
        run.check_conserved()
        assert max(fact.latency_s for fact in run.log.left) < 513 / most_pps + 2e-5


@pytest.mark.parametrize(("nic_pps", "until_s"), [(36e6, 4e-3), (6e6, 4e-3)])
def test_busy_cores_are_what_packets_that_came_over_cost(nic_pps, until_s):
    """However many wait for PCIe, or at the rings."""
    traffic = profile(rate_pps=20e6)
    nic = replace(agilio(), pcie_packets_per_s=nic_pps)
    run = Run(
        "firewall",
        "CCC",
        traffic,
        nic=nic,
        packets=None,
        until_s=until_s,
        warm_up_s=2e-3,
        fixed_cores=2,
        burst=4,
        steering="any",
        log=False,
    )
    figures = run.go()
    served = figures["throughput_mpps"] * 1e6
    assert served == pytest.approx(
        min(nic_pps, 2 / cost_of("firewall", "CCC", traffic).host_s), 0.03
    )
    expected = served * cost_of("firewall", "CCC", traffic).host_s
    assert figures["busy_cores"] == pytest.approx(expected, rel=0.03)
    assert figures["busy_cores"] <= 2.0 + 1e-9


def test_little_s_law_for_the_whole_data_path():
    run = Run("nat", "SCS", profile(), offloaded=2000.0)
    run.go()
    path = run.system.path
    stayed = sum(fact.latency_s for fact in run.log.left)
    wire_s = 276.0 / path.trips.model.nic.line_bytes_per_s
    # Packets are under way from their arrival; the port's time is before it at most.
    assert path.under_way.until(run.simulation.now) == pytest.approx(stayed, rel=0.01)
    assert wire_s < min(fact.latency_s for fact in run.log.left)


def test_at_low_load_all_leave_after_their_service_times():
    traffic = profile(rate_pps=20_000.0, packet_bytes=64.0)
    run = Run("firewall", "CCC", traffic, packets=300, fixed_cores=1, steering="any")
    figures = run.go()
    assert figures["packets_left"] == 300
    path = run.system.path
    nic, cpu = path.trips.model.nic, path.trips.model.cpu
    wire_s = max(84.0 / nic.line_bytes_per_s, 1 / nic.packets_per_s)
    pcie_s = max(124.0 / nic.pcie_bandwidth_bytes_per_s, 1 / nic.pcie_packets_per_s)
    fixed_s = wire_s + 224.0 / nic.clock_hz + 2 * (pcie_s + nic.pcie_latency_s)
    # acl, the hot states of 10,000 entries, and ct of any flow: between a hit and a miss of all.
    for fact in run.log.left:
        host_s = fact.latency_s - fixed_s
        cycles = host_s * cpu.clock_hz
        program_cycles = {"N": 140 + 40 + 60 + 900 + 350 + 15 + 250}.get(fact.kind, 325)
        assert cycles > program_cycles
        assert cycles < program_cycles + 16 * 220 + 1


@pytest.mark.parametrize("program_and_plan", [("heavy_hitter", "NCN"), ("load_balancer", "NNNN")])
def test_a_full_window_reaches_the_bound_and_never_exceeds_it(program_and_plan):
    name, sides = program_and_plan
    traffic = profile(packet_bytes=64.0, packets_per_flow=80.0, rate_pps=60e6)
    run = Run(
        name,
        sides,
        traffic,
        packets=None,
        until_s=1e-3,
        burst=4,
        window=456,
        fixed_cores=32,
        steering="any",
        warm_up_s=4e-4,
        log=False,
    )
    figures = run.go()
    cost = cost_of(name, sides, traffic)
    highest = cost.highest_rate_pps()
    simulated = figures["throughput_mpps"] * 1e6
    assert simulated <= 1.01 * highest
    assert simulated >= 0.95 * highest
    used = {key: value for key, value in figures.items() if key.startswith("utilisation.")}
    assert 0.95 <= max(used.values()) <= 1.01


def test_too_much_traffic_is_dropped_not_kept():
    """Host cores for a third of the packets: the rest is lost at the rings, delays are bounded."""
    traffic = profile(rate_pps=15e6)
    run = Run("firewall", "CCC", traffic, packets=30_000, fixed_cores=1, steering="any")
    figures = run.go()
    assert figures["drop_share.ring"] > 0.5
    run.check_conserved()
    cost = cost_of("firewall", "CCC", traffic)
    longest = max(fact.latency_s for fact in run.log.left)
    assert longest < 1.2 * 1024 * cost.host_s + 10e-6
    assert figures["throughput_mpps"] * 1e6 < 1.1 / cost.host_s


@pytest.mark.parametrize(
    ("name", "sides", "offloaded"), [("nat", "SCS", 5000.0), ("firewall", "CCC", 0.0)]
)
def test_bursts_are_as_packets(name, sides, offloaded):
    traffic = profile(rate_pps=12e6, packets_per_flow=80.0)
    rates, means, cores = [], [], []
    for burst in (1, 8, 32):
        run = Run(
            name,
            sides,
            traffic,
            offloaded=offloaded,
            packets=24_000,
            burst=burst,
            fixed_cores=4,
            steering="any",
            log=False,
        )
        figures = run.go()
        path = run.system.path
        rates.append(figures["packets_left"] / run.simulation.now)
        latencies = path.counts.latencies
        # By type, since the mix of a run is chance.
        cost = cost_of(name, sides, traffic, offloaded)
        means.append(
            sum(
                cost.weights[kind] * latencies[i].mean_s
                for i, kind in enumerate(PACKET_TYPES)
                if latencies[i].count
            )
        )
        cores.append(path.host.busy_s(run.simulation.now) / run.simulation.now)
    assert rates == pytest.approx([traffic.rate_pps] * 3, rel=0.03)
    assert means == pytest.approx([means[0]] * 3, rel=0.03)
    assert cores == pytest.approx([cores[0]] * 3, rel=0.05)


@pytest.mark.parametrize(
    ("name", "sides", "offloaded", "cores"),
    [("nat", "SCS", 5000.0, 32), ("firewall", "CCC", 0.0, 32), ("firewall", "CCC", 0.0, 1)],
)
def test_rates_are_as_packets(name, sides, offloaded, cores):
    traffic = profile(rate_pps=12e6)
    found = []
    for rates in (False, True):
        run = Run(
            name,
            sides,
            traffic,
            offloaded=offloaded,
            packets=None,
            until_s=0.025,
            burst=1 if rates else 4,
            rates=rates,
            fixed_cores=cores,
            steering="any",
            warm_up_s=0.005,
            log=False,
        )
        figures = run.go()
        keys = ["throughput_mpps", "busy_cores", "drop_share.ring", "utilisation.cores"]
        keys += ["utilisation.inserts", "utilisation.pcie_up", "pcie_gbps"]
        found.append([figures[key] for key in keys])
    assert found[1] == pytest.approx(found[0], rel=0.05, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "sides", "offloaded"),
    [("firewall", "SCR", 5000.0), ("firewall", "NCN", 0.0), ("upf", "SNNR", 5000.0)],
)
def test_rates_keep_the_nic_as_busy_as_packets_do(name, sides, offloaded):
    """One thread a core, which waits for all reads; match tables as the plan fills them."""
    found = []
    for rates in (False, True):
        run = Run(
            name,
            sides,
            profile(rate_pps=20e6, packets_per_flow=40.0),
            offloaded=offloaded,
            nic=small_caches(bluefield()),
            packets=None,
            until_s=0.012,
            warm_up_s=0.002,
            burst=1 if rates else 4,
            rates=rates,
            fixed_cores=8,
            steering="any",
            log=False,
        )
        figures = run.go()
        keys = ("cores", "threads", "match_tables")
        found.append([figures[f"utilisation.{key}"] for key in keys])
    assert found[1] == pytest.approx(found[0], rel=0.03, abs=1e-3)
    assert found[0][1] > 0.3


def test_the_same_seed_gives_the_same_run_observed_or_not():
    plain, again, watched = (
        Run("nat", "SCS", profile(), offloaded=2000.0, log=log).go() for log in (False, False, True)
    )
    assert plain == again == watched
    assert plain != Run("nat", "SCS", profile(), offloaded=2000.0, seed=2).go()


def test_caches_of_its_own_cost_an_unpopular_flow_more():
    figures = [
        Run("nat", "SCS", profile(flows=1e6), offloaded=1e5, own_caches=own).go()
        for own in (False, True)
    ]
    assert figures[1]["busy_cores"] > 1.1 * figures[0]["busy_cores"]


def test_entries_at_the_nic_take_no_room_in_the_host_s_caches():
    made, rank = function("nat"), 100_001
    model = CostModel(
        program=made,
        profile=profile(flows=1e6),
        nic=agilio(),
        cpu=part("hardware/cpu", "server-32"),
        stack=part("packet_stack", "poll_mode"),
    )
    cost = model.cost(Plan("SCS", 1e5, (True,) * len(made.blocks)))
    assert isinstance(cost, PlanCost)
    trips, miss = Trips(model, cost, own_caches=True), PACKET_TYPES.index("EM")
    # The most popular flow that is left to the host is in its nearest cache.
    nearest = dict.fromkeys(model.host.latency, model.cpu.caches[0].cycles)
    nearest["ports"] = model.host.latency["ports"]
    cycles = model.host.path_cycles(cost.paths["EM"], "SCS", nearest)
    assert trips.host.takes(miss, rank, 256.0)[0] * 2.5e9 == pytest.approx(cycles)
    assert trips.host.takes(miss, 1_000_000, 256.0)[0] > trips.host.takes(miss, rank, 256.0)[0]


def test_packets_of_all_ranks_cost_the_host_what_the_model_says_on_average():
    """Also where the most popular are at the NIC: their entries are thought to be in its caches."""
    made, traffic = function("nat"), profile(flows=2e4)
    model = CostModel(
        program=made,
        profile=traffic,
        nic=agilio(),
        cpu=part("hardware/cpu", "server-32"),
        stack=part("packet_stack", "poll_mode"),
    )
    cost = model.cost(Plan("SCS", 5e3, (True,) * len(made.blocks)))
    assert isinstance(cost, PlanCost)
    trips, miss = Trips(model, cost), PACKET_TYPES.index("EM")
    ranks = range(1, 20_001)
    each = [trips.host.takes(miss, rank, 256.0)[0] for rank in ranks]
    assert min(each) < max(each)
    mean = np.average(each, weights=[rank**-traffic.zipf_exponent for rank in ranks])
    assert mean == pytest.approx(trips.host.takes(miss, 0, 256.0)[0], rel=1e-6)


def small_caches(nic):
    """The NIC with its largest memory alone, and a fortieth of its caches."""
    level = nic.memory_levels[-1]
    caches = [replace(cache, bytes=cache.bytes / 40.0) for cache in level.caches]
    tables = nic.match_tables and replace(nic.match_tables, cached_entries=400)
    return replace(nic, memory_levels=[replace(level, caches=caches)], match_tables=tables)


@pytest.mark.parametrize("nic", sorted(NICS))
@pytest.mark.parametrize(
    ("name", "sides"),
    [("nat", "SCS"), ("firewall", "NRN"), ("flow_monitor", "SRC"), ("upf", "SNNR")],
)
def test_packets_of_all_ranks_wait_at_the_nic_as_the_model_says_on_average(name, sides, nic):
    """Established packets by the popularity of their flows, first and last ones of any flow."""
    traffic, made, at_nic = profile(), function(name), small_caches(NICS[nic]())
    offloaded = 5e3 if "S" in sides else 0.0
    cost = cost_of(name, sides, traffic, offloaded, at_nic)
    assert isinstance(cost, PlanCost)
    model = CostModel(
        program=made,
        profile=traffic,
        nic=at_nic,
        cpu=part("hardware/cpu", "server-32"),
        stack=part("packet_stack", "poll_mode"),
    )
    trips = Trips(model, cost)
    ranks = np.arange(1, 20_001)
    popular = ranks**-traffic.zipf_exponent
    shares = {"EH": popular * (ranks <= offloaded), "EM": popular * (ranks > offloaded)}
    shares["N"] = shares["T"] = np.ones(len(ranks))
    several = 0
    for i, kind in enumerate(PACKET_TYPES):
        if not shares[kind].any():
            continue
        found = [trips.find(i, int(rank)) for rank in ranks]
        each = {
            id(trip): (
                sum(part.wait_s for leg in (*trip.before, *trip.after) for part in leg.segments),
                trip.match_before_s + trip.match_after_s,
            )
            for trip in (*found, trips.find(i, 0))
        }
        several += len({each[id(trip)] for trip in found}) > 1
        mean = np.average([each[id(trip)] for trip in found], axis=0, weights=shares[kind])
        assert mean == pytest.approx(each[id(trips.find(i, 0))], rel=1e-3), kind
    assert several >= 2


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("nic", sorted(NICS))
def test_trips_are_what_the_cost_model_averages(name, nic):
    """By type of packet: cycles of the NIC's cores and its waits, look-ups, time at the host."""
    made, traffic = NICS[nic](), profile()
    found = function(name)
    for sides in product(*[state.options for state in found.states]):
        plan = Plan("".join(sides), 500.0 if "S" in sides else 0.0, (True,) * len(found.blocks))
        model = CostModel(
            program=found,
            profile=traffic,
            nic=made,
            cpu=part("hardware/cpu", "server-32"),
            stack=part("packet_stack", "poll_mode"),
        )
        cost = model.cost(plan)
        if not isinstance(cost, PlanCost):
            continue
        trips = Trips(model, cost)
        for i, kind in enumerate(PACKET_TYPES):
            trip, work = trips.find(i, 0), cost.nic.work[kind]
            segments = [each for leg in (*trip.before, *trip.after) for each in leg.segments]
            cycles = sum(each.issue_s for each in segments) * made.clock_hz
            waits = sum(each.wait_s for each in segments) * made.clock_hz
            assert cycles == pytest.approx(work.issue_cycles)
            assert waits == pytest.approx(work.wait_cycles)
            looked_up = trip.match_before_s + trip.match_after_s
            states = model.at_nic.states
            assert looked_up == pytest.approx(
                sum(states.lookup_s(s, plan.sides[s], plan.offloaded, kind) for s in work.tables)
            )
            host = model.host.path_cycles(cost.paths[kind], plan.sides) / model.cpu.clock_hz
            assert trips.host.takes(i, 0, 256.0)[0] == pytest.approx(host)
            by_rank = np.mean([trips.host.takes(i, rank, 256.0)[0] for rank in (1, 20_000)])
            assert (by_rank > 0.0) == (host > 0.0)


def test_a_larger_packet_keeps_a_core_of_the_nic_longer():
    made = program(
        name="bytes",
        states={},
        blocks=[
            {"name": "b", "classes": "NET", "cpu_cycles": 1, "npu_cycles": 100}
            | {"cycles_per_byte": 1.0}
        ],
        source={"states": "none", "blocks": "by hand"},
    )
    small, large = (profile(rate_pps=1e6, packet_bytes=size) for size in (100.0, 900.0))
    workload = {"phases": [Phase(4e-3, large)], "evenly": True}
    run = Run(made, "", small, packets=None, until_s=8e-3, log=False, workload=workload)
    cycles = 224 + 100 + (100 + 900) / 2
    assert run.go()["utilisation.cores"] == pytest.approx(1e6 * cycles / (50 * 0.8e9), rel=2e-3)


# Anchors of the Agilio: measurements of 60-byte packets (CoNEXT 2021)


def count_min(rows):
    """A sketch of so many rows in the large memory: 531 + 67 n cycles are measured, 224 of them the
    firmware's, four the issue of each of the n additions."""
    return program(
        name="sketch",
        states={"cms": {"entry_bytes": 4, "entries": 4e6, "consistency": "add"}} if rows else {},
        blocks=[
            {
                "name": "count",
                "classes": "NET",
                "cpu_cycles": 1,
                "npu_cycles": 531 + 67 * rows - 224 - 4 * rows,
                "uses": {"cms": {"adds": rows}},
            }
        ],
        source={"states": "measured", "blocks": "measured"},
    )


def plain(cycles):
    return program(
        name="plain",
        states={},
        blocks=[{"name": "work", "classes": "NET", "cpu_cycles": 1, "npu_cycles": cycles - 224.0}],
        source={"states": "measured", "blocks": "measured"},
    )


@pytest.mark.parametrize(
    ("made", "sides", "cores", "mpps"),
    [
        (plain(416.9), "", 1, 1.9187),
        (plain(1266.0), "", 1, 0.63188),
        (plain(416.9), "", 50, 54.4),
        (count_min(4), "N", 50, 50.04),
        (count_min(5), "N", 50, 46.17),
        (count_min(10), "N", 50, 24.93),
    ],
    ids=["empty", "heavier", "port", "4 rows", "5 rows", "10 rows"],
)
def test_anchors(made, sides, cores, mpps):
    nic = agilio()
    if cores < nic.cores:
        nic = replace(nic, islands=1, cores_per_island=cores)
    traffic = profile(packet_bytes=60.0, rate_pps=mpps * 1e6)
    run = Run(
        made,
        sides,
        traffic,
        nic=nic,
        packets=None,
        until_s=40_000 / (mpps * 1e6),
        burst=4,
        window=nic.cores * 4 + 256,
        warm_up_s=20_000 / (mpps * 1e6),
        log=False,
    )
    assert run.go()["throughput_mpps"] == pytest.approx(mpps, rel=0.03)


# From the command line's settings


@pytest.mark.parametrize(
    "settings",
    [
        ["experiment=cora", "program=nat", "until_s=5e-4", "warm_up_s=1e-4", "traffic.flows=1e4"],
        ["experiment=cora", "program=upf", "smartnic=bluefield-2", "until_s=3e-4", "warm_up_s=0"],
        ["experiment=cora", "partition=fixed", "partition.sides=CCC", "until_s=2e-4", "burst=4"],
        ["experiment=cora_runtime", "program=firewall", "until_s=1.2"],
    ],
    ids=["nat", "upf", "by hand", "runtime"],
)
def test_experiments(settings):
    result = run_config(compose([*settings, "warm_up_s=0.0"]))
    assert result.number("dataplane.throughput_mpps") == pytest.approx(14.5, rel=0.1)
    assert len(result.table("dataplane_plans")) == result.number("dataplane.plans")


def test_a_run_names_its_plan_and_what_binds_it(tmp_path):
    """BlueField-2 has the engine, the Agilio has not: encryption stays at the host there."""
    words = ["experiment=cora", "program=ipsec_gateway", "until_s=0.005", "warm_up_s=0.0"]
    for smartnic, label, bound_by, lacking in (
        ("agilio-cx", "CNN", "PCIe bytes", "crypto (aes-gcm)"),
        ("bluefield-2", "NNN", "line rate", None),
    ):
        result = run_config(compose([*words, f"smartnic={smartnic}"]), tmp_path / smartnic)
        summary = result.summary
        assert summary["dataplane.plan"] == label
        assert summary["dataplane.bound_by"] == bound_by
        assert summary.get("dataplane.no_accelerator") == lacking
        (row,) = result.table("dataplane_plans").to_dict("records")
        assert (row["asked_s"], row["decided_s"], row["sides"]) == (0.0, 0.0, label)
        assert (row["nodes"], row["bound_by"]) == (summary["dataplane.search_nodes"], bound_by)
        said = headline(result)
        assert f"plan {label}, whose highest rate is bound by {bound_by}" in said
        assert ("for want of an accelerator: crypto (aes-gcm)" in said) == bool(lacking)
        page = write_report(tmp_path / smartnic).read_text()
        assert f"plan {label}, bound by {bound_by}" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        # Insertions have filled no queue yet, and both halves are as fast.
        (["program=nat"], r"36\.\d in the second, in which the queue of inserts grew by 1\.\d+ s"),
        # They fill the window as it is measured.
        (["program=nat", "traffic=short_flows"], r"2\d\.\d in the second"),
        (["program=firewall"], ""),
    ],
    ids=["queue", "rate", "settled"],
)
def test_a_highest_rate_that_has_not_settled_is_told(words, told, tmp_path):
    words = ["experiment=cora", "window=700", "until_s=0.005", "warm_up_s=0.001", *words]
    result = run_config(compose(words), tmp_path)
    whole, *halves = (
        result.number(f"dataplane.throughput_mpps{half}")
        for half in ("", ".first_half", ".second_half")
    )
    assert sum(halves) / 2 == pytest.approx(whole)
    notes = [line for line in headline(result).splitlines() if line.startswith("note: ")]
    page = write_report(tmp_path).read_text()
    assert len(notes) == page.count("The highest rate has not settled") == bool(told)
    if told:
        assert re.search(told, notes[0])


def test_looking_at_halves_changes_nothing(monkeypatch):
    words = ["experiment=cora", "window=700", "until_s=0.001", "warm_up_s=0.0002"]
    looked = run_config(compose(words)).summary
    monkeypatch.setattr(DataPlane, "_halve", lambda *_: None)
    plain = run_config(compose(words)).summary
    more = {"growing_queue", "queue_growth"}
    more |= {f"throughput_mpps.{half}_half" for half in ("first", "second")}
    assert looked.keys() - plain.keys() == {f"dataplane.{key}" for key in more}
    assert plain.items() <= looked.items()


def test_latencies_of_all_are_those_of_the_types_together():
    run = Run("firewall", "CCC", profile(rate_pps=8e6), packets=8000, fixed_cores=4)
    figures = run.go()
    counts = run.system.path.counts.left
    means = [figures[f"latency_us.{kind}.mean"] or 0.0 for kind in PACKET_TYPES]
    assert figures["latency_us.mean"] == pytest.approx(np.average(means, weights=counts))
    latencies = np.array([fact.latency_s for fact in run.log.left]) * 1e6
    assert figures["latency_us.p99"] == pytest.approx(np.percentile(latencies, 99), rel=0.01)


def test_flows_that_nobody_ranks_are_learned():
    """Packets that say nothing of popularity: heavy flows come to the NIC by the sketch."""
    words = ["packets=campus", "traffic=campus", "burst=1", "until_s=0.1", "warm_up_s=0.0"]
    words += ["program=firewall", "partition=fixed", "partition.sides=SRR"]
    words += ["partition.offloaded=500", "traffic_monitor.interval_s=0.01"]
    words += ["traffic_monitor.sample=4"]
    result = run_config(compose(["experiment=cora", *words]))
    assert result.number("dataplane.packets_dropped") == 0
    assert result.number("dataplane.offloaded_flows") > 20
    assert result.number("dataplane.latency_us.EH.mean") < result.number(
        "dataplane.latency_us.EM.mean"
    )


# Bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"informed": True}, "informed is true with rates=False and learn=False"),
        ({"learn": True, "burst": 2}, "learn is true with burst=2: so many flows end where one"),
        ({"burst": 0}, "burst is 0; it must be a whole number of at least 1"),
        ({"window": 0}, "window is 0; it must be a whole number of at least 1"),
        ({"decide_s": 0.0}, "decide_s is 0.0; it must be a number above 0"),
        ({"warm_up_s": -1.0}, "warm_up_s is -1.0; it must be a number of at least 0"),
        ({"steering": "rss"}, "steering is 'rss'; it must be flow or any"),
        ({"steering": "flow", "rates": True}, "steering is flow with rates=true: .*steering=any"),
        ({"decide_s": 1e-3}, "decide_s is 0.001; Fixed keeps its first plan, and learn is false"),
        (
            {"decide_s": 0.1, "learn": True, "until_s": 0.1},
            "decide_s is 0.1; .* below until_s, 0.1",
        ),
        ({"sides": "SCS", "offloaded": 3e4}, "offloaded is 30000; the traffic has 20000 flows"),
        ({"program": "ipsec_gateway", "sides": "NCN"}, "no accelerator aes-gcm for block crypto"),
        ({"cores": 33}, "cores is 33; node0/cpu has 32, give 1 to that many"),
        (
            {"monitor": {"sample": 0}},
            "monitor.sample is 0; it must be a whole number of",
        ),
        ({"monitor": {"weight": 2.0}}, r"monitor.weight is 2.0; it must be in \(0, 1\]"),
        (
            {"monitor": {"interval_s": 0.0}},
            "monitor.interval_s is 0.0; it must be a number",
        ),
        ({"limits": {"ring": 0}}, "ring"),
        ({"limits": {"ring": 1.5}}, "queue limits default: ring is 1.5; it must be a whole number"),
        ({"fixed_cores": -1}, "fixed_cores is -1; it must be a whole number of at least 1"),
        ({"fixed_cores": 2.5}, "fixed_cores is 2.5; it must be a whole number of at least 1"),
        ({"fixed_cores": 9, "cores": 8}, "fixed_cores is 9; packets may use 8, see cores"),
        ({"cores": 0}, "cores is 0; it must be a whole number of at least 1"),
        ({"cores": "many"}, "cores is 'many'; it must be a whole number of at least 1"),
        ({"window": 1.5}, "window is 1.5; it must be a whole number of at least 1"),
        ({"decide_s": "soon"}, "decide_s is 'soon'; it must be a number above 0"),
        ({"own_caches": "maybe"}, "own_caches is 'maybe'; it must be true or false"),
        ({"until_s": 0.004, "warm_up_s": 1.0}, "warm_up_s is 1.0; it must be below until_s, 0.004"),
        ({"rates": True, "window": 5}, "window is 5 with rates=true: .* take window=null"),
        ({"rates": True, "burst": 8}, "burst is 8 with rates=true: .* take burst=1"),
        ({"rates": True, "own_caches": True}, "own_caches is True with rates=true: .*=false"),
        ({"workload": {"evenly": "maybe"}}, "packets: evenly is 'maybe'; it must be true or false"),
        (
            {"workload": {"sizes": {"shares": 1}}},
            "packets: sizes is {'shares': 1}; it must be",
        ),
        ({"workload": {"phases": [{"start_s": 1}]}}, r"packets: phases\[0\] is {'start_s': 1}"),
        ({"sides": "NNN"}, "plan"),
        ({"sides": "CC"}, "'CC' for 3 states"),
        ({"sides": "CSC"}, "state ports on side 'S'; it may be one of N, C"),
    ],
)
def test_bad_input_is_named(settings, message):
    with pytest.raises(Exception, match=message) as raised:
        Run(**settings).go()
    assert type(raised.value).__name__ in ("ConfigError", "CapacityError")


def test_bursts_of_the_packets_and_of_the_system_must_agree():
    with pytest.raises(ConfigError, match=r"burst is 8, that of the packets is 2"):
        Run(burst=8, workload={"burst": 2})


def test_packets_without_end_need_an_end_of_the_run():
    with pytest.raises(ConfigError, match="until_s: must be given, since the packets of dataplane"):
        Run(packets=None).go()


def test_two_network_functions_need_two_nics():
    run = Run(until_s=1e-3)
    run.simulation.add(Run(name="other").system)
    with pytest.raises(ConfigError, match="other: no node of the cluster has a SmartNIC of its"):
        run.simulation.run()


@pytest.mark.parametrize("rates", [False, True])
def test_power_follows_the_cores_at_work(rates):
    run = Run("upf", "NNNR", profile(rate_pps=20e6), packets=None, until_s=4e-3, rates=rates)
    figures = run.go()
    nic = run.cluster.nodes[0].smartnic
    power_w = nic.meter.energy_j(4e-3) / 4e-3
    spec = nic.spec
    share = figures["utilisation.cores"]
    assert share > 0.4
    assert power_w == pytest.approx(spec.idle_w + share * (spec.peak_w - spec.idle_w), rel=0.01)


def test_a_node_with_a_smartnic_is_needed():
    run = Run()
    node = replace(part("hardware/node", "smartnic-server"), smartnic=None)
    run.simulation.cluster = Cluster([NodeCount(node)])
    with pytest.raises(ConfigError, match="no node of the cluster has a SmartNIC of its own"):
        run.simulation.run()
