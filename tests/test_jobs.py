"""Batch jobs in the engine: hand examples, forecasts, the timeline, and what bad input says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from carbon_kit import PUE, Given, always, site
from jobs_kit import (
    BUSY_W,
    FAULTS,
    HOUR,
    HOUR_G,
    ONE,
    PAUSES,
    Listed,
    crowd,
    grams,
    grid,
    job,
    run,
    scaling,
)
from serving_kit import IDLE_W, NODE_W, PEAK_W, gpu_spec, node_spec

from models.carbon.clock import Clock
from models.carbon.pue import ConstantPue, TemperaturePue
from models.elastic import Level, Measured
from models.errors import CapacityError, ConfigError, LawBroken, Stalled
from policies.shifting.at_once import AtOnce
from policies.shifting.carbon_explorer import ToCleanGrid
from policies.shifting.carbon_scaler import CarbonScaler
from policies.shifting.contract import Run
from policies.shifting.fixed_window import FixedWindow
from policies.shifting.lets_wait_awhile import Interruptible, NonInterruptible
from sim.carbon.sites import Sites
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.hardware.faults import Fault
from sim.training.facts import JobPlanned
from sim.training.forecast import Forecast
from sim.training.jobs import Jobs
from sim.training.timeline import JobTimeline
from workloads.jobs import Workdays

GRID = [500.0, 100.0, 400.0, 100.0, 300.0, 200.0, 600.0, 50.0]

# ---- by hand ----


def test_runs_in_the_cleanest_hours() -> None:
    ran = run([job(3, 7)], GRID)
    assert ran.spans() == [(1, 2, 1, "work"), (3, 4, 1, "work"), (5, 6, 1, "work")]
    assert grams(ran) == pytest.approx(0.4 * HOUR_G)
    row = ran.jobs[0]
    assert (row["status"], row["start_s"], row["finish_s"]) == ("finished", HOUR, 6 * HOUR)
    assert (row["suspensions"], row["plans"], row["missed"]) == (2, 1, False)
    assert (ran["deadlines_missed"], ran["gpu_s"]) == (0, 3 * HOUR)
    assert ran["gpu_share"] == pytest.approx(0.5)
    # Idle hours are nobody's, of the GPU and of its host.
    idle_g = 3 * (IDLE_W + NODE_W) * PUE * sum(GRID[i] for i in (0, 2, 4)) / 3 / 1000
    assert ran.result["idle.carbon.operational_g"] == pytest.approx(idle_g)


def test_in_one_piece_and_at_once() -> None:
    ran = run([job(3, 7)], GRID, NonInterruptible())
    assert ran.spans() == [(1, 4, 1, "work")]
    assert grams(ran) == pytest.approx(0.6 * HOUR_G)
    assert grams(run([job(3, 7)], GRID, AtOnce())) == pytest.approx(1.0 * HOUR_G)


def test_the_scaler_weighs_what_a_job_adds() -> None:
    """A second GPU doubles the speed at 210 W more than the 70 of the first, their idle 50 W each
    apart. At 100 and then 250 g/kWh it is cleaner to go on with one, 70 x 250, than to take it,
    210 x 100; with idle draw, which stays wherever it goes, it would seem not: 120 x 250 against
    260 x 100. To one end the site emits the less."""
    levels = (Level(1, 1.0, 0.2), Level(2, 2.0, 0.4))
    emitted_g = {}
    for policy in (CarbonScaler(), Both()):
        ran = run([job(2, 2, levels=levels)], [100.0, 250.0], policy, gpus=2, idle_until_s=4 * HOUR)
        emitted_g[type(policy)] = ran.result.number("carbon.operational_g")
        spans = [(0.0, 2.0, 1, "work")] if isinstance(policy, CarbonScaler) else None
        assert ran.spans() == (spans or [(0.0, 1.0, 2, "work")])
    saved_g = (2 * 0.4 * 100.0 - 0.2 * (100.0 + 250.0)) * 0.35 * PUE
    assert emitted_g[Both] - emitted_g[CarbonScaler] == pytest.approx(saved_g)


class Both:
    """Both GPUs at once."""

    def plan(self, job: Any, forecast: Any, now_s: float) -> list[Run]:
        return [Run(now_s, now_s + job.remaining_s / 2.0, 1)]


def test_the_scaler_takes_more_gpus_where_a_gram_brings_more() -> None:
    """Three hours of work, at most two GPUs: four halves in the two cleanest hours less one."""
    levels = scaling().levels(1, 2)
    ran = run([job(3, 7, levels=levels)], GRID, CarbonScaler(), gpus=2)
    assert ran.spans() == [(1, 2, 2, "work"), (3, 4, 1, "work")]
    ran = run([job(4, 7, levels=levels)], GRID, CarbonScaler(), gpus=2)
    assert ran.spans() == [(1, 2, 2, "work"), (3, 4, 2, "work")]
    assert ran["deadlines_missed"] == 0


def test_a_change_of_gpus_is_a_new_start_and_costs_what_a_pause_does() -> None:
    levels = scaling().levels(1, 2)
    grid = [100.0, 300.0, 310.0, 900.0, 900.0]
    ran = run([job(5, 5, levels=levels)], grid, CarbonScaler(), gpus=2, **PAUSES)
    spans = ran.spans()
    # Two GPUs for two hours, and one of the third; but a change takes six minutes, after which two
    # would be planned for as long again: so they go on until then.
    assert [(gpus, what) for _, _, gpus, what in spans] == [
        (2, "work"),
        (2, "checkpoint"),
        (1, "restore"),
        (1, "work"),
    ]
    assert [end for _, end, *_ in spans] == pytest.approx([2.2, 2.2 + 1 / 30, 2.3, 2.9])
    assert ran["deadlines_missed"] == 0


def test_overheads_stand_in_accounts_of_their_own() -> None:
    ran = run([job(2, 5)], [100.0, 900.0, 900.0, 200.0, 100.0, 900.0], **PAUSES)
    over_h = 360.0 / HOUR
    assert ran.spans() == [
        (0, 1, 1, "work"),
        (1, pytest.approx(1 + 120 / HOUR), 1, "checkpoint"),
        # So that it works when the plan says.
        (pytest.approx(4 - 240 / HOUR), 4, 1, "restore"),
        (4, 5, 1, "work"),
    ]
    assert ran["overhead_gpu_s"] == pytest.approx(over_h * HOUR)
    booked: dict[str, float] = {}
    for row in ran.table("carbon"):
        if row["component"] == "gpu" and row["tenant"] == "jobs" and row["energy_j"]:
            booked[row["account"]] = booked.get(row["account"], 0.0) + row["energy_j"]
    overhead_w = IDLE_W + 0.25 * (PEAK_W - IDLE_W)
    assert booked == pytest.approx(
        {
            "work": 2 * HOUR * BUSY_W,
            "checkpoint": 120 * overhead_w,
            "restore": 240 * overhead_w,
        }
    )
    # In the job's own row is its work alone.
    assert grams(ran) == pytest.approx(0.2 * HOUR_G)


def test_no_pause_that_is_shorter_than_what_it_takes() -> None:
    """Five minutes of a dirty grid: six of overheads."""
    signal = Given([0.0, HOUR, HOUR + 300.0, 1e8], [100.0, 900.0, 100.0])
    ran = run([job(2, 9)], signal, **PAUSES)
    assert [span[3] for span in ran.spans()] == ["work"]
    ran = run([job(2, 9)], signal)
    assert ran.spans()[0][1] == 1.0


def test_no_pause_where_the_deadline_could_not_be_met() -> None:
    ran = run([job(2, 3.05)], [100.0, 900.0, 100.0, 100.0], **PAUSES)
    assert ran["deadlines_missed"] == 0
    ran = run([job(2.95, 3.0)], [100.0, 900.0, 100.0, 100.0], **PAUSES)
    assert [span[3] for span in ran.spans()] == ["work"]
    assert ran["deadlines_missed"] == 0


def test_an_iteration_is_finished_first() -> None:
    """25 minutes: an hour ends within the third."""
    ran = run([job(2.5, 9)], [100.0, 900.0, 200.0, 900.0, 100.0], iteration_s=1500.0)
    assert ran.spans()[0] == (0, pytest.approx(75 / 60), 1, "work")
    assert sum(end - start for start, end, *_ in ran.spans()) == pytest.approx(2.5)


def test_whoever_finds_no_gpu_waits_and_plans_again() -> None:
    """Both want hour 1; the earlier deadline has it, the other's next best is hour 3."""
    ran = run([job(1, 7), job(1, 4)], GRID)
    assert ran.spans(1) == [(1, 2, 1, "work")]
    assert ran.spans(0) == [(3, 4, 1, "work")]
    assert ran.jobs[0]["waited_s"] == HOUR
    assert ran.jobs[0]["plans"] == 2
    assert ran["deadlines_missed"] == 0
    plans = [fact for fact in ran.log.of(JobPlanned) if fact.job.id == 0]
    assert [fact.time_s for fact in plans] == [0.0, 2 * HOUR]


