"""Host processors: fair shares, exact ends, power, faults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import CapacityError
from models.hardware import CpuSpec
from sim.core.environment import SAMPLE
from sim.core.simulation import Simulation
from sim.hardware.cpu import Cpu
from sim.hardware.facts import TaskEnded
from sim.hardware.faults import Down


def spec(cores=8, bandwidth=100.0, **keys):
    keys = {
        "name": "test",
        "cores": cores,
        "clock_hz": 1e9,
        "memory_channels": 2,
        "memory_bandwidth_bytes_per_s": bandwidth,
        "memory_bytes": 1e9,
        "cores_per_chiplet": 4,
        "chiplet_bandwidth_bytes_per_s": None,
        "idle_w": 20.0,
        "peak_w": 100.0,
        **keys,
    }
    return CpuSpec(**keys, source=dict.fromkeys(keys, "test"))


class Bench:
    def __init__(self, **keys):
        self.simulation = Simulation()
        self.cpu = Cpu(self.simulation, spec(**keys), "cpu")
        self.ended = {}
        self.tasks = {}

    def task(self, at_s, name, **keys):
        def begin(_):
            task = self.tasks[name] = self.cpu.task(**keys)
            task.callbacks.append(lambda event: self._end(name, event))

        self.simulation.at(at_s, begin)

    def _end(self, name, event):
        if not event.ok:
            event.defused = True
        self.ended[name] = self.simulation.now if event.ok else event.value

    def at(self, time_s, action):
        self.simulation.at(time_s, lambda _: action())

    def run(self, until=None):
        self.simulation.env.run(until)
        return self.ended


def test_task_takes_its_core_seconds_over_its_cores():
    bench = Bench()
    bench.task(1.0, "one", core_seconds=6.0, cores_wanted=2)
    assert bench.run() == {"one": 4.0}
    assert bench.cpu.core_seconds == 6.0


def test_reading_takes_its_bytes_over_its_bandwidth():
    bench = Bench()
    bench.task(0.0, "alone", bytes_to_read=100.0, cores_wanted=8)
    bench.task(2.0, "slow", bytes_to_read=100.0, bandwidth_wanted_bytes_per_s=25.0)
    assert bench.run() == {"alone": 1.0, "slow": 6.0}


def test_chiplets_bound_what_few_cores_can_read():
    bench = Bench(chiplet_bandwidth_bytes_per_s=30.0)
    bench.task(0.0, "one chiplet", bytes_to_read=60.0, cores_wanted=4)
    bench.task(2.0, "two chiplets", bytes_to_read=60.0, cores_wanted=5)
    assert bench.run() == {"one chiplet": 2.0, "two chiplets": 3.0}


def test_work_of_both_kinds_is_as_slow_as_its_slower_part():
    bench = Bench()
    bench.task(0.0, "reads", core_seconds=4.0, bytes_to_read=400.0, cores_wanted=4)
    bench.task(10.0, "computes", core_seconds=16.0, bytes_to_read=100.0, cores_wanted=4)
    assert bench.run() == {"reads": 4.0, "computes": 14.0}


def test_two_tenants_share_cores_fairly_and_exactly():
    bench = Bench()
    bench.task(0.0, "a", core_seconds=32.0, cores_wanted=8, tenant="a")
    bench.task(1.0, "b", core_seconds=12.0, cores_wanted=8, tenant="b")
    # a: 8 core-s in 1 s; then 4 cores each until b ends at 4 s; then 12 left on 8 cores.
    assert bench.run() == {"b": 4.0, "a": 5.5}


def test_what_one_tenant_does_not_want_goes_to_the_other():
    bench = Bench()
    bench.task(0.0, "small", core_seconds=2.0, cores_wanted=1, tenant="a")
    bench.task(0.0, "large", core_seconds=14.0, cores_wanted=8, tenant="b")
    assert bench.run() == {"small": 2.0, "large": 2.0}


def test_tenants_not_tasks_get_equal_shares():
    bench = Bench()
    for i in range(3):
        bench.task(0.0, f"a{i}", core_seconds=4.0, cores_wanted=8, tenant="a")
    bench.task(0.0, "b", core_seconds=12.0, cores_wanted=8, tenant="b")
    assert bench.run() == pytest.approx({"a0": 3.0, "a1": 3.0, "a2": 3.0, "b": 3.0})


def test_weights_favour_a_tenant():
    bench = Bench()
    bench.task(0.0, "light", core_seconds=2.0, cores_wanted=8, tenant="a")
    bench.task(0.0, "heavy", core_seconds=6.0, cores_wanted=8, tenant="b", weight=3.0)
    assert bench.run() == {"light": 1.0, "heavy": 1.0}


def test_readers_and_computers_do_not_disturb_each_other():
    bench = Bench()
    bench.task(0.0, "reads", bytes_to_read=100.0, cores_wanted=8, tenant="a")
    bench.task(0.0, "computes", core_seconds=8.0, cores_wanted=8, tenant="b")
    assert bench.run() == {"reads": 1.0, "computes": 1.0}


def test_shares_of_different_resources_compare_by_the_dominant_one():
    """Ghodsi et al. 2011, section 4.1: 9 cores, 18 GB/s; tenants that need (1, 4) and (3, 1)."""
    bench = Bench(cores=9, bandwidth=18.0)
    a = bench.cpu.load(cores_wanted=9, bandwidth_wanted_bytes_per_s=36.0, tenant="a")
    b = bench.cpu.load(cores_wanted=27, bandwidth_wanted_bytes_per_s=9.0, tenant="b")
    bench.cpu.sharing.settle()
    assert (a.cores, a.bandwidth_bytes_per_s) == pytest.approx((3.0, 12.0))
    assert (b.cores, b.bandwidth_bytes_per_s) == pytest.approx((6.0, 2.0))


def test_load_shares_with_tasks_and_hears_of_its_grant():
    bench = Bench()
    grants = []
    loads = []

    def begin():
        load = bench.cpu.load(
            cores_wanted=6, tenant="nf", on_grant=lambda: grants.append(bench.simulation.now)
        )
        loads.append(load)

    bench.at(0.0, begin)
    bench.task(1.0, "task", core_seconds=8.0, cores_wanted=8, tenant="llm")
    seen = []
    for time_s in (0.5, 2.0, 3.5, 4.5):
        bench.simulation.at(time_s, lambda _: seen.append(loads[0].cores), SAMPLE)
    bench.at(4.0, lambda: loads[0].want(0.5))
    bench.at(5.0, lambda: loads[0].stop())
    # Alone 6 cores; against a task that wants 8 both get 4, so the task ends at 3 s.
    assert bench.run() == {"task": 3.0}
    assert seen == pytest.approx([6.0, 4.0, 6.0, 3.0])
    assert loads[0].core_seconds == pytest.approx(6.0 + 2 * 4.0 + 6.0 + 3.0)
    assert grants == [1.0, 3.0, 4.0]


def test_reserved_cores_are_out_of_reach_until_released():
    bench = Bench()
    reservations = [bench.cpu.reserve(6.0)]
    bench.task(0.0, "task", core_seconds=10.0, cores_wanted=8)
    bench.at(1.0, lambda: reservations[0].release())
    assert bench.run() == {"task": 2.0}
    with pytest.raises(CapacityError, match="9 cores and 0 bytes/s asked, 8 and 100 are not"):
        bench.cpu.reserve(9.0)


def test_power_follows_the_larger_share():
    bench = Bench()
    bench.task(0.0, "cores", core_seconds=8.0, cores_wanted=4)
    bench.task(2.0, "bytes", bytes_to_read=50.0, bandwidth_wanted_bytes_per_s=25.0, cores_wanted=8)
    bench.run()
    now = bench.simulation.now
    # Half of the cores for 2 s, a quarter of the bandwidth for 2 s, over 20 W idle of 80 W more.
    assert now == 4.0
    assert bench.cpu.meter.energy_j(now) == pytest.approx(20.0 * 4 + 40.0 * 2 + 20.0 * 2)
    # Idle draw of 20 W in all 4 s; what cores in use add is not of it.
    assert bench.cpu.meter.idle_j(now) == pytest.approx(20.0 * 4)


def test_slow_down_slows_cores_not_memory():
    bench = Bench()
    bench.task(0.0, "cores", core_seconds=8.0, cores_wanted=4)
    bench.task(0.0, "bytes", bytes_to_read=300.0, cores_wanted=8)
    bench.at(1.0, lambda: bench.cpu.set_speed(0.5))
    assert bench.run() == {"cores": 3.0, "bytes": 3.0}
    assert bench.cpu.core_seconds == 8.0


def test_failure_loses_tasks_and_draws_nothing():
    bench = Bench()
    bench.task(0.0, "lost", core_seconds=16.0, cores_wanted=8)
    bench.at(1.0, bench.cpu.fail)
    bench.task(1.5, "refused", core_seconds=8.0, cores_wanted=8)
    bench.at(2.0, bench.cpu.repair)
    bench.task(3.0, "later", core_seconds=8.0, cores_wanted=8)
    ended = bench.run()
    assert isinstance(ended["lost"], Down)
    assert isinstance(ended["refused"], Down)
    assert ended["later"] == 4.0
    assert bench.cpu.core_seconds == 16.0
    assert bench.cpu.meter.energy_j(4.0) == pytest.approx(100.0 + 0.0 + 20.0 + 100.0)
    assert bench.cpu.meter.idle_j(4.0) == pytest.approx(20.0 + 0.0 + 20.0 + 20.0)


def test_cancelled_task_says_how_far_it_was():
    bench = Bench()
    bench.task(0.0, "gone", core_seconds=16.0, cores_wanted=8)
    shares = []
    bench.at(0.5, lambda: shares.append(bench.tasks["gone"].progress))
    bench.at(0.5, lambda: shares.append(bench.tasks["gone"].cancel()))
    assert bench.run() == {}
    assert shares == [0.25, 0.25]


def test_facts_and_empty_tasks():
    bench = Bench()
    facts = []
    bench.simulation.facts.subscribe(TaskEnded, facts.append)
    bench.task(1.0, "nothing", tenant="x")
    bench.task(1.0, "some", core_seconds=1.0, tenant="y")
    assert bench.run() == {"nothing": 1.0, "some": 2.0}
    assert facts == [
        TaskEnded(1.0, 1.0, "cpu", "x", 0.0, 0.0),
        TaskEnded(1.0, 2.0, "cpu", "y", 1.0, 0.0),
    ]


@pytest.mark.parametrize(
    "keys",
    [
        {"core_seconds": -1.0},
        {"bytes_to_read": float("nan")},
        {"core_seconds": 1.0, "cores_wanted": 0.0},
        {"core_seconds": 1.0, "weight": 0.0},
    ],
)
def test_impossible_work_is_refused(keys):
    with pytest.raises(ValueError, match="cpu"):
        Bench().cpu.task(**keys)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 5.0),
            st.sampled_from([0.0, 0.5, 4.0, 20.0]),
            st.sampled_from([0.0, 10.0, 300.0]),
            st.integers(1, 8),
            st.sampled_from("abc"),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_work_is_conserved_and_nothing_is_over_capacity(jobs):
    bench = Bench()
    for i, (time_s, cores, size, wanted, tenant) in enumerate(jobs):
        bench.task(
            time_s,
            str(i),
            core_seconds=cores,
            bytes_to_read=size,
            cores_wanted=wanted,
            tenant=tenant,
        )

    def look(_):
        assert bench.cpu.busy_cores <= 8 * (1 + 1e-12)
        assert bench.cpu.bandwidth.rate <= 100 * (1 + 1e-12)
        under_way = [t for t in bench.tasks.values() if t.use is not None and not t.triggered]
        full = bench.cpu.busy_cores > 8 * (1 - 1e-9)
        full_memory = bench.cpu.bandwidth.rate > 100 * (1 - 1e-9)
        for task in under_way:  # work conserving: held back only by what is full, or by its wish
            uses = {resource.name for resource, _ in task.use.uses}
            held = (full and "cpu/cores" in uses) or (full_memory and "cpu/memory" in uses)
            assert held or task.use.rate == pytest.approx(task.use.cap)

    for k in range(20):
        bench.simulation.at(0.377 * k, look, SAMPLE)
    bench.run()
    assert len(bench.ended) == len(jobs)
    assert bench.cpu.core_seconds == pytest.approx(sum(job[1] for job in jobs))
    assert bench.cpu.read_bytes == pytest.approx(sum(job[2] for job in jobs))
    for i, (time_s, cores, size, wanted, _) in enumerate(jobs):
        assert bench.ended[str(i)] >= time_s + max(cores / wanted, size / 100.0) - 1e-9
