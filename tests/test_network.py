"""Transfers over shared links: exact times, conservation, faults."""

from __future__ import annotations

from math import inf

import pytest

from models.errors import ConfigError
from models.hardware import LinkSpec
from sim.core.environment import SAMPLE
from sim.core.simulation import Simulation
from sim.hardware.facts import TransferEnded
from sim.hardware.network import Network
from sim.hardware.topology import TwoTier

KEYS = ("bandwidth_bytes_per_s", "latency_s", "efficiency", "idle_w", "energy_j_per_byte")


def spec(bandwidth=100.0, latency=0.0, efficiency=1.0, idle_w=0.0, energy=0.0):
    return LinkSpec(
        name="wire",
        bandwidth_bytes_per_s=bandwidth,
        latency_s=latency,
        efficiency=efficiency,
        idle_w=idle_w,
        energy_j_per_byte=energy,
        source=dict.fromkeys(KEYS, "test"),
    )


class Bench:
    """A simulation with a network, and arrivals of transfers by name."""

    def __init__(self):
        self.simulation = Simulation()
        self.network = Network(self.simulation)
        self.arrived: dict[str, float] = {}
        self.order: list[str] = []
        self.sent: dict[str, object] = {}

    def send(self, at_s, name, size, source, target, **options):
        def begin(_):
            transfer = self.network.send(size, source, target, tag=name, **options)
            self.sent[name] = transfer
            transfer.callbacks.append(lambda event: self._arrive(name, event))

        self.simulation.at(at_s, begin)

    def _arrive(self, name, event):
        if event.ok:
            self.arrived[name] = self.simulation.now
        else:
            event.defused = True
            self.arrived[name] = event.value
        self.order.append(name)

    def at(self, time_s, action):
        self.simulation.at(time_s, lambda _: action())

    def run(self, until=None):
        self.simulation.env.run(until)
        return self.arrived


def dumbbell(left=100.0, middle=100.0, right=100.0):
    """a1, a2 - left - x - middle - y - right - b1, b2."""
    bench = Bench()
    for name in ("a1", "a2"):
        bench.network.connect(name, "x", spec(left))
    bench.network.connect("x", "y", spec(middle))
    for name in ("b1", "b2"):
        bench.network.connect("y", name, spec(right))
    return bench


def test_lone_transfer_takes_latency_and_size_over_payload_rate():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0, latency=0.25, efficiency=0.5))
    bench.send(1.0, "one", 200, "a", "b")
    assert bench.run() == {"one": 1.0 + 4.0 + 0.25}


def test_slowest_link_of_the_route_sets_the_rate_and_latencies_add():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0, latency=0.5))
    bench.network.connect("b", "c", spec(50.0, latency=0.25))
    bench.send(0.0, "one", 100, "a", "c")
    assert bench.run() == {"one": 2.75}


def test_two_transfers_share_then_the_rest_has_all():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    bench.send(0.0, "long", 300, "a", "b")
    bench.send(1.0, "short", 100, "a", "b")
    # 100 alone until 1 s, 50 each until the short one ends at 3 s, then 100 bytes are left.
    assert bench.run() == {"short": 3.0, "long": 4.0}
    link = bench.network.links["a->b"]
    assert link.bytes_sent == 400
    assert link.busy_s == 4.0


def test_dumbbell_shares_the_middle_alone():
    bench = dumbbell(left=80.0, middle=100.0)
    bench.send(0.0, "one", 100, "a1", "b1")
    bench.send(0.0, "two", 200, "a2", "b2")
    # 50 each until 2 s; then 80 on its own left link for the 100 left.
    assert bench.run() == {"one": 2.0, "two": 2.0 + 100 / 80}


def test_three_links_have_the_rates_by_hand():
    bench = Bench()
    for a, b, capacity in (("p", "q", 12.0), ("q", "r", 10.0), ("r", "s", 9.0)):
        bench.network.connect(a, b, spec(capacity))
    for name, a, b in (("l", "p", "s"), ("1", "p", "q"), ("2", "q", "r"), ("3", "r", "s")):
        bench.send(0.0, name, 1e6, a, b)
    bench.send(0.0, "4", 1e6, "r", "s")
    bench.run(1.0)
    rates = {name: transfer.rate_bytes_per_s for name, transfer in bench.sent.items()}
    assert rates == {"l": 3.0, "1": 9.0, "2": 7.0, "3": 3.0, "4": 3.0}
    assert [link.rate_bytes_per_s for link in bench.network.links.values()][::2] == [12, 10, 9]


def test_directions_do_not_disturb_each_other():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    bench.send(0.0, "up", 100, "a", "b")
    bench.send(0.0, "down", 100, "b", "a")
    assert bench.run() == {"up": 1.0, "down": 1.0}


def test_caps_and_weights():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    bench.send(0.0, "capped", 10, "a", "b", cap_bytes_per_s=10.0)
    bench.send(0.0, "light", 30, "a", "b")
    bench.send(0.0, "heavy", 60, "a", "b", weight=2.0)
    assert bench.run() == {"capped": 1.0, "light": 1.0, "heavy": 1.0}


def test_transfer_that_keeps_its_rate_keeps_its_end_to_the_bit():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    bench.send(0.1, "steady", 0.7, "a", "b", cap_bytes_per_s=0.1)
    for i in range(40):
        bench.send(0.13 * i, f"t{i}", 9, "a", "b")
    assert bench.run()["steady"] == 0.1 + 0.7 / 0.1