def test_fewer_gpus_than_planned_where_those_are_free() -> None:
    levels = scaling().levels(1, 3)
    jobs = [job(1, 2, levels=ONE), job(3, 3, levels=levels)]
    ran = run(jobs, [100.0, 900.0, 500.0, 500.0], CarbonScaler(), gpus=3)
    assert ran.spans(0) == [(0, 1, 1, "work")]
    assert ran.spans(1)[0] == (0, 1, 2, "work")
    assert sum((end - start) * gpus for start, end, gpus, _ in ran.spans(1)) == pytest.approx(3)
    assert ran["deadlines_missed"] == 0


@pytest.mark.parametrize("rule", ["run", "reject", "error"])
def test_a_deadline_that_cannot_be_met(rule: str) -> None:
    jobs = [job(3, 2, levels=scaling().levels(1, 1)), job(1, 9)]
    if rule == "error":
        with pytest.raises(CapacityError, match=r"job 0 has 10800 s of work .* and 7200 s to its"):
            run(jobs, GRID, cannot_meet=rule)
        return
    ran = run(jobs, GRID, cannot_meet=rule)
    if rule == "run":
        assert ran.spans(0) == [(0, 3, 1, "work")]
        assert (ran["deadlines_missed"], ran["late_s.max"]) == (1, HOUR)
    else:
        assert ran.spans(0) == []
        assert (ran["deadlines_missed"], ran["jobs_rejected"]) == (0, 1)
    assert ran["jobs_arrived"] == 2


