"""Power caps of GPUs: draw, pace, changes in the middle of work, configuration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jobs_kit
import pytest
from carbon_kit import always, site
from hypothesis import given
from hypothesis import strategies as st
from jobs_kit import SHARE, job
from serving_kit import CAPPED_SPEED, IDLE_W, NODE_W, PEAK_W, node_spec, simulate

from experiments.compose import compose
from models.capped_cost import CappedCost, PowerLimit
from models.carbon.power import CappedSpeed
from models.elastic import Level
from models.errors import ConfigError
from models.step_cost import StepCost, WithLast
from policies.routing.carbon import Carbon
from policies.shifting.carbon_scaler import CarbonScaler
from sim.carbon.sites import Sites
from sim.core.run import run as run_config
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.hardware.device import DeviceGroup
from sim.hardware.facts import DeviceChanged
from sim.hardware.gpu import Gpu

#: Of the dynamic range of the tests' GPU a cap of 0.4 leaves 110 of 350 W, and 0.4^0.4 of speed.
LEFT = (0.4 * PEAK_W - IDLE_W) / (PEAK_W - IDLE_W)
SLOW = 0.4**-0.4
FULL = StepCost(1.0, active_first=1.0)


class Bench:
    """GPUs that act as one, and when their steps end."""

    def __init__(self, gpus: int = 1) -> None:
        self.simulation = Simulation()
        spec = node_spec(1).gpu
        self.gpus = [Gpu(self.simulation, spec, f"gpu{i}", CAPPED_SPEED) for i in range(gpus)]
        self.gpu = self.gpus[0]
        self.group = DeviceGroup(self.gpus)
        self.ends: list[float] = []

    def run(self, cost: StepCost, steps: int) -> None:
        def ended(_: int) -> None:
            self.ends.append(self.simulation.now)
            run.end()

        run = self.group.run(cost, steps, ended, lambda _: self.ends.append(-1.0))

    def at(self, time_s: float, action) -> None:
        self.simulation.at(time_s, lambda _: action())

    def finish(self) -> list[float]:
        self.simulation.env.run()
        return self.ends


def test_full_draw_is_slowed_to_the_cap_and_costs_the_caps_power() -> None:
    bench = Bench()
    bench.gpu.cap(0.4)
    bench.run(FULL, 3)
    bench.simulation.env.run(1.0)
    assert bench.gpu.meter.power_w(1.0) == pytest.approx(160.0, rel=1e-12)
    assert bench.finish() == pytest.approx([3.0 * SLOW])
    assert bench.gpu.meter.energy_j(3.0 * SLOW) == pytest.approx(160.0 * 3.0 * SLOW)


def test_work_that_draws_less_than_the_cap_is_as_without_it() -> None:
    """Decodes at 60 % of the power range, 260 W, under a cap of 280 W."""
    bench = Bench()
    bench.gpu.cap(0.7)
    bench.run(StepCost(1.0, active_first=0.6), 3)
    assert bench.finish() == [3.0]
    assert bench.gpu.meter.energy_j(3.0) == pytest.approx(3.0 * 260.0)


def test_between_both_the_pace_is_straight_in_the_draw() -> None:
    half = LEFT + 0.5 * (1.0 - LEFT)
    bench = Bench()
    bench.gpu.cap(0.4)
    bench.run(StepCost(1.0, active_first=half), 1)
    lasts = 1.0 + 0.5 * (SLOW - 1.0)
    assert bench.finish() == pytest.approx([lasts])
    assert bench.gpu.meter.energy_j(lasts) == pytest.approx(160.0 * lasts)


def test_caps_that_change_in_the_middle_of_steps() -> None:
    """Full draw until 0.5 s, at 160 W until 2.5 s, full again; four steps of a second."""
    bench = Bench()
    bench.run(FULL, 4)
    bench.at(0.5, lambda: bench.gpu.cap(0.4))
    bench.at(2.5, lambda: bench.gpu.cap(None))
    done = 0.5 + 2.0 / SLOW
    end = 2.5 + 4.0 - done
    assert bench.finish() == pytest.approx([end])
    energy = 400.0 * 0.5 + 160.0 * 2.0 + 400.0 * (4.0 - done)
    assert bench.gpu.meter.energy_j(end) == pytest.approx(energy)


def test_with_a_slow_down_a_failure_and_a_repair() -> None:
    """At half speed a step draws half of the range, 225 W, so a cap of 240 W costs nothing then;
    a failed device draws nothing, and one that comes back is still capped."""
    bench = Bench()
    bench.gpu.cap(0.6)
    bench.gpu.set_speed(0.5)
    bench.run(FULL, 1)
    bench.at(3.0, bench.gpu.fail)
    bench.at(4.0, bench.gpu.repair)
    bench.at(5.0, lambda: bench.run(FULL, 1))
    again = 5.0 + 0.6**-0.4
    assert bench.finish() == pytest.approx([2.0, again])
    energy = 225.0 * 2.0 + 50.0 * 1.0 + 50.0 * 1.0 + 240.0 * 0.6**-0.4
    assert bench.gpu.meter.energy_j(again) == pytest.approx(energy)


def test_the_lowest_cap_of_a_group_holds_for_all() -> None:
    bench = Bench(gpus=2)
    bench.gpus[0].cap(0.8)
    bench.gpus[1].cap(0.4)
    bench.run(FULL, 1)
    bench.at(1.0, lambda: bench.gpus[1].cap(None))
    end = 1.0 + (1.0 - 1.0 / SLOW) * 0.8**-0.4
    assert bench.finish() == pytest.approx([end])
    assert bench.group.energy_j(end) == pytest.approx(2.0 * (160.0 + 320.0 * (end - 1.0)))


def test_who_listens_hears_of_it() -> None:
    bench = Bench()
    heard: list[DeviceChanged] = []
    told: list[str] = []
    bench.simulation.facts.subscribe(DeviceChanged, heard.append)
    bench.gpu.on_change.append(lambda device: told.append(device.name))
    bench.gpu.cap(0.5)
    assert heard == [DeviceChanged(0.0, "gpu0", "cap", 1.0)]
    assert told == ["gpu0"]


@pytest.mark.parametrize(
    ("share", "speed", "says"),
    [
        (0.2, CAPPED_SPEED, r"power cap: 0\.2 of peak must be in \[0\.25, 1\]"),
        (1.5, CAPPED_SPEED, r"power cap: 1\.5 of peak"),
        (0.125, CappedSpeed(0.4, 0.1), r"power_cap = 0\.125 of 400 W must exceed the 50 W"),
        (0.5, None, r"gpu: power_cap = 0\.5 needs a capped_speed"),
    ],
)
def test_impossible_caps_are_named(share, speed, says) -> None:
    gpu = Gpu(Simulation(), node_spec(1).gpu, "gpu", speed)
    with pytest.raises(ConfigError, match=says):
        gpu.cap(share)


def test_a_cluster_caps_all_its_gpus_by_the_run_configuration() -> None:
    fast = run_config(compose(["workload=fixed", "workload.count=3"]))
    slow = run_config(compose(["workload=fixed", "workload.count=3", "power_cap=0.5"]))
    key = "serving.e2e_latency_s.mean"
    assert fast.number(key) < slow.number(key) < 2.0**0.4 * fast.number(key)
    with pytest.raises(ConfigError, match=r"power cap: 0\.3 of peak must be in \[0\.5, 1\]"):
        run_config(compose(["power_cap=0.3"]))


def test_nodes_may_have_caps_of_their_own() -> None:
    spec = node_spec(2)
    nodes = {"west": NodeCount(spec, power_cap=0.5), "east": NodeCount(spec, 2)}
    cluster = Cluster(nodes, power_cap=0.75, capped_speed=CAPPED_SPEED).build(Simulation())
    shares = [gpu.limit.share for gpu in cluster.gpus if gpu.limit is not None]
    assert shares == pytest.approx([150.0 / 350.0] * 2 + [250.0 / 350.0] * 4)


def test_a_cap_where_there_is_no_gpu() -> None:
    bare = replace(node_spec(1), gpus=0, gpu=None)
    with pytest.raises(ConfigError, match=r"power_cap = 0\.5, but test-node has no GPU to cap"):
        NodeCount(bare, power_cap=0.5)
    with pytest.raises(ConfigError, match=r"caps GPUs, and the cluster's nodes \(test-node\) have"):
        Cluster([NodeCount(bare)], power_cap=0.5).build(Simulation())


TWO = ["cluster=two_regions", "sites=two_regions", "client=two_regions", "replicas=2"]


def test_regions_are_capped_together_and_apart() -> None:
    words = [*TWO, "routing=nearest", "workload=fixed", "workload.count=6"]
    cap = "cluster.nodes.west.power_cap=0.5"
    found = {}
    for name, more in {"none": [], "all": ["power_cap=0.5"], "west": [cap]}.items():
        requests = run_config(compose([*words, *more])).table("requests")
        found[name] = requests.groupby("origin").e2e_latency_s.mean()
    assert (found["all"] > found["none"]).all()
    assert found["west"]["west"] == found["all"]["west"]
    assert found["west"]["east"] == found["none"]["east"]


def test_routing_by_carbon_sees_caps() -> None:
    """At 130 g/kWh under a cap a request costs less than at 120 without one."""
    for caps, replica in (([], 1), ([(0.0, "node0/gpu0", 0.5)], 0)):
        sites = Sites(
            {
                "west": site(always(130.0), nodes=["node0"]),
                "east": site(always(120.0), nodes=["node1"]),
            }
        )
        routing = partial(Carbon, 100.0, 100.0, 1, 4)
        outcome = simulate([(1.0, 1, 3)], replicas=2, caps=caps, sites=sites, routing=routing)
        assert outcome.column("replica") == [replica]


def test_jobs_are_planned_with_their_cap() -> None:
    """Four hours of work take 4.83 at half of the power; planned so, in the cleanest of six hours,
    nothing is planned again and the deadline holds."""
    left = (0.5 * PEAK_W - IDLE_W) / (PEAK_W - IDLE_W)
    slow = 1.0 + (0.5**-0.4 - 1.0) / (1.0 - left) * (SHARE - left)
    caps = [(0.0, "node0/gpu0", 0.5)]
    grid = [100.0, 100.0, 900.0, 100.0, 100.0, 300.0, 900.0]
    ran = jobs_kit.run([job(4.0, 6.0)], grid, caps=caps, iteration_s=36.0)
    (row,) = ran.jobs
    assert (row["plans"], ran["deadlines_missed"]) == (1, 0)
    assert row["finish_s"] == pytest.approx(3600.0 * (1.0 + 4.0 * slow), abs=36.0)
    drawn_j = 3600.0 * 4.0 * slow * (0.5 * PEAK_W + NODE_W)
    added = [each for each in ran.table("carbon") if each["account"] == "work"]
    assert sum(each["energy_j"] for each in added) == pytest.approx(drawn_j)


def test_a_cap_may_make_a_second_gpu_worthless() -> None:
    """Two GPUs at full draw are 5 % faster than one at a fifth, and slower under a cap."""
    levels = (Level(1, 1.0, 0.2), Level(2, 1.05, 1.0))
    caps = [(0.0, f"node0/gpu{i}", 0.5) for i in range(2)]
    for more, gpus in (([], 2), (caps, 1)):
        jobs = [job(2.1, 2.05, levels=levels)]
        ran = jobs_kit.run(jobs, [100.0] * 9, CarbonScaler(), gpus=2, caps=more)
        assert ran.spans()[0][2] == gpus


def test_a_job_that_its_cap_makes_late_is_known_to_be() -> None:
    caps = [(0.0, "node0/gpu0", 0.5)]
    for more, status in ((None, "finished"), (caps, "rejected")):
        ran = jobs_kit.run([job(4.0, 4.5)], [100.0] * 9, caps=more or [], cannot_meet="reject")
        assert ran.jobs[0]["status"] == status


def test_capped_jobs_run_as_shipped() -> None:
    words = ["experiment=carbon_jobs", "jobs.count=4", "jobs.days=2", "jobs.most_hours=8"]
    full, capped = (run_config(compose([*words, *more])) for more in ([], ["power_cap=0.6"]))
    assert capped["jobs.deadlines_missed"] == 0
    assert capped["jobs.gpu_s"] > full["jobs.gpu_s"]


def test_a_cluster_without_a_model_of_capped_speed_says_so() -> None:
    with pytest.raises(ConfigError, match="needs a capped_speed"):
        Cluster([NodeCount(node_spec(1))], power_cap=0.5).build(Simulation())


COSTS = st.builds(
    StepCost,
    st.floats(0.0, 2.0),
    st.floats(0.0, 0.2),
    st.floats(0.0, 3.0),
    st.floats(0.0, 2.0),
    st.floats(0.0, 0.2),
)


@st.composite
def costs(draw: st.DrawFn) -> StepCost:
    cost = draw(COSTS)
    if draw(st.booleans()):
        return WithLast(cost, draw(st.integers(1, 20)), draw(COSTS))
    return cost


@given(costs(), st.floats(0.05, 0.95), st.floats(0.0, 1.0), st.sampled_from([0.25, 0.5, 1.0, 2.0]))
def test_sums_are_those_of_the_steps(asked, share, most, speed) -> None:
    limit = PowerLimit(share, most / share)
    cost = CappedCost(asked, limit, speed)
    seconds = active = moment = 0.0
    for j in range(60):
        excess = max(0.0, speed * asked.active_step(j) - share * asked.step(j))
        lasts = asked.step(j) + limit.stretch * excess
        assert cost.step(j) == pytest.approx(lasts, rel=1e-9, abs=1e-9)
        if excess > 1e-9:
            assert cost.active_step(j) == pytest.approx(share * lasts / speed, rel=1e-6, abs=1e-9)
        else:
            assert cost.active_step(j) == pytest.approx(asked.active_step(j), rel=1e-9, abs=1e-8)
        assert cost.total(j) == pytest.approx(seconds, rel=1e-9, abs=1e-9)
        assert cost.active_total(j) == pytest.approx(active, rel=1e-9, abs=1e-7)
        assert cost.moment(j) == pytest.approx(moment, rel=1e-9, abs=1e-7)
        seconds += lasts
        active += cost.active_step(j)
        moment += j * lasts


@given(costs(), st.floats(0.05, 0.95), st.floats(0.0, 1.0), st.integers(0, 200))
def test_steps_within_a_time_are_found(asked, share, most, steps) -> None:
    cost = CappedCost(asked, PowerLimit(share, most / share), 1.0)
    if cost.step(0) > 0.01:
        found = cost.steps_within(cost.total(steps))
        assert cost.total(found) <= cost.total(steps) < cost.total(found + 1)