def test_no_bytes_take_the_latency_and_nobody_is_disturbed():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0, latency=0.5))
    bench.send(0.0, "data", 100, "a", "b")
    bench.send(0.25, "ping", 0, "a", "b")
    bench.send(0.25, "home", 50, "a", "a")
    assert bench.run() == {"home": 0.25, "ping": 0.75, "data": 1.5}


def test_equal_times_arrive_in_order_of_sending():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    for i in range(5):
        bench.send(0.0, f"t{i}", 20, "a", "b")
    bench.run()
    assert bench.order == ["t0", "t1", "t2", "t3", "t4"]
    assert set(bench.arrived.values()) == {1.0}


def test_facts_and_energy():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0, latency=0.5, idle_w=3.0, energy=0.01))
    ended = []
    bench.simulation.facts.subscribe(TransferEnded, ended.append)
    bench.send(1.0, "one", 100, "a", "b")
    bench.run()
    assert ended == [TransferEnded(1.0, 2.5, "a", "b", 100, 100, "one")]
    assert bench.network.links["a->b"].energy_j == pytest.approx(3.0 * 2.5 + 1.0)
    assert bench.network.energy_j == pytest.approx(2 * 3.0 * 2.5 + 1.0)


def test_progress_can_be_read_at_any_time():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    bench.send(0.0, "one", 100, "a", "b")
    bench.send(0.0, "two", 100, "a", "b")
    seen = []
    for time_s in (0.0, 0.5, 1.0, 2.0):
        bench.simulation.at(
            time_s,
            lambda _: seen.append(
                (bench.sent["one"].moved_bytes, bench.network.links["a->b"].bytes_sent)
            ),
            SAMPLE,
        )
    bench.simulation.env.run(0.75)
    assert [t.tag for t in bench.network.under_way()] == ["one", "two"]
    bench.run()
    assert seen == [(0.0, 0.0), (25.0, 50.0), (50.0, 100.0), (100.0, 200.0)]


def test_only_the_affected_component_is_solved(monkeypatch):
    import sim.hardware.sharing as sharing

    solved = []
    solve = sharing.Sharing._solve
    monkeypatch.setattr(
        sharing.Sharing, "_solve", lambda s, r, a, now: solved.append(len(a)) or solve(s, r, a, now)
    )
    bench = Bench()
    for pair in range(3):
        bench.network.connect(f"a{pair}", f"b{pair}", spec(100.0))
    bench.send(0.0, "lone", 1000, "a0", "b0")
    for i in range(4):
        bench.send(0.0, f"x{i}", 100 * (i + 1), "a1", "b1")
    bench.send(1.0, "lone too", 100, "a2", "b2")
    bench.run()
    # Four at once are one problem of four; each end leaves one fewer; lone ones are none.
    assert solved == [4, 3, 2, 1]


def test_each_wake_up_ends_a_transfer(monkeypatch):
    import sim.hardware.sharing as sharing

    woken = []
    due = sharing.Sharing._due
    monkeypatch.setattr(
        sharing.Sharing, "_due", lambda self, event: woken.append(self._env.now) or due(self, event)
    )
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    for i in range(50):
        bench.send(i * 0.01, f"t{i}", 100, "a", "b")
    bench.run()
    assert woken == [bench.arrived[f"t{i}"] for i in range(50)]


def test_routes_take_fewest_hops_and_say_when_there_is_none():
    bench = dumbbell()
    assert len(bench.network.route("a1", "b1").links) == 3
    bench.network.connect("a1", "b1", spec(10.0))
    assert [link.name for link in bench.network.route("a1", "b1").links] == ["a1->b1"]
    assert len(bench.network.route("a2", "b1").links) == 3
    bench.network.connect("lonely", "island", spec())
    with pytest.raises(ConfigError, match="no way from 'a1' to 'island'"):
        bench.network.send(1, "a1", "island")
    with pytest.raises(ConfigError, match="no endpoint 'nowhere'"):
        bench.network.send(1, "a1", "nowhere")
    with pytest.raises(ConfigError, match="connected already"):
        bench.network.connect("b1", "a1", spec())
    with pytest.raises(ConfigError, match="connected to itself"):
        bench.network.connect("b1", "b1", spec())


@pytest.mark.parametrize("size", [-1, float("nan"), inf])
def test_impossible_sizes_are_refused(size):
    bench = dumbbell()
    with pytest.raises(ValueError, match="transfer a1 -> b1"):
        bench.network.send(size, "a1", "b1")


def test_two_tiers_share_the_uplink():
    bench = Bench()
    fabric = TwoTier(2, spec(100.0))
    for node in range(4):
        bench.network.connect(f"node{node}", fabric.port(bench.network, node), spec(100.0))
    bench.send(0.0, "near", 100, "node0", "node1")
    bench.send(0.0, "far", 100, "node1", "node2")
    bench.send(0.0, "far too", 100, "node0", "node3")
    # node0 sends to two, so 50 each; rack0's uplink carries 50 + 50.
    assert bench.run() == {"near": 2.0, "far": 2.0, "far too": 2.0}
    assert bench.network.links["rack0->core"].bytes_sent == 200