def test_a_late_job_has_all_gpus_it_may_have() -> None:
    ran = run([job(4, 1, levels=scaling().levels(1, 2))], GRID, Interruptible(), gpus=2)
    assert ran.spans() == [(0, 2, 2, "work")]
    assert ran["deadlines_missed"] == 1


def test_work_of_a_failed_run_is_done_again() -> None:
    """The GPU fails half an hour into an hour's work, for a quarter."""
    fault = Fault(time_s=0.5 * HOUR, target="node0/gpu0", kind="fail", duration_s=0.25 * HOUR)
    ran = run([job(1, 9)], [100.0] * 9, AtOnce(), faults=[fault])
    assert ran.spans() == [(0, 0.5, 1, "work"), (0.5, 0.75, 1, "down"), (0.75, 1.75, 1, "work")]
    assert ran.jobs[0]["lost_iterations"] == 180
    lost, done = ran.table("jobs_carbon_requests")
    assert (lost["attempt"], lost["status"]) == (1, "lost")
    assert (done["attempt"], done["status"]) == (2, "finished")
    # But for idle draw, which the hour's step spreads evenly.
    assert lost["operational_g"] == pytest.approx(0.05 * HOUR_G, rel=0.05)
    assert done["operational_g"] == pytest.approx(0.1 * HOUR_G, rel=0.05)
    assert ran["carbon.lost_g"] == lost["operational_g"] + lost["embodied_g"]
    whole = sum(row["operational_g"] + row["embodied_g"] for row in (lost, done))
    assert ran["request_carbon_g.mean"] == pytest.approx(whole)


