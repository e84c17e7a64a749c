"""Programs, paths and costs of network functions on a SmartNIC and host cores."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_function_kit import (
    CONFIGS,
    FUNCTIONS,
    agilio,
    bluefield,
    cpu_only,
    function,
    model,
    part,
    traffic,
)

from models.errors import ConfigError
from models.hardware import CacheLevel
from models.network_functions.chain import chain
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.levels import place
from models.network_functions.locality import cached_share, read_cycles
from models.network_functions.matched import Matched, Rest, Room, best_matched
from models.network_functions.nic_demand import NicDemand
from models.network_functions.path import NoPath, Path, allowed, paths
from models.network_functions.plan import Plan, plan
from models.network_functions.program import Block, Operations, Program, State
from models.network_functions.program_text import program
from models.network_functions.traffic import PACKET_TYPES, TrafficProfile, at_load
from models.network_functions.zipf import harmonic, head_share
from models.queueing import closed_throughput

SOURCE = {"states": "here", "blocks": "here"}


def priced(of: CostModel, made: Plan) -> PlanCost:
    cost = of.cost(made)
    assert isinstance(cost, PlanCost), cost
    return cost


# --- popularity and traffic


@pytest.mark.parametrize(
    ("head", "shares"),
    [
        (1e2, (0.1087, 0.3604, 0.6829)),
        (1e3, (0.2068, 0.5201, 0.8218)),
        (1e4, (0.3624, 0.6800, 0.9096)),
        (1e5, (0.6091, 0.8400, 0.9650)),
        (5e5, (0.8629, 0.9518, 0.9911)),
    ],
)
def test_share_of_the_most_popular_flows(head, shares):
    for exponent, share in zip((0.8, 1.0, 1.2), shares, strict=True):
        assert head_share(head, 1e6, exponent) == pytest.approx(share, abs=6e-5)


@given(st.integers(1, 5000), st.floats(0.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_harmonic_is_the_sum(count, exponent):
    exact = float((np.arange(1, count + 1, dtype=float) ** -exponent).sum())
    assert harmonic(count, exponent) == pytest.approx(exact, rel=1e-9)


@given(st.floats(0.0, 2e6), st.floats(0.0, 2e6), st.floats(0.0, 2.0))
@settings(max_examples=60, deadline=None)
def test_head_share_rises_from_none_to_all(one, other, exponent):
    low, high = sorted((one, other))
    assert head_share(low, 1e6, exponent) <= head_share(high, 1e6, exponent) * (1 + 1e-12)
    assert head_share(0.0, 1e6, exponent) == 0.0
    assert head_share(1e6, 1e6, exponent) == 1.0


@given(st.floats(2.0, 1e9), st.floats(0.0, 1e6))
@settings(max_examples=60, deadline=None)
def test_packet_types_share_the_traffic(length, offloaded):
    weights = traffic(packets_per_flow=length).weights(offloaded)
    assert set(weights) == set(PACKET_TYPES)
    assert sum(weights.values()) == pytest.approx(1.0)
    assert all(weight >= 0.0 for weight in weights.values())
    assert weights["N"] == weights["T"] == 1.0 / length


def test_long_flows_have_established_packets_alone():
    weights = traffic(packets_per_flow=1e15).weights(1e6)
    assert weights["EH"] == pytest.approx(1.0)
    assert weights["EM"] == 0.0


def test_offered_rate_follows_from_the_load():
    assert traffic().rate_pps == pytest.approx(14.49e6, rel=1e-3)
    assert traffic("short_flows").new_flows_per_s == pytest.approx(14.49e6 / 20, rel=1e-3)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("packets_per_flow", 1.5, "packets_per_flow is 1.5; it must be a number of at least 2"),
        ("flows", 0, "flows is 0; it must be a number of at least 1"),
        ("zipf_exponent", float("nan"), "zipf_exponent is nan"),
        ("rate_pps", 0.0, "rate_pps is 0.0; it must be above 0"),
        ("packet_bytes", True, "packet_bytes is True"),
    ],
)
def test_impossible_traffic_is_refused(key, value, message):
    with pytest.raises(ConfigError, match=message):
        traffic(**{key: value})


def test_load_beyond_the_line_is_refused():
    with pytest.raises(ConfigError, match=r"load is 1\.2; it must be in \(0, 1\]"):
        at_load(
            load=1.2,
            line_bytes_per_s=5e9,
            flows=10,
            zipf_exponent=1,
            packets_per_flow=10,
            packet_bytes=256,
        )


# --- programs as data


def test_every_program_of_the_catalogue_can_be_made():
    for file in sorted((CONFIGS / "network_function").glob("*.yaml")):
        made = function(file.stem)
        assert made.name == file.stem
        assert made.states
        assert file.read_text().startswith("# ")
    for file in sorted((CONFIGS / "traffic").glob("*.yaml")):
        assert isinstance(part("traffic", file.stem), TrafficProfile)
        assert "# source:" in file.read_text()


def test_plan_space_is_that_of_the_published_counts():
    counts = {}
    for name in FUNCTIONS:
        made = function(name)
        sides = list(product(*(state.options for state in made.states)))
        split = sum("S" in choice for choice in sides)
        counts[name] = (len(sides) - split + 9 * split) * 2 ** len(made.blocks)
    assert list(counts.values()) == [6272, 38016, 6336, 2112, 1152, 4224, 8448, 129024]


def test_a_chain_is_its_parts_one_after_the_other():
    made = function("firewall_nat_balancer")
    parts = [function(name) for name in ("firewall", "nat", "load_balancer")]
    assert len(made.blocks) == sum(len(each.blocks) for each in parts)
    assert len(made.states) == 10
    assert made.blocks[7].name == "nat.lookup"
    assert made.blocks[7].uses == {"nat.nat": Operations(reads=2.0)}
    # What the host spends adds up, but for receiving and sending once instead of three times.
    alone = sum(cpu_only(model(each)).host_cycles for each in parts)
    assert cpu_only(model(made)).host_cycles == pytest.approx(alone - 2 * 140.0)
    with pytest.raises(ConfigError, match=r"chain c: parts\.a is 3; it must be a program"):
        chain(name="c", parts={"a": 3, "nat": parts[1]})
    with pytest.raises(ConfigError, match="chain c: 1 parts; it needs at least two"):
        chain(name="c", parts={"nat": parts[1]})


def text(**changes):
    data = {
        "name": "p",
        "states": {"t": {"entry_bytes": 8, "entries": 4, "consistency": "rmw"}},
        "blocks": [{"name": "a", "classes": "NET", "cpu_cycles": 10, "uses": {"t": {"reads": 1}}}],
        "source": SOURCE,
    }
    return {**data, **changes}


def state(**changes):
    return {"t": {"entry_bytes": 8, "entries": 4, "consistency": "rmw", **changes}}


def block(**changes):
    made = {"name": "a", "classes": "NET", "cpu_cycles": 10, "uses": {"t": {"reads": 1}}}
    return [{**made, **changes}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "program: name is ''; give the program a name"),
        ({"source": {"states": "x"}}, r"program p: source\.blocks is missing"),
        ({"blocks": []}, r"blocks is \[\]; it must be a list of at least one block"),
        ({"states": []}, r"states is \[\]; it must map names to states"),
        ({"states": state(size=3)}, r"program p: states\.t\.size: no such key; there are entry_b"),
        ({"states": state(consistency="rw")}, r"consistency is 'rw'; it must be one of ro, add"),
        ({"states": state(entries_per_flow=1)}, "entries and entries_per_flow given; it needs one"),
        ({"states": state(entries=None)}, r"states\.t: neither given; it needs one of entries"),
        ({"states": state(entries=-4)}, r"states\.t\.entries is -4; it must be a number above 0"),
        ({"states": {**state(), "u": state()["t"]}}, r"states\.u is used by no block"),
        ({"blocks": block(name=None)}, r"blocks\[0\]\.name is None; give the block a name"),
        ({"blocks": block(classes="NX")}, r"blocks\.a\.classes is 'NX'; it must be letters out of"),
        ({"blocks": block(cpu_cycles="ten")}, r"blocks\.a\.cpu_cycles is 'ten'; it must be a num"),
        ({"blocks": block(cpu_cycles=None)}, r"blocks\.a\.cpu_cycles is missing"),
        ({"blocks": block(npu_cycles=-1)}, r"blocks\.a\.npu_cycles is -1; it must be a number of"),
        ({"source": "me"}, "program p: source is 'me'; it must map states and blocks to texts"),
        ({"blocks": block(cycle=1)}, r"blocks\[0\]\.cycle: no such key"),
        ({"blocks": block(accelerator=1)}, "accelerator is 1; it must be an engine's name"),
        ({"blocks": block(match_action="yes")}, "match_action is 'yes'; it must be true or false"),
        ({"blocks": block(uses=["t"])}, r"uses is \['t'\]; it must map states to operations"),
        ({"blocks": block(uses={"v": {"reads": 1}})}, r"uses\.v: no such state; there are t"),
        (
            {"blocks": block(uses={"t": {"rads": 1}})},
            r"uses\.t\.rads: no such key; there are reads",
        ),
        ({"blocks": block(uses={"t": {}})}, "it needs at least one operation above 0"),
        ({"blocks": block() + block()}, r"blocks\.a stands twice"),
        (
            {"states": state(consistency="add"), "blocks": block(uses={"t": {"writes": 1}})},
            r"uses\.t\.writes: the state's consistency is add; writes need rmw",
        ),
        (
            {"states": state(consistency="ro"), "blocks": block(uses={"t": {"adds": 1}})},
            r"uses\.t\.adds: the state's consistency is ro; adds need add or rmw",
        ),
        (
            {"states": state(consistency="ro"), "blocks": block(uses={"t": {"writes": 1}})},
            "established packets change it",
        ),
        (
            {"blocks": block(match_action=True, uses={"t": {"inserts": 1}})},
            "match tables insert nothing",
        ),
    ],
)
def test_a_wrong_program_names_the_key(changes, message):
    program(**text())
    with pytest.raises(ConfigError, match=message):
        program(**text(**changes))


def test_plans_that_are_none_are_refused():
    upf = function("upf")
    with pytest.raises(ConfigError, match="state qer on side 'R'; it may be one of N, S, C"):
        plan(upf, "NRNN")
    with pytest.raises(ConfigError, match="'NN' for 4 states"):
        plan(upf, "NN")
    with pytest.raises(ConfigError, match="0 flows offloaded with sides 'SNNR'"):
        plan(upf, "SNNR")
    with pytest.raises(ConfigError, match="no block pdq; there are parse, pdr"):
        plan(upf, "NNNR", off=["pdq"])
    assert plan(upf, "SNNR", 1e3, off=["urr"]).side(upf, "far") == "R"


# --- paths


def small(*blocks: tuple[str, str, dict[str, Operations]], states: str) -> Program:
    """A program of blocks (name, classes, uses); of `states` those in capitals are of flows."""
    return Program(
        name="small",
        states=tuple(
            State(
                name=name,
                entry_bytes=8.0,
                consistency="rmw",
                entries_per_flow=1.0 if name.isupper() else None,
                entries=None if name.isupper() else 4.0,
            )
            for name in states
        ),
        blocks=tuple(
            Block(name=name, classes=classes, cpu_cycles=100.0, npu_cycles=200.0, uses=uses)
            for name, classes, uses in blocks
        ),
    )


READ = Operations(reads=1.0)
INSERT = Operations(inserts=1.0)
FIVE = small(
    ("rx", "NET", {}),
    ("flow", "NET", {"F": READ}),
    ("make", "N", {"F": INSERT}),
    ("pool", "NET", {"p": READ}),
    ("tx", "NET", {}),
    states="Fp",
)
ALL = (True,) * 5


def test_paths_by_hand():
    assert paths(FIVE, "NN", ALL, ALL) == {
        "EH": Path((0, 1, 3, 4)),
        "EM": Path((0, 1, 3, 4)),
        "N": Path((0, 1, 2, 3, 4)),
        "T": Path((0, 1, 3, 4)),
    }
    # The pool at the host: before it and after it on the NIC.
    found = paths(FIVE, "NC", ALL, ALL)
    assert not isinstance(found, NoPath)
    assert found["EM"] == Path((0, 1), (3,), (4,))
    # Split: only packets of offloaded flows read their entry on the NIC.
    found = paths(FIVE, "SC", ALL, ALL)
    assert not isinstance(found, NoPath)
    assert found["EH"] == Path((0, 1), (3,), (4,))
    assert found["EM"] == Path((0,), (1, 3), (4,))
    assert found["N"] == Path((0,), (1, 2, 3), (4,))
    # A packet that needs the host is wholly there, where the NIC does not own what it needs.
    found = paths(FIVE, "CC", ALL, ALL, whole=True)
    assert not isinstance(found, NoPath)
    assert found["EM"] == Path((), (0, 1, 3, 4))
    refused = paths(FIVE, "SC", ALL, ALL, whole=True)
    assert refused == NoPath("block flow of EH packets needs the NIC between blocks of the host")


def test_an_insertion_at_the_nic_may_come_from_the_host():
    cannot_make = (True, True, False, True, True)
    found = paths(FIVE, "NN", ALL, cannot_make)
    # Then the pool, after the insertion, is on the NIC again.
    assert not isinstance(found, NoPath)
    assert found["N"] == Path((0, 1), (2,), (3, 4))
    assert found["EM"] == Path((0, 1, 3, 4))


def test_one_owner_forces_states_together():
    both = small(("a", "NET", {"F": READ, "p": READ}), states="Fp")
    assert isinstance(paths(both, "NC", (True,), (True,)), NoPath)
    assert not isinstance(paths(both, "CC", (True,), (True,)), NoPath)
    between = small(
        ("a", "NET", {"p": READ}), ("b", "NET", {"F": READ}), ("c", "NET", {"p": READ}), states="Fp"
    )
    refused = paths(between, "NC", (True,) * 3, (True,) * 3)
    assert refused == NoPath("block b of EH packets needs the NIC between blocks of the host")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_blocks_keep_their_order_and_run_once(data):
    """Gallium's rule: before the host only if nothing before must be there, and after it alike."""
    made = function(data.draw(st.sampled_from(FUNCTIONS)))
    sides = "".join(data.draw(st.sampled_from(each.options)) for each in made.states)
    mask = data.draw(st.tuples(*(st.booleans() for _ in made.blocks)))
    capable = model(made).capable
    found = paths(made, sides, mask, capable)
    if isinstance(found, NoPath):
        return
    named = {each.name: side for each, side in zip(made.states, sides, strict=True)}
    for packet, path in found.items():
        assert path.before + path.host + path.after == made.executed(packet[0])
        for b in path.nic:
            assert mask[b]
            assert capable[b]
            assert allowed(made.blocks[b], named, packet)[0]
        for b in path.host:
            assert allowed(made.blocks[b], named, packet)[1]
        if path.host:
            for b in (path.host[0], path.host[-1]):
                assert not (mask[b] and capable[b] and allowed(made.blocks[b], named, packet)[0])


