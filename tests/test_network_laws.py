"""Transfers under faults, and laws over random transfers."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_network import Bench, dumbbell, spec

from models.fair_share import max_min_rates
from sim.core.environment import SAMPLE
from sim.hardware.facts import DeviceChanged, TransferEnded
from sim.hardware.faults import Down


def test_link_slows_and_recovers_at_exact_times():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    link = bench.network.links["a->b"]
    bench.send(0.0, "one", 400, "a", "b")
    bench.at(1.0, lambda: link.set_speed(0.25))
    bench.at(5.0, lambda: link.set_speed(1.0))
    # 100 until 1 s, 25/s for 4 s make 200, the other 200 take 2 s.
    assert bench.run() == {"one": 7.0}
    assert link.bytes_sent == 400


def test_failed_link_stalls_transfers_until_repair():
    bench = dumbbell()
    cable = bench.network.cables["x--y"]
    changes = []
    bench.simulation.facts.subscribe(DeviceChanged, changes.append)
    bench.send(0.0, "over", 200, "a1", "b1")
    bench.send(1.5, "later", 50, "a2", "b2")
    bench.at(1.0, cable.fail)
    bench.at(3.0, cable.repair)
    # 100 bytes before; from 3 s 50/s each: later ends at 4 s, over has 50 left at 100/s.
    assert bench.run() == {"later": 4.0, "over": 4.5}
    assert bench.network.links["x->y"].busy_s == 2.5
    assert [(c.time_s, c.device, c.what, c.speed) for c in changes] == [
        (1.0, "x->y", "fail", 0.0),
        (1.0, "y->x", "fail", 0.0),
        (3.0, "x->y", "repair", 1.0),
        (3.0, "y->x", "repair", 1.0),
    ]


def test_speed_set_while_a_link_is_down_does_not_bring_it_back():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    link = bench.network.links["a->b"]
    bench.send(0.0, "one", 100, "a", "b")
    for time_s, action in ((0.5, link.fail), (0.75, lambda: link.set_speed(0.5)), (1, link.repair)):
        bench.at(time_s, action)
    assert bench.run() == {"one": 1.5}
    with pytest.raises(ValueError, match="a speed factor is > 0, not 0"):
        link.set_speed(0.0)


def test_failed_link_fails_those_that_asked_and_frees_their_share():
    bench = dumbbell()
    bench.network.connect("a1", "c", spec(100.0))
    link = bench.network.links["a1->x"]
    bench.send(0.0, "fragile", 100, "a1", "b1", on_failure="error")
    bench.send(0.0, "other", 200, "a2", "b2")
    bench.at(1.0, link.fail)
    bench.send(2.0, "refused", 10, "a1", "b1", on_failure="error")
    bench.run()
    assert isinstance(bench.arrived["fragile"], Down)
    assert "a1->x is down at 1.0 s after 50 of 100 bytes" in str(bench.arrived["fragile"])
    assert "after 0 of 10 bytes" in str(bench.arrived["refused"])
    assert bench.arrived["other"] == 2.5
    assert bench.network.links["x->y"].bytes_sent == 250


def test_unheard_failure_stops_the_run():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    bench.simulation.at(0.0, lambda _: bench.network.send(100, "a", "b", on_failure="error"))
    bench.at(0.5, bench.network.links["a->b"].fail)
    with pytest.raises(Down):
        bench.run()


def test_transfer_that_ends_at_the_moment_of_failure_has_arrived():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0, latency=0.5))
    bench.at(1.0, bench.network.links["a->b"].fail)
    bench.send(0.0, "one", 100, "a", "b", on_failure="error")
    assert bench.run() == {"one": 1.5}


def test_cancelled_transfer_never_arrives_and_its_bytes_count():
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    bench.send(0.0, "gone", 400, "a", "b")
    bench.send(0.0, "other", 200, "a", "b")
    ended = []
    bench.simulation.facts.subscribe(TransferEnded, ended.append)
    moved = []
    bench.at(2.0, lambda: moved.append(bench.sent["gone"].cancel()))
    bench.at(2.5, lambda: moved.append(bench.sent["gone"].cancel()))
    assert bench.run() == {"other": 3.0}
    assert moved == [100, 100]
    assert bench.network.links["a->b"].bytes_sent == 300
    assert [(f.tag, f.end_s, f.moved_bytes) for f in ended] == [
        ("gone", 2.0, 100),
        ("other", 3.0, 200),
    ]


@st.composite
def traffic(draw):
    links = draw(st.lists(st.floats(1.0, 100.0), min_size=1, max_size=4))
    flows = draw(
        st.lists(
            st.tuples(
                st.floats(0.0, 10.0),
                st.integers(1, 1000),
                st.integers(0, len(links)),
                st.integers(0, len(links)),
                st.sampled_from([inf, inf, 5.0]),
            ),
            min_size=1,
            max_size=12,
        )
    )
    changes = draw(
        st.lists(
            st.tuples(
                st.floats(0.0, 10.0),
                st.integers(0, len(links) - 1),
                st.sampled_from(["slow", "fail", "repair"]),
            ),
            max_size=5,
        )
    )
    return links, flows, changes


@settings(deadline=None, max_examples=120)
@given(traffic())
def test_bytes_are_conserved_rates_fair_and_links_never_over_capacity(case):
    links, flows, changes = case
    bench = Bench()
    for i, capacity in enumerate(links):
        bench.network.connect(f"n{i}", f"n{i + 1}", spec(capacity))
    all_links = list(bench.network.links.values())
    for i, (time_s, size, a, b, cap) in enumerate(flows):
        bench.send(time_s, f"f{i}", size, f"n{a}", f"n{b}", cap_bytes_per_s=cap)
    for time_s, link, what in changes:
        target = bench.network.links[f"n{link}->n{link + 1}"]
        action = {"slow": lambda t=target: t.set_speed(0.5), "fail": target.fail}
        bench.at(time_s, action.get(what, target.repair))

    def look(_):
        """Rates are the max-min ones of whoever is on the way; links never carry too much."""
        under_way = bench.network.under_way()
        names = {link.name: link.capacity_bytes_per_s for link in all_links}
        expected = max_min_rates(
            [[link.name for link in t.route.links] for t in under_way],
            names,
            [t.activity.cap for t in under_way],
        )
        assert [t.rate_bytes_per_s for t in under_way] == pytest.approx(expected, rel=1e-9)
        for link in all_links:
            assert link.rate_bytes_per_s <= link.capacity_bytes_per_s * (1 + 1e-12)

    for k in range(25):
        bench.simulation.at(k * 0.4321, look, SAMPLE)
    bench.at(12.0, lambda: [link.repair() for link in all_links])
    bench.at(12.0, lambda: [link.set_speed(1.0) for link in all_links])
    bench.run()
    assert len(bench.arrived) == len(flows)
    for link in all_links:
        asked = sum(
            size for i, (_, size, *_) in enumerate(flows) if link in bench.sent[f"f{i}"].route.links
        )
        assert link.bytes_sent == asked
    for i, (time_s, size, *_, cap) in enumerate(flows):
        route = bench.sent[f"f{i}"].route
        fastest = min([cap, *(link.spec.bandwidth_bytes_per_s for link in route.links)])
        least = size / fastest if route.links else 0.0
        assert bench.arrived[f"f{i}"] >= (time_s + least) * (1 - 1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(1.0, 500.0)), min_size=1, max_size=10))
def test_one_link_is_processor_sharing_and_conserves_work(jobs):
    """Against the sample path of processor sharing, computed apart: busy until all is sent, and
    each transfer ends when its share has been served."""
    bench = Bench()
    bench.network.connect("a", "b", spec(100.0))
    for i, (time_s, size) in enumerate(jobs):
        bench.send(time_s, f"j{i}", size, "a", "b")
    bench.run()
    expected = processor_sharing(jobs, 100.0)
    assert [bench.arrived[f"j{i}"] for i in range(len(jobs))] == pytest.approx(expected, rel=1e-9)
    link = bench.network.links["a->b"]
    assert link.busy_s * 100.0 == pytest.approx(sum(size for _, size in jobs), rel=1e-9)


def processor_sharing(jobs, rate):
    """Ends of jobs (time, size) that share one server equally."""
    now, left, ends = 0.0, {}, [0.0] * len(jobs)
    waiting = sorted(range(len(jobs)), key=lambda i: jobs[i][0])
    while waiting or left:
        coming = jobs[waiting[0]][0] if waiting else inf
        next_end = min(left.values()) * len(left) / rate + now if left else inf
        until = min(coming, next_end)
        for i in left:
            left[i] -= (until - now) * rate / len(left)
        now = until
        for i in [i for i, size in left.items() if size <= 1e-9]:
            ends[i] = now
            del left[i]
        while waiting and jobs[waiting[0]][0] <= now:
            i = waiting.pop(0)
            left[i] = jobs[i][1]
    return ends