def test_what_is_behind_a_checkpoint_is_not_lost() -> None:
    """An hour of work, an hour's pause, and a failure ten minutes into the second."""
    fault = Fault(time_s=2 * HOUR + 600.0, target="node0/gpu0", kind="fail", duration_s=60.0)
    ran = run([job(2, 9)], [100.0, 900.0, 100.0, 100.0, 900.0], faults=[fault])
    lost, done = ran.table("jobs_carbon_requests")
    assert lost["operational_g"] == pytest.approx(0.1 * HOUR_G / 6, rel=0.05)
    assert done["operational_g"] == pytest.approx(0.2 * HOUR_G, rel=0.05)


def test_a_slow_gpu_ends_later_and_plans_again() -> None:
    """Half as fast for an hour: half an hour's work is left after the last run."""
    fault = Fault(time_s=HOUR, target="node0/gpu0", kind="slow", speed=0.5, duration_s=HOUR)
    ran = run([job(2, 5)], [900.0, 100.0, 900.0, 100.0, 800.0, 50.0], faults=[fault])
    assert sum(end - start for start, end, *_ in ran.spans()) == pytest.approx(2.5)
    assert ran.jobs[0]["plans"] == 2
    assert ran["deadlines_missed"] == 0


def test_cut_off_by_the_end_of_the_run() -> None:
    ran = run([job(2, 9), job(1, 9, arrival_h=5)], [100.0] * 9, AtOnce(), until_s=1.5 * HOUR)
    assert ran.jobs[0]["status"] == "unfinished"
    assert ran["jobs_arrived"] == 1
    assert grams(ran) == pytest.approx(0.15 * HOUR_G)


# ---- noisy forecasts ----


def test_an_error_of_the_forecast_costs_and_is_drawn_from_a_stream() -> None:
    rng = np.random.default_rng(5)
    values = (200.0 + 100.0 * rng.random(24 * 30)).tolist()
    jobs = [job(3, 24 * day + 24, 24 * day) for day in range(28)]
    perfect, off, again, other = (
        run(jobs, values, forecast=Forecast(error), seed=seed)
        for error, seed in ((0.0, 1), (0.5, 1), (0.5, 1), (0.5, 2))
    )
    assert grams(perfect) < grams(off) == grams(again) != grams(other)
    assert off["carbon.it_energy_j"] == pytest.approx(perfect["carbon.it_energy_j"])
    assert off["deadlines_missed"] == 0


def test_the_sites_error_is_the_forecasts() -> None:
    values = (200.0 + 100.0 * np.random.default_rng(5).random(24 * 9)).tolist()
    jobs = [job(3, 24 * day + 24, 24 * day) for day in range(8)]
    own = run(jobs, values, forecast=Forecast(0.5), seed=1)
    sites = run(jobs, values, home={"forecast_error": 0.5}, seed=1)
    assert grams(sites) == grams(own) > grams(run(jobs, values))
    with pytest.raises(ConfigError, match=r"forecast.error is 0.1, but sites.home.forecast_error"):
        run(jobs, values, forecast=Forecast(0.1), home={"forecast_error": 0.5})


def test_hours_are_the_sites() -> None:
    """A run that begins on a Tuesday at 18 o'clock."""
    grid = Given([0.0, 1e7], [100.0])
    grid.clock = Clock(1, 18.0)
    night = run([job(1, 30)], grid, FixedWindow(23.0, 5.0, clock_hour=18.0))
    assert night.spans()[0][0] == 5.0
    with pytest.raises(ConfigError, match=r"jobs.shifting: goes by a clock_hour of 0, but .* 18;"):
        run([job(1, 30)], grid, FixedWindow(23.0, 5.0))
    workdays = Workdays(scaling(0.0), 4, 14)
    with pytest.raises(ConfigError, match=r"jobs.workload: goes by a clock_hour of 0, but .* 18;"):
        run(workdays, grid)
    grid.clock = Clock(1, 0.0)
    with pytest.raises(ConfigError, match=r"goes by a first_weekday of 0, but sites.home .* 1;"):
        run(workdays, grid)


