"""Faults: hand traces, overlaps, random processes, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from test_hardware_catalogue import part

from models.errors import ConfigError
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.hardware.facts import DeviceChanged
from sim.hardware.faults import Fault, Faults, RandomFaults


class Thing:
    """Records what happens to it."""

    def __init__(self, simulation):
        self.simulation = simulation
        self.log = []

    def set_speed(self, factor):
        self.log.append((self.simulation.now, factor))

    def fail(self):
        self.log.append((self.simulation.now, "fail"))

    def repair(self):
        self.log.append((self.simulation.now, "repair"))


def trace(*faults, random=(), targets=("thing",), seed=0):
    simulation = Simulation(seed=seed)
    things = {name: Thing(simulation) for name in targets}
    Faults(schedule=faults, random=random).start(simulation, things)
    simulation.env.run()
    logs = {name: thing.log for name, thing in things.items()}
    return logs["thing"] if targets == ("thing",) else logs


def slow(time_s, speed, duration_s=None, target="thing"):
    return Fault(time_s=time_s, target=target, kind="slow", speed=speed, duration_s=duration_s)


def fail(time_s, duration_s=None, target="thing"):
    return Fault(time_s=time_s, target=target, kind="fail", duration_s=duration_s)


def repair(time_s, target="thing"):
    return Fault(time_s=time_s, target=target, kind="repair")


def test_slow_and_back():
    assert trace(slow(1.0, 0.5, duration_s=2.0)) == [(1.0, 0.5), (3.0, 1.0)]


def test_fail_and_repair_by_hand_or_by_itself():
    assert trace(fail(1.0), repair(4.0)) == [(1.0, "fail"), (4.0, "repair")]
    assert trace(fail(1.0, duration_s=3.0)) == [(1.0, "fail"), (4.0, "repair")]


def test_overlapping_slow_downs_multiply():
    log = trace(slow(1.0, 0.5, duration_s=4.0), slow(2.0, 0.5, duration_s=2.0))
    assert log == [(1.0, 0.5), (2.0, 0.25), (4.0, 0.5), (5.0, 1.0)]


def test_overlapping_failures_last_until_the_last_ends():
    log = trace(fail(1.0, duration_s=2.0), fail(2.0, duration_s=4.0))
    assert log == [(1.0, "fail"), (6.0, "repair")]


def test_slow_down_that_outlasts_a_failure_is_taken_up_again():
    log = trace(slow(1.0, 0.5, duration_s=9.0), fail(2.0, duration_s=2.0))
    assert log == [(1.0, 0.5), (2.0, "fail"), (4.0, "repair"), (4.0, 0.5), (10.0, 1.0)]


def test_repair_ends_all_and_what_ended_does_not_end_again():
    log = trace(slow(1.0, 0.5, duration_s=9.0), fail(2.0, duration_s=9.0), repair(3.0))
    assert log == [(1.0, 0.5), (2.0, "fail"), (3.0, "repair")]


def test_random_faults_have_their_means_and_alternate():
    process = RandomFaults(targets=["thing"], mtbf_s=90.0, mttr_s=10.0, until_s=2e5)
    log = trace(random=[process])
    times = np.array([time_s for time_s, _ in log])
    assert [what for _, what in log[:4]] == ["fail", "repair", "fail", "repair"]
    assert np.all(np.diff(times) > 0)
    down = np.diff(times)[::2]
    up = np.diff(times)[1::2]
    assert abs(down.mean() - 10.0) < 4 * 10.0 / np.sqrt(len(down))
    assert abs(up.mean() - 90.0) < 4 * 90.0 / np.sqrt(len(up))
    assert max(t for t, what in log if what == "fail") < 2e5


def test_one_target_more_changes_nothing_for_the_others():
    def logs(targets):
        process = RandomFaults(targets=targets, mtbf_s=10.0, mttr_s=1.0, until_s=100.0)
        return trace(random=[process], targets=("a", "b", "c"), seed=7)

    assert logs(["a", "b"])["b"] == logs(["c", "b"])["b"]
    assert logs(["a", "b"])["a"] != logs(["a", "b"])["b"]


def test_patterns_stand_for_all_that_match():
    process = RandomFaults(targets=["b*"], mtbf_s=10.0, mttr_s=1.0, until_s=50.0)
    logs = trace(fail(1.0, target="a?"), random=[process], targets=("a1", "a2", "b1", "b2"))
    assert logs["a1"] == logs["a2"] == [(1.0, "fail")]
    assert logs["b1"]
    assert logs["b2"]
    with pytest.raises(ConfigError, match="nothing is called 'c"):
        trace(fail(1.0, target="c*"))


def test_faults_are_a_system_of_a_run():
    class Worker:
        """Works until 5 s."""

        name = "worker"
        ended = False

        def start(self, simulation):
            simulation.at(5.0, self.end)
            self.simulation = simulation

        def end(self, _):
            self.ended = True
            self.simulation.check_done()

        def done(self):
            return self.ended

        def snapshot(self):
            return {}

        def finish(self, results):
            pass

    cluster = Cluster(nodes=[NodeCount(part("node/a100-server"))])
    simulation = Simulation(cluster=cluster)
    simulation.add(Worker())
    simulation.add(Faults([slow(1.0, 0.5, target="node0/gpu0"), fail(9.0, target="node0/gpu0")]))
    changes = []
    simulation.facts.subscribe(DeviceChanged, changes.append)
    simulation.run()
    assert simulation.now == 5.0
    assert changes == [DeviceChanged(1.0, "node0/gpu0", "speed", 0.5)]
    with pytest.raises(ConfigError, match="no cluster"):
        Faults([fail(1.0)]).start(Simulation())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "explode"}, "'explode' is none of slow, fail, repair"),
        ({"kind": "slow"}, "speed = None must be a factor > 0"),
        ({"kind": "slow", "speed": 0.0}, "speed = 0.0 must be a factor > 0"),
        ({"kind": "fail", "speed": 0.5}, "speed = 0.5 belongs to kind slow"),
        ({"kind": "fail", "time_s": -1.0}, "time_s must be a time >= 0"),
        ({"kind": "fail", "time_s": float("nan")}, "time_s must be a time >= 0"),
        ({"kind": "fail", "duration_s": 0.0}, "duration_s = 0.0"),
        ({"kind": "repair", "duration_s": 1.0}, "duration_s = 1.0"),
    ],
)
def test_impossible_faults_are_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        Fault(**{"time_s": 1.0, "target": "thing", **keys})


def test_unknown_targets_are_refused_with_names_that_are_near():
    simulation = Simulation()
    targets = {f"node0/gpu{i}": Thing(simulation) for i in range(8)}
    with pytest.raises(ConfigError, match=r"nothing is called 'node0/gpu9'; there is node0/"):
        Faults([fail(1.0, target="node0/gpu9")]).start(simulation, targets)
    with pytest.raises(ConfigError, match=r"mttr_s = 0\.0"):
        RandomFaults(targets=["x"], mtbf_s=1.0, mttr_s=0.0, until_s=1.0)
