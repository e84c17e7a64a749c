"""Stations of the data path against closed forms."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from models.errors import ConfigError, LawBroken
from models.network_functions.legs import Leg, Segment
from models.queueing import (
    closed_throughput,
    mg1_response_s,
    mm1n_blocked,
    mm1n_wait_s,
)
from sim.core.environment import SAMPLE
from sim.core.simulation import Simulation
from sim.dataplane.calendar import Calendar
from sim.dataplane.counts import Latencies
from sim.dataplane.entries import Entries
from sim.dataplane.host_cores import HostCores
from sim.dataplane.nic_cores import NicCores
from sim.dataplane.stations import InsertChannel, Line
from sim.dataplane.transit import Transit


def transit(number=0, flow=0):
    made = Transit(number, flow, 1, 1, 64.0, 0.0, None, None)
    made.host_bytes = 0.0
    return made


def test_events_of_a_calendar_keep_the_order_of_time_with_all_others():
    simulation = Simulation()
    seen = []
    one, two = Calendar(simulation), Calendar(simulation)

    def note(time_s, name):
        seen.append((time_s, name))
        if name == "a":
            one.push(time_s + 0.25, note, "a later")

    for time_s in (3.0, 1.0, 2.0):
        one.push(time_s, note, "one")
        two.push(time_s, note, "two")
        simulation.at(time_s, lambda _: note(simulation.now, "other"))
        simulation.at(time_s, lambda _: note(simulation.now, "sample"), SAMPLE)
    one.push(1.5, note, "a")
    simulation.env.run()
    times = [time_s for time_s, _ in seen]
    assert times == sorted(times)
    assert len(seen) == 14
    at_two = [name for time_s, name in seen if time_s == 2.0]
    assert at_two[-1] == "sample"


def closed(issue_s, wait_s, threads, visits, rng=None):
    """Visits a second of one core with threads that always have a packet."""
    simulation = Simulation()
    calendar = Calendar(simulation)
    done = []

    def draw(mean):
        return mean if rng is None else float(rng.exponential(mean))

    def leave(time_s, packet):
        done.append(time_s)
        if len(done) < visits:
            again(time_s, packet)

    def again(time_s, packet):
        packet.legs = (Leg((Segment(draw(issue_s), draw(wait_s), ()),), -1, 0.0),)
        packet.leg = 0
        assert cores.enter(time_s, packet)

    cores = NicCores(calendar, 1, threads, [], 0, 0, leave, leave)
    for i in range(threads):
        calendar.push(0.0, again, transit(i))
    simulation.env.run()
    return len(done) / done[-1], cores.busy_s(done[-1]) / done[-1]


def test_one_thread_alternates_between_issue_and_wait():
    rate, busy = closed(2.0, 3.0, 1, 100)
    assert rate == pytest.approx(1 / 5)
    assert busy == pytest.approx(2 / 5)


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
def test_threads_hide_latency_as_mean_value_analysis_says(threads):
    rate, busy = closed(1.0, 1.75, threads, 30_000, np.random.default_rng(threads))
    assert rate == pytest.approx(closed_throughput(1.0, 1.75, threads), rel=0.02)
    assert busy == pytest.approx(rate * 1.0, rel=0.02)


def test_even_work_reaches_the_asymptote():
    assert closed(1.0, 3.0, 4, 5000)[0] == pytest.approx(1.0, rel=0.01)
    assert closed(1.0, 3.0, 2, 5000)[0] == pytest.approx(0.5, rel=0.01)


def test_posted_operations_wait_for_an_engine_that_is_full():
    """One core posts an addition of 3 s in each second of issue; an engine takes 2 in its queue."""
    simulation = Simulation()
    calendar = Calendar(simulation)
    engine = Line("adds")
    done = []

    def leave(time_s, packet):
        done.append(time_s)
        if len(done) < 50:
            again(time_s, packet)

    def again(time_s, packet):
        packet.legs = (Leg((Segment(1.0, 0.0, ((0, 3.0, 6.0),)),), -1, 0.0),)
        packet.leg = 0
        cores.enter(time_s, packet)

    cores = NicCores(calendar, 1, 1, [engine], 0, 0, leave, leave)
    calendar.push(0.0, again, transit())
    simulation.env.run()
    # One each second until the queue is full, then at the rate of the engine.
    assert done[:3] == [1.0, 2.0, 3.0]
    assert np.diff(done)[-10:] == pytest.approx(3.0)


def test_an_engine_alone_is_m_d_1():
    rng = np.random.default_rng(3)
    line = Line("reads")
    for load in (0.3, 0.8):
        arrivals = np.cumsum(rng.exponential(1.0 / load, 100_000))
        line.free_s = line.busy_s = 0.0
        waits = [line.serve(t, 1.0) - t - 1.0 for t in arrivals.tolist()]
        assert np.mean(waits) == pytest.approx(load / (2 * (1 - load)), rel=0.05)
        assert line.done_s(arrivals[-1]) / arrivals[-1] == pytest.approx(load, rel=0.02)


def m_d_c_wait(cores, load, most=400):
    """Exact, from the number in the system one service apart (Crommelin 1932): who was served by
    then has left, who came meanwhile is there."""
    came = poisson.pmf(np.arange(most), load * cores)
    there = np.arange(most)
    step = np.zeros((most, most))
    for number in there:
        left = max(0, number - cores)
        step[number, left:] = came[: most - left]
    step[:, -1] += 1.0 - step.sum(axis=1)
    equations = np.vstack([step.T - np.eye(most), np.ones(most)])
    shares = np.linalg.lstsq(equations, np.append(np.zeros(most), 1.0), rcond=None)[0]
    return float(np.maximum(0, there - cores) @ shares) / (load * cores)


def host_waits(cores, load, seed):
    """Waits at cores with one queue, services of 1 s, Poisson arrivals."""
    simulation = Simulation()
    calendar = Calendar(simulation)
    waits = []
    born = {}

    def leave(time_s, packet):
        waits.append(time_s - born[packet.number] - 1.0)

    host = HostCores(calendar, cores, "any", 1e9, leave)
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1.0 / (load * cores), 60_000)).tolist()

    def come(time_s, i):
        born[i] = time_s
        packet = transit(i)
        assert host.room(packet)
        host.admit(time_s, time_s, 1.0, packet)
        if i + 1 < len(arrivals):
            calendar.push(arrivals[i + 1], come, i + 1)

    calendar.push(arrivals[0], come, 0)
    simulation.env.run()
    # Utilisation law and Little's law.
    assert host.busy_s(arrivals[-1]) / arrivals[-1] == pytest.approx(load * cores, rel=0.01)
    assert host.jobs.until(simulation.now) == pytest.approx(host.stayed_s, rel=1e-9)
    return float(np.mean(waits))


@pytest.mark.parametrize(("cores", "load"), [(1, 0.5), (1, 0.8), (4, 0.8)])
def test_host_cores_are_m_d_c(cores, load):
    waits = [host_waits(cores, load, seed) for seed in range(1, 9)]
    expected = m_d_c_wait(cores, load)
    assert np.mean(waits) == pytest.approx(expected, rel=0.05)
    # Not by a wide spread: five of a hundred is more than two standard errors.
    assert np.std(waits, ddof=1) / sqrt(len(waits)) < 0.02 * expected
    if cores == 1:
        assert expected == pytest.approx(mg1_response_s(load, 1.0, 1.0) - 1.0)


@pytest.mark.parametrize(("load", "places"), [(0.5, 4), (0.9, 8), (1.0, 8), (1.4, 16)])
def test_a_finite_queue_drops_and_delays_as_lognic_says(load, places):
    """LogNIC (MICRO 2023) takes each engine as M/M/1/N: a core with so many places, exponential
    service times."""
    simulation = Simulation()
    calendar = Calendar(simulation)
    waits = []
    rng = np.random.default_rng(11)
    number = 80_000
    arrivals = np.cumsum(rng.exponential(1.0 / load, number)).tolist()
    services = rng.exponential(1.0, number).tolist()
    host = HostCores(calendar, 1, "any", places, lambda time_s, packet: None)
    dropped = 0

    def come(time_s, i):
        nonlocal dropped
        packet = transit(i)
        if host.room(packet):
            host.admit(time_s, time_s, services[i], packet)
            waits.append(packet.served_s[0] - time_s)
        else:
            dropped += 1
        if i + 1 < number:
            calendar.push(arrivals[i + 1], come, i + 1)

    calendar.push(arrivals[0], come, 0)
    simulation.env.run()
    assert dropped / number == pytest.approx(mm1n_blocked(load, places), rel=0.05)
    assert np.mean(waits) == pytest.approx(mm1n_wait_s(load, 1.0, places), rel=0.04)
    # As the paper writes it.
    if load != 1.0:
        assert mm1n_blocked(load, places) == pytest.approx((1 - load) / (load**-places - load))
        waiting = load / (1 - load) - places / (load**-places - 1)
        assert mm1n_wait_s(load, 1.0, places) == pytest.approx(waiting)


def test_a_flow_keeps_its_core_and_a_full_ring_refuses():
    simulation = Simulation()
    calendar = Calendar(simulation)
    ends = []
    host = HostCores(calendar, 2, "flow", 3, lambda time_s, packet: ends.append(time_s))
    taken = []

    def come(time_s, _):
        for i in range(5):
            packet = transit(i, 7)
            taken.append(host.room(packet))
            if taken[-1]:
                host.admit(time_s, time_s, 1.0, packet)

    calendar.push(0.0, come)
    simulation.env.run()
    assert taken == [True, True, True, False, False]
    assert ends == [1.0, 2.0, 3.0]
    with pytest.raises(ConfigError, match="steering is 'rss'; it must be flow or any"):
        HostCores(calendar, 2, "rss", 3, lambda time_s, packet: None)


@given(st.floats(0.1, 3.0), st.integers(1, 300))
def test_the_insertion_channel_has_a_rate(load, entries):
    """n insertions take at least n / rate, and a backlog grows only above the rate."""
    channel = InsertChannel(1000.0, 1e9)
    ends = [channel.insert(i / (1000.0 * load), 1.0) for i in range(entries)]
    assert ends[-1] >= entries / 1000.0 - 1e-9
    waiting = channel.waiting((entries - 1) / (1000.0 * load))
    if load <= 1.0:
        assert waiting <= 1.0 + 1e-6
    else:
        assert waiting == pytest.approx(entries - (entries - 1) / load, rel=1e-6)


def test_a_full_insertion_channel_refuses():
    channel = InsertChannel(10.0, 2)
    assert [channel.insert(0.0, 1.0) >= 0.0 for _ in range(5)] == [True, True, True, False, False]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("uum")), max_size=60))
def test_entries_have_one_owner_and_lose_nothing(steps):
    entries = Entries()
    updates = dict.fromkeys(range(4), 0)
    for flow, step in steps:
        at_nic = flow in entries.at_nic
        if step == "u":
            entries.update(flow, at_nic, 1)
            updates[flow] += 1
            with pytest.raises(LawBroken, match="they are at the"):
                entries.update(flow, not at_nic, 1)
        else:
            entries.hand_over(flow, not at_nic, entries.read(flow))
    assert {flow: entries.read(flow) for flow in updates} == updates
    assert entries.updates == sum(updates.values())
    assert not set(entries.counts[0]) & set(entries.counts[1])


def test_an_update_in_the_middle_of_a_move_is_an_error():
    entries = Entries()
    entries.update(1, False, 1)
    copied = entries.read(1)
    entries.update(1, False, 1)
    with pytest.raises(LawBroken, match="1 updates are lost in a move"):
        entries.hand_over(1, True, copied)


def test_percentiles_of_latencies():
    latencies = Latencies()
    values = np.random.default_rng(1).lognormal(-13.0, 0.7, 50_000)
    latencies.kept.extend(values.tolist())
    assert latencies.mean_s == pytest.approx(values.mean())
    for share in (0.5, 0.99):
        exact = np.quantile(values, share)
        assert latencies.percentile_s(share) == pytest.approx(exact, rel=0.005)