def test_a_new_forecast_plans_waiting_jobs_again() -> None:
    ran = run([job(1, 20)], [300.0] * 8 + [100.0] * 12, forecast=Forecast(0.1, 2 * HOUR))
    times = [fact.time_s for fact in ran.log.of(JobPlanned)]
    assert times[:4] == [0.0, 2 * HOUR, 4 * HOUR, 6 * HOUR]
    assert ran["deadlines_missed"] == 0


def test_the_timeline_shows_every_gpu_once() -> None:
    timeline = JobTimeline(10_000)
    ran = run(
        crowd(5), grid(5), CarbonScaler(), gpus=3, faults=FAULTS, observers=[timeline], **PAUSES
    )
    spans = [event for event in timeline.events if event["ph"] == "X"]
    assert sum(event["dur"] for event in spans) / 1e6 == pytest.approx(ran["gpu_s"], rel=1e-6)
    for row in {event["tid"] for event in spans}:
        own = sorted((e["ts"], e["ts"] + e["dur"]) for e in spans if e["tid"] == row)
        for (_, end), (start, _) in pairwise(own):
            assert end <= start
    begun = [event for event in timeline.events if event["ph"] == "b"]
    assert len(begun) == ran["jobs_finished"]
    short = JobTimeline(5)
    run(crowd(5), grid(5), gpus=3, observers=[short])
    assert len(short.events) == 6
    assert short.events[-1]["name"] == "timeline stopped: max_events (5) reached"


# ---- bad input ----


class Wrong:
    """A policy whose plan is none."""

    def __init__(self, *runs: Run) -> None:
        self.runs = list(runs)

    def plan(self, *_: Any) -> list[Run]:
        return self.runs


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ([], r"does 0.0 s of 3600.0 s of work"),
        ([Run(0.0, 1800.0)], r"does 1800.0 s of 3600.0 s"),
        ([Run(-60.0, 3600.0)], r"begins before 0.0 s"),
        ([Run(0.0, 1800.0), Run(1700.0, 3600.0)], r"begins before 1800.0 s"),
        ([Run(0.0, 3600.0, 1)], r"a level that is none of 1"),
        ([Run(7200.0, 10800.1)], r"the deadline is 10800.0 s"),
    ],
)
def test_a_plan_that_is_none(runs: list[Run], says: str) -> None:
    with pytest.raises(LawBroken, match=says):
        run([job(1, 3)], GRID, Wrong(*runs))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"iteration_s": 0.0}, "jobs.iteration_s is 0.0"),
        ({"checkpoint_s": -1.0}, "jobs.checkpoint_s is -1.0"),
        ({"restore_s": float("nan")}, "jobs.restore_s is nan"),
        ({"overhead_power_share": 2.0}, "jobs.overhead_power_share is 2.0"),
        ({"cannot_meet": "cry"}, "jobs.cannot_meet is 'cry'; one of run, reject, error"),
        ({"gpu": "abacus"}, "jobs.gpu: the cluster has no abacus"),
        ({"shifting": ToCleanGrid(0.4, 1.0)}, "shifting: this policy moves a site's load"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run([job(1, 3)], GRID, **settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"error": -0.1}, "forecast.error is -0.1"),
        ({"every_s": 0.0}, "forecast.every_s is 0.0"),
        ({"follow": "hope"}, "forecast.follow is 'hope'; it is average or marginal"),
        ({"follow": "marginal"}, "sites.home has no marginal signal"),
    ],
)
def test_forecasts_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run([job(1, 3)], GRID, forecast=Forecast(**settings))


