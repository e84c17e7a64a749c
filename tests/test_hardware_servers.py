"""Queues of equal servers, SmartNICs and FPGAs: exact times and counters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_hardware_catalogue import part

from models.errors import CapacityError, LawBroken
from models.hardware import FpgaDesign
from sim.core.simulation import Simulation
from sim.hardware.faults import Down
from sim.hardware.fpga import Fpga
from sim.hardware.servers import Servers
from sim.hardware.smartnic import SmartNic


class Watch:
    """Notes when events fire."""

    def __init__(self):
        self.simulation = Simulation()
        self.fired = {}

    def note(self, name, event):
        def fire(event):
            if not event.ok:
                event.defused = True
            self.fired[name] = self.simulation.now if event.ok else event.value

        event.callbacks.append(fire)

    def at(self, time_s, name, start):
        self.simulation.at(time_s, lambda _: self.note(name, start()))

    def do(self, time_s, action):
        self.simulation.at(time_s, lambda _: action())

    def run(self):
        self.simulation.env.run()
        return self.fired


def refused(action, message):
    with pytest.raises(CapacityError, match=message):
        action()


def test_two_servers_one_queue():
    watch = Watch()
    servers = Servers(watch.simulation, "cores", 2)
    for i, seconds in enumerate((4.0, 1.0, 2.0, 1.0)):
        watch.at(0.0, i, lambda s=seconds: servers.run(s, 0.5))
    assert watch.run() == {1: 1.5, 2: 3.5, 0: 4.5, 3: 4.5}
    # Busy: both until 4 s. In the system: 4 until 1 s, 3 until 3 s, 2 until 4 s.
    assert servers.busy_s(4.5) == 8.0
    assert servers.jobs_s(4.5) == 4.0 + 6.0 + 2.0
    assert (servers.served, servers.queued, servers.jobs) == (4, 0, 0)


def test_slow_down_stretches_what_is_under_way_and_what_waits():
    watch = Watch()
    servers = Servers(watch.simulation, "cores", 1)
    watch.at(0.0, "first", lambda: servers.run(2.0))
    watch.at(0.0, "second", lambda: servers.run(1.0))
    watch.do(1.0, lambda: servers.set_speed(0.5))
    watch.do(4.0, lambda: servers.set_speed(2.0))
    # First: 1 s of work by 1 s, 1 more at half speed by 3 s; second: half by 4 s, rest by 4.25 s.
    assert watch.run() == {"first": 3.0, "second": 4.25}


def test_failure_loses_all_and_repair_starts_afresh():
    watch = Watch()
    servers = Servers(watch.simulation, "cores", 1)
    watch.at(0.0, "a", lambda: servers.run(2.0))
    watch.at(0.0, "b", lambda: servers.run(2.0))
    watch.do(1.0, lambda: servers.set_speed(0.0))
    watch.at(1.5, "c", lambda: servers.run(1.0))
    watch.do(2.0, lambda: servers.set_speed(1.0))
    watch.at(3.0, "d", lambda: servers.run(1.0))
    fired = watch.run()
    assert all(isinstance(fired[name], Down) for name in "abc")
    assert fired["d"] == 4.0
    assert servers.busy_s(4.0) == 2.0


@settings(deadline=None, max_examples=80)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 3.0)), min_size=1, max_size=20),
)
def test_queue_is_first_come_first_served_and_obeys_little(count, jobs):
    watch = Watch()
    servers = Servers(watch.simulation, "cores", count)
    for i, (time_s, seconds) in enumerate(jobs):
        watch.at(time_s, i, lambda s=seconds: servers.run(s))
    fired = watch.run()
    free = [0.0] * count
    spent = 0.0
    for i in sorted(range(len(jobs)), key=lambda i: jobs[i][0]):
        time_s, seconds = jobs[i]
        k = free.index(min(free))
        free[k] = max(time_s, free[k]) + seconds
        assert fired[i] == pytest.approx(free[k], rel=1e-12)
        spent += free[k] - time_s
    end = watch.simulation.now
    assert servers.busy_s(end) == pytest.approx(sum(seconds for _, seconds in jobs))
    assert servers.jobs_s(end) == pytest.approx(spent)


def agilio():
    watch = Watch()
    return watch, SmartNic(watch.simulation, part("smartnic/agilio-cx"), "nic")


def test_nic_cores_run_cycles():
    watch, nic = agilio()
    for i in range(51):  # one more than there are cores
        watch.at(0.0, i, lambda: nic.cycles(800.0))
    fired = watch.run()
    assert [fired[i] for i in (0, 49, 50)] == pytest.approx([1e-6, 1e-6, 2e-6])
    idle, peak = nic.spec.idle_w, nic.spec.peak_w
    assert nic.meter.energy_j(2e-6) == pytest.approx(idle * 2e-6 + (peak - idle) * 51e-6 / 50)


def test_nic_memory_takes_latency_and_its_engine_a_rate():
    watch, nic = agilio()
    emem = nic.memory["EMEM"]
    watch.at(0.0, "read", emem.read)
    n = 1000
    for i in range(n):
        watch.at(1.0, i, emem.add)
    fired = watch.run()
    assert fired["read"] == pytest.approx(336 / 800e6)
    assert fired[0] == pytest.approx(1.0 + 210 / 800e6)
    assert fired[n - 1] - 1.0 == pytest.approx((n - 1) / 250e6 + 210 / 800e6)
    watch, nic = agilio()
    watch.at(0.0, "chain", lambda: nic.memory["CTM"].read(3))
    assert watch.run() == {"chain": pytest.approx(3 * 70 / 800e6)}
    assert nic.memory["CTM"].store.capacity_bytes == 5 * 128 * 1024


def test_table_fills_at_its_rate_and_no_further():
    watch, nic = agilio()
    table = nic.table
    table.entries = 3
    for i in range(3):
        watch.at(0.0, i, lambda i=i: table.insert(i))
    seen = []
    watch.do(1.5e-6, lambda: seen.append((len(table), 0 in table, 1 in table)))
    watch.do(2e-6, lambda: refused(lambda: table.insert(9), "no room for 9"))
    fired = watch.run()
    assert [fired[i] for i in range(3)] == pytest.approx([1e-6, 2e-6, 3e-6])
    assert seen == [(1, True, False)]
    with pytest.raises(LawBroken, match="0 is there already"):
        table.insert(0)
    table.remove(0)
    assert set(table._known) == {1, 2}
    with pytest.raises(LawBroken, match="0 is not there"):
        table.remove(0)


def test_nic_failure_loses_insertions_and_keeps_entries():
    watch, nic = agilio()
    watch.at(0.0, "first", lambda: nic.table.insert("first"))
    watch.at(1e-6, "second", lambda: nic.table.insert("second"))
    watch.do(1.5e-6, nic.fail)
    watch.do(3e-6, nic.repair)
    watch.at(4e-6, "third", lambda: nic.table.insert("third"))
    fired = watch.run()
    assert isinstance(fired["second"], Down)
    assert fired["third"] == pytest.approx(5e-6)
    assert set(nic.table._known) == {"first", "third"}
    assert nic.table.reserved == 0


def test_accelerator_runs_at_its_rate():
    watch = Watch()
    nic = SmartNic(watch.simulation, part("smartnic/bluefield-2"), "nic")
    watch.at(0.0, "a", lambda: nic.accelerate("aes-gcm", 12500))
    watch.at(0.0, "b", lambda: nic.accelerate("aes-gcm", 12500))
    assert watch.run() == {"a": pytest.approx(1e-6), "b": pytest.approx(2e-6)}


DPU = FpgaDesign(name="dpu", units=3, dsps=710, luts=53e3, on_chip_bytes=1e6)


def test_fpga_loads_then_its_units_work():
    watch = Watch()
    fpga = Fpga(watch.simulation, part("fpga/zcu102"), "fpga")
    with pytest.raises(CapacityError, match="no design is ready"):
        fpga.run(1.0)
    ready = fpga.spec.reconfiguration_s
    watch.at(0.0, "ready", lambda: fpga.load(DPU))
    for i in range(4):
        watch.at(1.0, i, lambda: fpga.run(0.5))
    watch.do(1.2, lambda: refused(lambda: fpga.load(DPU), "while it is at work"))
    fired = watch.run()
    assert fired == {"ready": ready, 0: 1.5, 1: 1.5, 2: 1.5, 3: 2.0}
    idle, peak = fpga.spec.idle_w, fpga.spec.peak_w
    assert fpga.meter.energy_j(2.0) == pytest.approx(2 * idle + (peak - idle) * 2.0 / 3)
    assert fpga.meter.power_w(2.0) == idle


def test_fpga_failure_loses_the_design():
    watch = Watch()
    fpga = Fpga(watch.simulation, part("fpga/zcu102"), "fpga")
    watch.at(0.0, "ready", lambda: fpga.load(DPU))
    watch.at(1.0, "job", lambda: fpga.run(5.0))
    watch.do(2.0, fpga.fail)
    watch.at(2.5, "refused", lambda: fpga.load(DPU))
    watch.do(3.0, fpga.repair)
    watch.at(4.0, "interrupted", lambda: fpga.load(DPU))
    watch.do(4.05, fpga.fail)
    fired = watch.run()
    assert all(isinstance(fired[name], Down) for name in ("job", "refused", "interrupted"))
    assert (fpga.units, fpga.loads) == (None, 1)
    idle, peak = fpga.spec.idle_w, fpga.spec.peak_w
    expected = idle * (2.0 + 1.05) + (peak - idle) * 1.0 / 3
    assert fpga.meter.energy_j(watch.simulation.now) == pytest.approx(expected)