# --- placement


def test_clara_places_its_structures_as_published():
    """Clara (SOSP 2021), public repository, ilp_solving: five structures of a program."""
    sizes = (8e3, 8e3, 10e6, 8e6, 320e3)
    accesses = ((24, 0), (18, 0), (20, 20), (16, 16), (1, 1))
    costs = [[None, 122 * r + 122 * w, 336 * r + 290 * w] for r, w in accesses]
    chosen = place(costs, [[size] * 3 for size in sizes], (4e3, 8e6, 8e9))
    assert chosen == (1, 1, 2, 2, 1)
    assert sum(row[m] for row, m in zip(costs, chosen, strict=True)) == 27904


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_placement_is_that_of_an_integer_program(data):
    from scipy.optimize import Bounds, LinearConstraint, milp

    count, levels = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    number = st.integers(0, 50)
    costs = [[data.draw(st.one_of(st.none(), number)) for _ in range(levels)] for _ in range(count)]
    sizes = [[data.draw(number)] * levels for _ in range(count)]
    capacities = [data.draw(st.integers(0, 120)) for _ in range(levels)]
    chosen = place(costs, sizes, capacities)
    upper = np.array([[0.0 if c is None else 1.0 for c in row] for row in costs]).ravel()
    once = np.kron(np.eye(count), np.ones(levels))
    room = np.kron(np.array([row[0] for row in sizes], dtype=float), np.eye(levels))
    solved = milp(
        np.array([[c or 0.0 for c in row] for row in costs]).ravel(),
        integrality=np.ones(count * levels),
        bounds=Bounds(0.0, upper),
        constraints=[LinearConstraint(once, 1.0, 1.0), LinearConstraint(room, 0.0, capacities)],
    )
    assert (chosen is None) == (solved.status == 2)
    if chosen is not None:
        spent = sum(row[m] for row, m in zip(costs, chosen, strict=True))
        assert spent == pytest.approx(solved.fun, abs=1e-6)