def test_jobs_that_cannot_be() -> None:
    with pytest.raises(CapacityError, match=r"job 0 needs 4 GPUs, there are 1 of test-gpu"):
        run([job(1, 3, levels=(Level(4, 1.0, 0.5),))], GRID)
    with pytest.raises(ConfigError, match=r"job 1 arrives at 0.0 s, after one at 3600.0 s"):
        run([job(1, 3, 1), job(1, 3)], GRID)


@pytest.mark.parametrize("gpu", ["test-gpu", None])
def test_jobs_run_at_one_site(gpu: str | None) -> None:
    """A model of GPU that stands at one site says which; one that stands at both does not."""
    for east in ("east-gpu", "test-gpu"):
        nodes = [node_spec(1), replace(node_spec(1), gpu=gpu_spec(name=east))]
        places = {"west": site(always(300.0), nodes=["node0"]), "east": site(always(100.0))}
        cluster = Cluster([NodeCount(spec) for spec in nodes])
        simulation = Simulation(cluster=cluster, sites=Sites(places))
        jobs = Jobs(
            workload=Listed([job(1, 3)]),
            shifting=AtOnce(),
            forecast=Forecast(),
            iteration_s=10.0,
            gpu=east if gpu is None else gpu,
        )
        simulation.add(jobs)
        if east != "test-gpu":
            simulation.run()
            assert simulation.now == HOUR
            continue
        said = r"^jobs\.gpu: its test-gpu GPUs stand at 2 sites, east and west; jobs are planned by"
        with pytest.raises(ConfigError, match=said):
            simulation.run()


def test_cooling_is_planned_with() -> None:
    """A grid that never changes: PUE is 1.5 for two hours, then 1.1."""
    outside = Given([0.0, 2 * HOUR, 1e8], [38.0, 8.0])
    home = {"pue": TemperaturePue(0.1, 0.02, 18.0), "outside": outside}
    for forecast in (Forecast(), Forecast(0.01, HOUR)):
        ran = run([job(1, 4)], [100.0] * 5, home=home, forecast=forecast)
        assert ran.spans()[0][0] >= 2.0


def test_gpus_that_never_come_stall_the_run() -> None:
    fault = Fault(time_s=600.0, target="node0/gpu0", kind="fail")
    with pytest.raises(Stalled, match=r"'running': \[0\]"):
        run([job(1, 9)], [100.0] * 20, AtOnce(), faults=[fault], forecast=Forecast(0.1, HOUR))


def test_levels_of_scaling() -> None:
    assert [level.work_per_s for level in scaling().levels(2, 4)] == [1.0, 1.5, 2.0]
    amdahl = scaling(0.5).levels(1, 3)
    assert amdahl[2].work_per_s == pytest.approx(3 / 2)
    keys = ("gpus", "throughput", "power_share")
    source = dict.fromkeys(keys, "made up for tests")
    kept = {"gpus": [1, 2, 4], "throughput": [10.0, 18.0, 30.0], "power_share": [0.9, 0.8, 0.7]}
    measured = Measured(name="m", source=source, **kept)  # type: ignore[arg-type]
    assert measured.levels(2, 4) == (Level(2, 1.0, 0.8), Level(4, 30 / 18, 0.7))
    with pytest.raises(ConfigError, match=r"knows \[1, 2, 4\] GPUs; 1 to 3 are asked"):
        measured.levels(1, 3)
    with pytest.raises(ConfigError, match="1 <= least <= most"):
        scaling().levels(2, 1)
    with pytest.raises(ConfigError, match="throughput must not fall"):
        Measured(name="m", source=source, **kept | {"throughput": [10.0, 9.0, 30.0]})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="must rise"):
        Measured(name="m", source=source, **kept | {"gpus": [2, 1, 4]})  # type: ignore[arg-type]


def test_no_pue_no_factor() -> None:
    ran = run([job(1, 3)], GRID, AtOnce(), home={"pue": ConstantPue(1.0)})
    assert grams(ran) == pytest.approx(0.5 * (BUSY_W + NODE_W))
