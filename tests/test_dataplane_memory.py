"""Bandwidth of the host's memory: what packets move, and what they leave to others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dataplane_kit import Run, profile
from hypothesis import given
from hypothesis import strategies as st
from network_function_kit import agilio, model, part

from models.errors import ConfigError
from models.hardware.cache_level import CacheLevel
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import plan
from models.network_functions.program_text import program
from models.network_functions.traffic import PACKET_TYPES
from models.network_functions.trip import Trips
from sim.dataplane.host_memory import HostMemory

#: Of 20 000 entries of 64 bytes, equally popular, the last cache holds half.
EVEN = profile(zipf_exponent=0.0)
#: Bytes of memory for a packet: half of the operations miss, and those that change their entry move
#: two lines. A first packet reads 2 and inserts 2, the others read 2 and write 1.
FIRST, OTHER = 0.5 * 6 * 64, 0.5 * 4 * 64
EACH = 0.05 * FIRST + 0.95 * OTHER


def table():
    """A table with an entry for each flow."""
    return program(
        name="table",
        states={"t": {"entry_bytes": 64, "entries_per_flow": 1, "consistency": "rmw"}},
        blocks=[
            {"name": "look", "classes": "NET", "cpu_cycles": 100, "npu_cycles": 100}
            | {"uses": {"t": {"reads": 2}}},
            {"name": "make", "classes": "N", "cpu_cycles": 100, "uses": {"t": {"inserts": 2}}},
            {"name": "note", "classes": "ET", "cpu_cycles": 50, "npu_cycles": 50}
            | {"uses": {"t": {"writes": 1}}},
        ],
        source={"states": "test", "blocks": "test"},
    )


def host(bandwidth=128e9):
    """32 cores with small caches and that much bandwidth."""
    caches = (
        CacheLevel(name="L2", bytes=320e3, cycles=14.0),
        CacheLevel(name="LLC", bytes=640e3, cycles=60.0),
    )
    cpu = part("hardware/cpu", "server-32")
    return replace(cpu, caches=caches, memory_bandwidth_bytes_per_s=bandwidth)


def priced(sides="C", offloaded=0.0, traffic=EVEN, share=0.0, bandwidth=128e9):
    of = CostModel(
        program=table(),
        profile=traffic,
        nic=agilio(),
        cpu=host(bandwidth),
        stack=replace(part("packet_stack", "poll_mode"), packet_memory_share=share),
    )
    cost = of.cost(plan(of.program, sides, offloaded))
    assert isinstance(cost, PlanCost)
    return of, cost


def test_bytes_of_memory_by_hand():
    of, cost = priced()
    each = {kind: of.host.path_bytes(cost.paths[kind]) for kind in PACKET_TYPES}
    assert each == pytest.approx({"EH": OTHER, "EM": OTHER, "N": FIRST, "T": OTHER})
    assert cost.host_bytes == pytest.approx(EACH)
    # Half of the flows end at the NIC, the packets of their middle do.
    assert priced("S", 10_000.0)[1].host_bytes == pytest.approx(EACH - 0.45 * OTHER)
    # A quarter of a packet's bytes goes in, to the core, back and out.
    assert priced(share=0.25)[1].host_bytes == pytest.approx(EACH + 256.0)


def test_what_fits_into_caches_moves_nothing():
    of = model("nat", profile(flows=1000.0))
    cost = of.cost(plan(of.program, "CCC"))
    # The pool of ports is 2 MB of 20: nothing misses.
    assert cost.host_bytes == 0.0


def test_memory_may_be_what_binds():
    _, cost = priced(bandwidth=1e9)
    assert cost.binding() == "host memory"
    assert cost.highest_rate_pps() == pytest.approx(1e9 / EACH)
    assert priced()[1].binding() != "host memory"


@pytest.mark.parametrize("own_caches", [False, True])
def test_packets_of_all_ranks_move_what_the_model_says_on_average(own_caches):
    of, cost = priced(share=0.25)
    trips = Trips(of, cost, burst=4, own_caches=own_caches)
    for i, kind in enumerate(PACKET_TYPES):
        mean = trips.host.takes(i, 0, 256.0)[1]
        assert mean == pytest.approx(4 * of.host.path_bytes(cost.paths[kind]))
        ranks = [trips.host.takes(i, rank, 256.0)[1] for rank in range(1, 20_001)]
        assert sum(ranks) / len(ranks) == pytest.approx(mean)
        assert trips.host.takes(i, 0, 512.0)[1] - mean == pytest.approx(4 * 256.0)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 2.0), st.floats(0.1, 9.0), st.sampled_from([0.5, 1.0, 4.0])),
        min_size=1,
    )
)
def test_memory_moves_every_byte_once_and_never_faster_than_it_can(steps):
    """Waits, sizes, and bandwidths from then on."""
    memory = HostMemory()
    memory.provide(0.0, 1.0)
    time_s = asked = could = 0.0
    rate = 1.0
    for wait_s, size, next_rate in steps:
        time_s, could = time_s + wait_s, could + wait_s * rate
        end = memory.move(time_s, size)
        asked += size
        left = asked - memory.moved(time_s)
        assert end == pytest.approx(time_s + left / rate)
        assert memory.moved(time_s) <= min(asked, could) + 1e-9
        memory.provide(time_s, next_rate)
        rate = next_rate
    assert memory.moved(time_s + 1e3) == pytest.approx(asked)


def test_wrong_parts_are_named():
    cpu = host()
    with pytest.raises(ConfigError, match="memory_cycles is given, line_bytes is not; give what"):
        replace(cpu, line_bytes=None)
    with pytest.raises(ConfigError, match=r"poll_mode: packet_memory_share is 1\.5; it must be a"):
        priced(share=1.5)


# Shared hosts


class Shared:
    """A data path and another tenant, which reads as much as it gets between two times."""

    def __init__(
        self, rates, sides="C", offloaded=0.0, bandwidth=1.6e9, until_s=0.02, span=None, **run
    ):
        settings = {"packets": None, "fixed_cores": 4, "burst": 1 if rates else 4, "log": False}
        settings |= {"monitor": {"interval_s": 1e-3}, "steering": "any", "cpu": host(bandwidth)}
        settings |= {"limits": {"ring": 64}}
        self.run = Run(
            table(),
            sides,
            EVEN,
            offloaded=offloaded,
            until_s=until_s,
            rates=rates,
            **settings | run,
        )
        self.seen = []
        at = self.run.simulation.at
        for ms in range(1, round(until_s * 1e3)):
            at(ms * 1e-3 + 0.5e-3, self._look)
        if span is not None:
            at(span[0], self._begin)
            at(span[1], lambda _: self.load.stop())

    @property
    def cpu(self):
        return self.run.cluster.nodes[0].cpu

    def _begin(self, _):
        wanted = self.cpu.spec.memory_bandwidth_bytes_per_s
        self.load = self.cpu.load(bandwidth_wanted_bytes_per_s=wanted, tenant="llm")

    def _look(self, _):
        now = self.run.simulation.now
        totals = self.run.system.carrier.totals(now)
        self.seen.append((now, totals.left, totals.memory_bytes, self.cpu.read_bytes))

    def go(self):
        self.figures = self.run.go()
        return self

    def rate(self, column, from_s, until_s):
        """What was counted a second between two looks."""
        rows = [row for row in self.seen if from_s - 1e-9 <= row[0] <= until_s + 1e-9]
        return (rows[-1][column] - rows[0][column]) / (rows[-1][0] - rows[0][0])


LEFT, MOVED, READ = 1, 2, 3
RATES = pytest.mark.parametrize("rates", [False, True])


@RATES
def test_alone_packets_have_what_they_move(rates):
    shared = Shared(rates).go()
    assert shared.rate(LEFT, 2.5e-3, 18.5e-3) == pytest.approx(10e6, rel=0.02)
    assert shared.figures["memory_gbps"] == pytest.approx(8e-9 * 10e6 * EACH, rel=0.02)
    # Taken as cores are: with a margin, by what was moved of late.
    assert shared.cpu.read_bytes == pytest.approx(0.02 * 10e6 * EACH / 0.95, rel=0.02)
    assert shared.run.system.provision.memory_bytes_per_s == 1.6e9


@RATES
@pytest.mark.parametrize("cores", [3, 20])
def test_packets_get_their_half_of_the_bandwidth_and_the_rest_back(rates, cores):
    """10 M x 131.2 bytes of 1.6 GB/s, of which another wants all for a while: both have half, and
    the cores that poll are as many as before."""
    shared = Shared(rates, fixed_cores=cores, span=(5e-3, 13e-3)).go()
    assert shared.rate(LEFT, 1.5e-3, 4.5e-3) == pytest.approx(10e6, rel=0.03)
    assert shared.rate(LEFT, 7.5e-3, 12.5e-3) == pytest.approx(0.8e9 / EACH, rel=0.03)
    assert shared.rate(MOVED, 7.5e-3, 12.5e-3) == pytest.approx(0.8e9, rel=0.01)
    assert shared.rate(READ, 7.5e-3, 12.5e-3) == pytest.approx(1.6e9)
    assert shared.load.read_bytes == pytest.approx(0.8e9 * 8e-3)
    assert shared.rate(LEFT, 15.5e-3, 18.5e-3) == pytest.approx(10e6, rel=0.03)
    assert shared.run.system.provision.provided_s(0.02) == pytest.approx(cores * 0.02)
    assert shared.figures["drop_share.ring"] > 0.1


@RATES
def test_more_cores_are_no_answer_to_slow_memory(rates):
    """Packets are dropped for want of bandwidth: no core is taken for them in vain."""
    shared = Shared(rates, fixed_cores=None, until_s=0.03, span=(1e-3, 29e-3)).go()
    assert shared.run.system.provision.provided_s(0.03) < 3.1 * 0.03
    assert shared.rate(LEFT, 10.5e-3, 28.5e-3) == pytest.approx(0.8e9 / EACH, rel=0.03)


@RATES
def test_a_plan_that_moves_less_leaves_more_to_others(rates):
    """With half of the flows at the NIC packets want less than their half: all of them pass, and
    the tenant has the rest."""
    _, cost = priced("S", 10_000.0)
    wants = 10e6 * cost.host_bytes
    shared = Shared(rates, "S", 10_000.0, span=(1e-3, 19e-3)).go()
    assert wants < 0.8e9
    assert shared.rate(LEFT, 3.5e-3, 18.5e-3) == pytest.approx(10e6, rel=0.02)
    got = shared.load.read_bytes / 18e-3
    assert got == pytest.approx(1.6e9 - wants / 0.95, rel=0.02)


def test_a_full_window_never_moves_more_than_its_half():
    """Packets that come as fast as they leave want all that their cores could move."""
    shared = Shared(False, window=256, fixed_cores=4, span=(5e-3, 19e-3)).go()
    assert shared.rate(LEFT, 7.5e-3, 18.5e-3) == pytest.approx(0.8e9 / EACH, rel=0.03)


@RATES
def test_packets_that_end_at_the_nic_leave_all_of_it(rates):
    """First packets alone come to the host: the NIC has the table, the host puts entries in."""
    shared = Shared(rates, "N", burst=1, span=(1e-3, 19e-3)).go()
    _, cost = priced("N")
    assert cost.host_bytes == pytest.approx(0.05 * 0.5 * 4 * 64)
    got = shared.load.read_bytes / 18e-3
    assert got == pytest.approx(1.6e9 - 10e6 * cost.host_bytes / 0.95, rel=0.02)


@pytest.mark.parametrize(("sides", "offloaded"), [("C", 0.0), ("S", 10_000.0), ("N", 0.0)])
def test_host_attention_is_faster_where_packets_end_at_the_nic(sides, offloaded):
    """Reading a KV cache takes what packets leave: half at least."""
    shared = Shared(True, sides, offloaded)
    took = []

    def attend(_):
        task = shared.cpu.task(
            core_seconds=2e-3, bytes_to_read=8e6, cores_wanted=16.0, tenant="neo host attention"
        )
        began = shared.run.simulation.now
        task.callbacks.append(lambda _: took.append(shared.run.simulation.now - began))

    shared.run.simulation.at(5e-3, attend)
    shared.go()
    wants = 10e6 * priced(sides, offloaded)[1].host_bytes / 0.95
    assert took == [pytest.approx(8e6 / (1.6e9 - min(wants, 0.8e9)), rel=0.01)]


@RATES
def test_what_others_leave_is_known_at_once(rates):
    """The runtime looks once in 100 ms; the bandwidth of packets follows others meanwhile."""
    shared = Shared(rates, monitor={"interval_s": 0.1}, span=(5e-3, 13e-3))
    left = []

    def look(_):
        left.append(shared.run.system.provision.memory_bytes_per_s)

    for ms in (4, 6, 12, 14):
        shared.run.simulation.at(ms * 1e-3, look)
    shared.go()
    assert left == pytest.approx([1.6e9, 0.8e9, 0.8e9, 1.6e9])
    assert shared.rate(MOVED, 5.5e-3, 12.5e-3) == pytest.approx(0.8e9, rel=1e-3)