# --- costs


def test_closed_network_by_hand_and_within_its_asymptotes():
    # A wait of 1.75 issues and four threads reach 0.93 of the asymptote.
    assert closed_throughput(1.0, 1.75, 4) == pytest.approx(0.93, abs=0.005)
    assert closed_throughput(2.0, 3.0, 1) == pytest.approx(1 / 5)
    # Two jobs, no delay: the server never rests.
    assert closed_throughput(2.0, 0.0, 2) == pytest.approx(1 / 2)
    with pytest.raises(ValueError, match="0 jobs"):
        closed_throughput(1.0, 1.0, 0)


@given(st.floats(0.1, 1e4), st.floats(0.0, 1e4), st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_threads_never_beat_the_asymptotes(issue, wait, threads):
    rate = closed_throughput(issue, wait, threads)
    assert rate <= min(1.0 / issue, threads / (issue + wait)) * (1 + 1e-9)
    assert rate >= closed_throughput(issue, wait, 1) * (1 - 1e-9)


def test_cost_by_hand():
    """One split table: every figure from the formulas, on a NIC and a host of round numbers."""
    profile = TrafficProfile(
        flows=1000, zipf_exponent=0.0, packets_per_flow=10, packet_bytes=180, rate_pps=1e6
    )
    made = small(
        ("rx", "NET", {}), ("flow", "NET", {"F": READ}), ("make", "N", {"F": INSERT}), states="F"
    )
    of = model(made, profile)
    cost = priced(of, plan(made, "S", 250.0))
    assert cost.weights == pytest.approx({"EH": 0.2, "EM": 0.6, "N": 0.1, "T": 0.1})
    # All 1000 entries of 8 bytes are in L2 (14 cycles). On the host: established and last packets
    # that are not offloaded read (140 + 100 + 14), first ones also insert (100 + 250 + 14).
    moves = 2 * 0.1 * 250 / 1000
    host = 0.7 * 254 + 0.1 * (254 + 364) + moves * 500
    assert cost.host_cycles == pytest.approx(host)
    assert cost.inserts == pytest.approx(moves)
    assert cost.busy_cores(1e6) == pytest.approx(1e6 * host / 2.5e9)
    assert cost.whole_cores(1e6) == 1
    # The NIC: 224 cycles of firmware, the first block; 204 and a cached read (190 cycles) of
    # offloaded packets, a probe (110 and a read) of all others.
    assert cost.nic.issue_cycles == pytest.approx(224 + 200 + 0.2 * 204 + 0.8 * 110)
    assert cost.nic.wait_cycles == pytest.approx(0.2 * 122 + 0.8 * 122)
    assert cost.nic.levels == {"F": "IMEM"}
    seconds = cost.nic.seconds
    assert seconds["cores"] == pytest.approx(cost.nic.issue_cycles / (50 * 800e6))
    threads = (cost.nic.issue_cycles + cost.nic.wait_cycles) / 4
    assert seconds["threads"] == pytest.approx(threads / (50 * 800e6))
    assert seconds["memory IMEM"] == pytest.approx(1.0 / 400e6)
    assert seconds["memory EMEM"] == 0.0
    assert seconds["pcie bytes"] == pytest.approx(0.8 * 240 / 6.25e9)
    assert seconds["pcie packets"] == pytest.approx(0.8 / 36e6)
    assert seconds["inserts"] == pytest.approx(moves / 1e6)
    assert seconds["mac"] == 1 / 54.4e6
    assert seconds["line"] == pytest.approx(200 / 10e9)
    assert cost.nic.stored_bytes == pytest.approx(250 * 8 * 1.33)
    assert cost.binding() == "inserts"
    assert cost.highest_rate_pps() == pytest.approx(1e6 / moves)
    one_core = 0.95 * 2.5e9 / host
    assert cost.highest_rate_pps(1) == pytest.approx(min(one_core, 1e6 / moves))
    assert cost.binding(1) == "host cores"


@pytest.mark.parametrize(
    ("name", "cycles"),
    [
        ("nat", 498.7),
        ("load_balancer", 508.2),
        ("firewall", 452.8),
        ("flow_monitor", 444.5),
        ("heavy_hitter", 538.4),
        ("rate_limiter", 442.6),
        ("ipsec_gateway", 1054.7),
        ("upf", 795.4),
    ],
)
def test_host_cycles_without_offload(name, cycles):
    """Figures of the same formulas, worked out apart from this code."""
    assert cpu_only(model(name)).host_cycles == pytest.approx(cycles, rel=0.01)


def anchor(base: float, rows: int) -> Program:
    """Calibration programs: `base` cycles, and rows of a sketch of 67 cycles and one addition."""
    uses = {"sketch": Operations(adds=float(rows))} if rows else {}
    return Program(
        name="anchor",
        states=(State(name="sketch", entry_bytes=4.0, entries=8e6, consistency="add"),),
        blocks=(
            Block(
                name="work",
                classes="NET",
                cpu_cycles=100.0,
                npu_cycles=base - 224.0 + (67.0 - 4.0) * rows,
                uses=uses,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("base", "rows", "rate_pps", "cores", "binding"),
    [
        (416.9, 0, 1.9187e6, 1, "cores"),
        (1266.0, 0, 0.63188e6, 1, "cores"),
        (531.0, 4, 50.04e6, 50, "cores"),
        (531.0, 5, 46.17e6, 50, "cores"),
        (531.0, 10, 24.93e6, 50, "memory EMEM"),
    ],
)
def test_agilio_reproduces_published_rates(base, rows, rate_pps, cores, binding):
    """Throughput guarantees for SmartNIC programs (CoNEXT 2021), 60-byte packets: within 3 %."""
    nic = replace(agilio(), islands=1 if cores == 1 else 5, cores_per_island=min(cores, 10))
    made = anchor(base, rows)
    of = model(made, traffic(packet_bytes=60.0), nic)
    cost = priced(of, plan(made, "N"))
    assert cost.highest_rate_pps() == pytest.approx(rate_pps, rel=0.03)
    assert cost.binding() == binding


def test_exact_threads_cost_more_than_their_asymptotes():
    rates = {}
    for npu_model in ("asymptotic", "mva"):
        of = model("firewall", npu_model=npu_model)
        seconds = priced(of, plan(of.program, "NNN")).nic.seconds
        rates[npu_model] = max(seconds["cores"], seconds.get("threads", 0.0))
    assert rates["asymptotic"] < rates["mva"] < 1.4 * rates["asymptotic"]
    with pytest.raises(ConfigError, match="npu_model is 'exact'; it must be asymptotic or mva"):
        model("nat", npu_model="exact")


def test_no_free_insertion():
    """Packets that insert at the NIC use its insertion rate, wherever the block runs."""
    of = model("load_balancer", traffic("short_flows"))
    cost = priced(of, plan(of.program, "NNNN"))
    assert cost.inserts == pytest.approx(1 / 20)
    assert cost.utilisations(of.profile.rate_pps)["inserts"] == pytest.approx(0.7246, rel=1e-3)
    # And where the NIC itself could insert, it does so at its own cost.
    made = replace(
        of.program,
        blocks=tuple(
            replace(each, npu_cycles=400.0) if each.name == "insert" else each
            for each in of.program.blocks
        ),
    )
    own = priced(model(made, of.profile), plan(made, "NNNN"))
    assert own.inserts == 0.0
    assert own.nic.seconds["inserts"] == pytest.approx(cost.nic.seconds["inserts"])
    assert own.nic.issue_cycles == pytest.approx(cost.nic.issue_cycles + (400 + 4 + 1800) / 20)
    assert own.host_cycles == 0.0


def test_an_entry_goes_into_both_copies():
    """The host's insertion into a copied table is sent to the NIC as one into its own would be."""
    made = program(
        name="members",
        states={"flow": {"entry_bytes": 32, "entries_per_flow": 1, "consistency": "ro"}},
        blocks=[
            {"name": "find", "classes": "NET", "cpu_cycles": 40, "npu_cycles": 90}
            | {"uses": {"flow": {"reads": 1}}},
            {"name": "begin", "classes": "N", "cpu_cycles": 350, "uses": {"flow": {"inserts": 1}}},
        ],
        source=SOURCE,
    )
    of = model(made, traffic("short_flows"))
    copied, alone, at_host = (priced(of, plan(made, side)) for side in "RNC")
    assert copied.inserts == alone.inserts == pytest.approx(1 / 20)
    assert copied.nic.seconds["inserts"] == pytest.approx(1 / 20 / of.nic.inserts_per_s)
    assert copied.host_cycles == pytest.approx(alone.host_cycles)
    assert at_host.inserts == 0.0


def test_no_more_flows_move_than_there_are():
    of = model("nat")
    whole, more = (priced(of, plan(of.program, "SCS", flows)) for flows in (1e6, 1e7))
    assert more.host_cycles == pytest.approx(whole.host_cycles)
    assert more.nic.seconds == pytest.approx(whole.nic.seconds)


def test_states_that_do_not_fit_are_refused():
    nic = agilio()
    levels = [replace(level, bytes=level.bytes / 100.0) for level in nic.memory_levels]
    of = model("firewall", nic=replace(nic, memory_levels=levels))
    refused = of.cost(plan(of.program, "NNN"))
    assert isinstance(refused, NoPath)
    assert "do not fit the memory of agilio-cx" in refused.reason


def test_copies_for_each_island_hold_no_owned_state():
    of = model("load_balancer")
    levels = priced(of, plan(of.program, "NNNN")).nic.levels
    assert levels["conn"] == "EMEM"
    assert levels["vip"] in ("CLS", "CTM")
    few = priced(model("load_balancer", traffic(flows=10.0)), plan(of.program, "NNNN"))
    assert few.nic.levels["conn"] == "IMEM"


def test_match_tables_take_no_core():
    """Few and long flows: the tables take what costs the cores most for the engine's time."""
    few = traffic(flows=1000.0, packets_per_flow=8000.0)
    of = model("load_balancer", few, bluefield())
    cost = priced(of, plan(of.program, "NNNN"))
    assert cost.nic.levels == {
        "vip": "DRAM",
        "conn": "match tables",
        "maglev": "DRAM",
        "vstat": "DRAM",
    }
    # On the cores: look-up of the address and counting for all packets, the choice of a server and
    # the insertion for 1/8000 of them. All but the choice hit the cache.
    assert cost.nic.issue_cycles == pytest.approx(1.5 * (40 + 20 + (120 + 350 + 250) / 8000))
    choice = of.at_nic.states.read_cycles(2, "DRAM", "N", 0.0, "N")
    assert cost.nic.wait_cycles == pytest.approx(20 + 0.5 * 2 * 20 + choice / 8000)
    assert cost.nic.seconds["match tables"] == pytest.approx(1 / 106.7e6)
    assert cost.nic.seconds["inserts"] == pytest.approx(1 / 8000 / 450e3)
    assert cost.host_cycles == 0.0
    # Short flows would fill the insertion channel; then the cores keep the connections.
    short = priced(model("load_balancer", traffic(flows=1000.0), bluefield()), cost.plan)
    assert short.nic.levels["conn"] == "DRAM"


FEW = st.integers(0, 9).map(float)


@given(
    st.lists(st.tuples(FEW, FEW, FEW, FEW, FEW, st.frozensets(st.sampled_from("EN"))), max_size=5),
    st.dictionaries(st.frozensets(st.integers(0, 4), min_size=1, max_size=3), FEW, max_size=4),
    st.tuples(FEW, FEW, FEW),
    st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_match_tables_are_chosen_exactly(rows, code, rest, threads):
    states = [Matched(i, *row) for i, row in enumerate(rows)]
    code = {needed: each for needed, each in code.items() if max(needed) < len(rows)}

    def cores_s(issue: float, wait: float) -> float:
        return max(issue, (issue + wait) / threads)

    def busiest(chosen: set[int]) -> float:
        here = [each for each in states if each.state in chosen]
        stay = [each for each in states if each.state not in chosen]
        for kind in "EN":
            if sum(kind in each.kinds for each in here) > 2:
                return np.inf
        if sum(each.entries for each in here) > 12.0 or sum(each.bytes for each in stay) > 15.0:
            return np.inf
        issue = rest[0] + sum(each for needed, each in code.items() if not needed <= chosen)
        cores = cores_s(issue, rest[1] + sum(each.wait_cycles for each in stay))
        engine = sum(each.lookup_s for each in here)
        return max(cores, engine, rest[2] + sum(each.insert_s for each in here))

    found = best_matched(states, code, Rest(*rest), Room(12.0, 2, 15.0), cores_s)
    subsets = product((True, False), repeat=len(states))
    least = min(busiest({i for i, on in enumerate(each) if on}) for each in subsets)
    assert (np.inf if found is None else busiest(found)) == least


@pytest.mark.parametrize("name", ["nat", "load_balancer", "flow_monitor", "upf"])
def test_no_other_choice_of_match_tables_makes_a_nic_less_busy(name, monkeypatch):
    """Through the whole cost of a plan, against all sets of states that tables could hold."""
    program = function(name)
    compared = 0
    for profile in (traffic(), traffic("short_flows", flows=2e4)):
        of = model(name, profile, bluefield())
        for sides in product(*(state.options for state in program.states)):
            k = profile.flows / 10.0 if "S" in sides else 0.0
            made = Plan("".join(sides), k, (True,) * len(program.blocks))
            cost = of.cost(made)
            if isinstance(cost, NoPath):
                continue
            run = {b for path in cost.paths.values() for b in path.nic}
            barred = {
                used
                for b in run
                for used, item in program.blocks[b].uses.items()
                if not program.blocks[b].match_action and not item.only_inserts
            }
            free = [
                i
                for i, state in enumerate(program.states)
                if sides[i] != "C" and state.name not in barred
            ]
            for chosen in product((True, False), repeat=len(free)):
                tables = {i for i, on in zip(free, chosen, strict=True) if on}
                with monkeypatch.context() as patch:
                    patch.setattr(NicDemand, "_in_tables", lambda *_, tables=tables: tables)
                    other = of.cost(made)
                stored = sum(of.at_nic.states.stored_entries(i, sides[i], k) for i in tables)
                if isinstance(other, PlanCost) and stored <= of.nic.table_entries:
                    assert cost.nic_s <= other.nic_s * (1 + 1e-12), (sides, tables)
                    compared += 1
    assert compared


def test_a_block_whose_engine_is_missing_stays_at_the_host():
    """Whatever the cores of a NIC could do."""
    blocks = block(accelerator="aes-gcm", npu_cycles=100)
    of = model(program(**text(blocks=blocks)))
    assert of.capable == (False,)
    assert model(of.program, nic=bluefield()).capable == (True,)


def test_encryption_needs_its_engine():
    at_agilio, at_bluefield = model("ipsec_gateway"), model("ipsec_gateway", nic=bluefield())
    crypto = [each.name for each in at_agilio.program.blocks].index("crypto")
    assert not at_agilio.capable[crypto]
    cost = priced(at_bluefield, plan(at_bluefield.program, "NNN"))
    assert cost.nic.seconds["accelerator aes-gcm"] == pytest.approx(256 / 12.5e9)


def test_published_rates_of_chained_match_tables():
    """nic-bench: 16 and 8 tables, 1500-byte packets, spread evenly over so many rules."""
    tables = bluefield().match_tables
    for number, rules, gbps in ((16, 4e6, 23), (16, 1e4, 80), (8, 4e6, 45), (8, 4e4, 63)):
        share = min(1.0, tables.cached_entries / rules)
        rate = 1.0 / (number * tables.lookup_s(share))
        assert rate * 1500 * 8 / 1e9 == pytest.approx(gbps, rel=0.03), (number, rules)


def test_latency_of_caches_by_hand():
    even = traffic(zipf_exponent=0.0, flows=1e6)
    table = State(name="t", entry_bytes=100.0, consistency="rmw", entries_per_flow=2.0)
    caches = (
        CacheLevel(name="L1", bytes=20e6, cycles=10.0),
        CacheLevel(name="L2", bytes=100e6, cycles=50.0),
    )
    # 2 M entries: a tenth in the first, half in both, the rest in memory.
    assert read_cycles(caches, 300.0, table, even) == pytest.approx(0.1 * 10 + 0.4 * 50 + 0.5 * 300)
    assert cached_share(1e9, table, even) == 1.0


def test_latency_at_the_nic_by_type_of_packet():
    """A million flows of one entry of 64 bytes each, half of them offloaded; the cache has room for
    49,152 entries."""
    table = program(
        name="table",
        states={"flow": {"entry_bytes": 64, "entries_per_flow": 1, "consistency": "rmw"}},
        blocks=block(npu_cycles=10, uses={"flow": {"reads": 1}}),
        source=SOURCE,
    )
    of = model(table, traffic(flows=1e6, zipf_exponent=0.0))
    states = of.at_nic.states

    def share(side, offloaded, packet):
        cycles = states.read_cycles(0, "EMEM", side, offloaded, packet)
        return (336.0 - cycles) / (336.0 - 190.0)

    # Of offloaded flows' packets those of cached ones; of all others', which look in vain, first
    # and last packets of those alone.
    assert share("S", 5e5, "EH") == pytest.approx(49_152 / 5e5)
    assert share("S", 5e5, "EM") == 0.0
    assert share("S", 5e5, "N") == share("S", 5e5, "T") == pytest.approx(0.049152)
    # With the entries of all flows there the most popular are cached; all where all fit.
    assert share("N", 0.0, "EM") == pytest.approx(0.049152)
    assert share("S", 4e4, "EM") == share("S", 4e4, "N") == 1.0
    skewed = model(table, traffic(flows=1e6)).profile
    assert skewed.share_within("EM", 1e5, 0.0) == pytest.approx(0.84, abs=1e-3)
    assert skewed.share_within("EH", 1e3, 1e5) == pytest.approx(0.5201 / 0.84, abs=1e-3)
    assert skewed.share_within("EM", 5e5, 1e5) == pytest.approx((0.9518 - 0.84) / 0.16, abs=1e-3)
    assert skewed.share_within("T", 1e5, 1e5) == pytest.approx(0.1)


@given(st.floats(1.0, 1e6), st.floats(0.0, 2.0), st.floats(0.0, 1e6))
def test_types_of_packets_make_up_the_traffic(head, exponent, offloaded):
    profile = traffic(zipf_exponent=exponent)
    weights = profile.weights(offloaded)
    within = {kind: profile.share_within(kind, head, offloaded) for kind in weights}
    assert all(0.0 <= share <= 1.0 for share in within.values())
    established = sum(weights[kind] * within[kind] for kind in ("EH", "EM"))
    total = weights["EH"] + weights["EM"]
    assert established == pytest.approx(total * profile.head_share(head), abs=1e-9)


@given(st.floats(1.0, 1e7), st.floats(1.0, 1e7), st.floats(0.0, 2.0))
@settings(max_examples=60, deadline=None)
def test_a_larger_cache_serves_more(one, other, exponent):
    table = State(name="t", entry_bytes=64.0, consistency="rmw", entries_per_flow=2.0)
    profile = traffic(zipf_exponent=exponent)
    low, high = sorted((one, other))
    few = cached_share(low, table, profile)
    assert 0.0 <= few <= cached_share(high, table, profile) + 1e-12 <= 1.0 + 1e-12


def test_parts_that_are_wrong_are_refused():
    cpu = part("hardware/cpu", "server-32")
    with pytest.raises(ConfigError, match="caches are given, memory_cycles is not"):
        replace(cpu, memory_cycles=None)
    with pytest.raises(ConfigError, match=r"50\.0 cycles of memory must exceed the 60\.0"):
        replace(cpu, memory_cycles=50.0)
    with pytest.raises(ConfigError, match="cache L2 must be larger and slower than LLC"):
        replace(cpu, caches=cpu.caches[::-1])
    plain = part("hardware/cpu", "epyc-7763")
    of = model("nat")
    with pytest.raises(ConfigError, match="epyc-7763: memory_cycles is missing"):
        CostModel(program=of.program, profile=of.profile, nic=of.nic, cpu=plain, stack=of.stack)
    with pytest.raises(ConfigError, match=r"agilio-cx: threads_per_core is 1\.5; it must be a wh"):
        replace(agilio(), threads_per_core=1.5)
    with pytest.raises(ConfigError, match=r"table_slack is 0\.5; it must be at least 1"):
        replace(of.stack, table_slack=0.5)
    with pytest.raises(ConfigError, match=r"most_utilisation is 1\.5; it must be at most 1"):
        replace(of.stack, most_utilisation=1.5)
    with pytest.raises(ConfigError, match=r"io_cycles = 140\.0 has no entry in `source`"):
        replace(of.stack, source={k: v for k, v in of.stack.source.items() if k != "io_cycles"})
