"""Law 20: jobs that wait. Energy is conserved, no deadline is missed, savings are at least 0 and
grow with slack; the engine and the policies alone come to the same grams, and jump = step."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from carbon_kit import PUE, Given
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs_kit import (
    BUSY_W,
    CAPS,
    FAULTS,
    HOUR,
    IDLE_W,
    PAUSES,
    POLICIES,
    SHARE,
    Ran,
    crowd,
    grams,
    grid,
    job,
    run,
    scaling,
)
from serving_kit import NODE_W, PEAK_W

from models.carbon.signal import StepSignal
from models.carbon.units import J_PER_KWH
from policies.shifting.carbon_scaler import CarbonScaler
from policies.shifting.lets_wait_awhile import Interruptible, NonInterruptible
from sim.training.forecast import Forecast
from workloads.jobs import Nightly

VALUES = st.lists(st.integers(1, 500).map(float), min_size=2, max_size=10)
MODES = ("jump", "step")


# ---- laws of shifting ----


@settings(max_examples=40)
@given(VALUES, st.floats(0.05, 1.0))
def test_energy_is_conserved_and_no_deadline_missed(values: list[float], share: float) -> None:
    """And no policy beats pauses, nor pauses at once, with a perfect forecast and a free GPU."""
    work = round(share * len(values) * 360) / 360
    found = {
        name: run([job(max(work, 0.1), len(values))], values, policy, until_s=HOUR * len(values))
        for name, policy in POLICIES.items()
    }
    emitted = {name: grams(ran) for name, ran in found.items()}
    slack = 1e-9 * emitted["at once"]
    for name, ran in found.items():
        assert ran["deadlines_missed"] == 0
        assert ran["jobs_finished"] == 1
        assert ran["carbon.it_energy_j"] == pytest.approx(found["at once"]["carbon.it_energy_j"])
        assert emitted[name] >= emitted["may pause"] - slack
    assert emitted["in one piece"] <= emitted["at once"] + slack
    assert emitted["scaler"] == pytest.approx(emitted["may pause"])


@settings(max_examples=60)
@given(VALUES, st.floats(0.05, 1.0), st.integers(1, 4), st.sampled_from(sorted(POLICIES)))
def test_overheads_cost_no_deadline(
    values: list[float], share: float, most: int, policy: str
) -> None:
    levels = scaling(0.1).levels(1, most)
    fastest = levels[-1].work_per_s if policy == "scaler" else 1.0
    work = max(0.1, round(share * fastest * len(values) * 360) / 360 - 0.01)
    demand = job(work, len(values), levels=levels)
    ran = run([demand], values, POLICIES[policy], gpus=most, **PAUSES)
    assert ran["deadlines_missed"] == 0
    done = sum(
        (e - s) * levels[n - 1].work_per_s for s, e, n, what in ran.spans() if what == "work"
    )
    assert done == pytest.approx(work)


@settings(max_examples=20)
@given(VALUES, st.floats(0.05, 0.5))
def test_savings_grow_with_slack(values: list[float], share: float) -> None:
    work = max(0.1, round(share * len(values) * 360) / 360)
    for policy in (NonInterruptible(), Interruptible(), CarbonScaler()):
        emitted = [
            grams(run([job(work, deadline)], values, policy))
            for deadline in np.linspace(work, len(values), 5).tolist()
        ]
        for less, more in pairwise(emitted):
            # Runs that end with an iteration may end by one beside the hour.
            assert more <= less * (1.0 + 1e-6) + 10.0 * (BUSY_W + NODE_W) * PUE * 500 / J_PER_KWH


@pytest.mark.parametrize("value", [0.0, 217.0])
def test_a_constant_grid_saves_nothing(value: float) -> None:
    emitted = [grams(run([job(2.3, 8)], [value] * 9, policy)) for policy in POLICIES.values()]
    assert emitted == pytest.approx([emitted[0]] * len(emitted))


@settings(max_examples=20)
@given(VALUES, st.integers(1, 3), st.integers(1, 12))
def test_the_scaler_with_linear_scaling_fills_the_cheapest_hours(
    values: list[float], most: int, amount: int
) -> None:
    amount = min(amount, most * len(values))
    demand = job(amount, len(values), levels=scaling().levels(1, most))
    ran = run([demand], values, CarbonScaler(), gpus=most, iteration_s=60.0)
    units = sorted(value for value in values for _ in range(most))[:amount]
    per_gpu_w = BUSY_W + NODE_W / most
    assert grams(ran) == pytest.approx(per_gpu_w * PUE * sum(units) / 1000, rel=1e-9)
    assert ran["deadlines_missed"] == 0


@pytest.mark.parametrize("reach", [0.0, 2.0, 8.0])
@pytest.mark.parametrize("policy", ["in one piece", "may pause", "scaler"])
def test_the_same_grams_as_the_pure_policy(reach: float, policy: str) -> None:
    """Let's Wait Awhile's scenario I on a made-up grid of half hours."""
    nights = 12
    rng = np.random.default_rng(3)
    signal = StepSignal.regular(0.0, 1800.0, 200.0 + 100.0 * rng.random(48 * (nights + 2)))
    workload = Nightly(scaling(), nights, reach_hours=reach)
    ran = run(workload, Given(signal.edges_s.tolist(), signal.values.tolist()), POLICIES[policy])
    pure = 0.0
    for demand in workload.jobs(rng):
        plan = POLICIES[policy].plan(_View(demand), signal, demand.arrival_s)
        pure += sum(signal.integral(run.start_s, run.end_s) for run in plan)
    expected = (BUSY_W + NODE_W) * PUE * pure / J_PER_KWH
    assert grams(ran) == pytest.approx(expected, rel=1e-6)
    assert ran["jobs_finished"] == nights


class _View:
    def __init__(self, demand: Any) -> None:
        self.remaining_s, self.deadline_s = demand.work_s, demand.deadline_s
        self.work_per_s, self.node_w = (1.0,), (BUSY_W,)


# ---- the engine's own laws ----


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(3))
def test_jump_is_step_and_all_is_booked(policy: str, seed: int) -> None:
    """With waits, faults, overheads and new forecasts; with power caps and cut off in one case."""
    both = [
        run(
            crowd(seed),
            grid(seed),
            POLICIES[policy],
            gpus=2,
            nodes=2,
            mode=mode,
            faults=FAULTS,
            caps=CAPS if seed == 1 else (),
            forecast=Forecast(0.1, 6 * HOUR),
            until_s=15.2 * HOUR if seed == 2 else None,
            **PAUSES,
        )
        for mode in MODES
    ]
    jump, step = both
    for key, value in step.result.summary.items():
        same = value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)
        assert jump.result.summary[key] == same, key
    assert jump.jobs == step.jobs
    for table in ("jobs_runs", "jobs_carbon_requests"):
        for one, other in zip(jump.table(table), step.table(table), strict=True):
            for key, value in other.items():
                same = value if isinstance(value, str) else pytest.approx(value, rel=1e-9)
                assert one[key] == same, (table, key)
    check_books(jump, faulty=True)


def check_books(ran: Ran, *, faulty: bool = False) -> None:
    """Rows of jobs and accounts of overheads are the tenant's, and what its GPUs drew by hand."""
    own = [row for row in ran.table("carbon") if row["tenant"] == "jobs"]
    for key in ("energy_j", "operational_g", "embodied_g"):
        rows = sum(row[key] for row in ran.table("jobs_carbon_requests"))
        work = sum(row[key] for row in own if row["account"] == "work")
        assert rows == pytest.approx(work, rel=1e-9), key
    whole = ran.result.number("carbon_g")
    by_method: dict[str, float] = {}
    for row in ran.table("carbon_attribution"):
        by_method[row["method"]] = by_method.get(row["method"], 0.0) + row["grams"]
    assert by_method == {method: pytest.approx(whole, rel=1e-9) for method in by_method}
    assert len(by_method) >= 5
    assert {row["account"] for row in own} <= {"work", "checkpoint", "restore", "down", "idle"}
    assert sum(row["energy_j"] for row in own if row["account"] == "idle") < 1e-6
    spans = ran.table("jobs_runs")
    held = sum((row["end_s"] - row["start_s"]) * row["gpus"] for row in spans)
    assert held == pytest.approx(ran["gpu_s"])
    if faulty:
        return
    shares = {"work": SHARE, "checkpoint": 0.25, "restore": 0.25}
    drawn_j = sum(
        (row["end_s"] - row["start_s"])
        * row["gpus"]
        * (IDLE_W + shares[row["what"]] * (PEAK_W - IDLE_W))
        for row in spans
    )
    booked_j = sum(row["energy_j"] for row in own if row["component"] == "gpu")
    assert booked_j == pytest.approx(drawn_j, rel=1e-9)


@pytest.mark.parametrize("policy", ["may pause", "scaler"])
def test_observers_change_nothing(policy: str) -> None:
    on, off = (
        run(crowd(4), grid(4), POLICIES[policy], gpus=3, metered=metered, **PAUSES)
        for metered in (True, False)
    )
    assert on.jobs == off.jobs
    assert on.table("jobs_runs") == off.table("jobs_runs")
    for key, value in off.result.summary.items():
        assert on.result[key] == value


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(sorted(POLICIES)), st.booleans())
def test_no_gpu_is_had_twice_and_all_work_is_done(seed: int, policy: str, pauses: bool) -> None:
    ran = run(crowd(seed), grid(seed), POLICIES[policy], gpus=3, **(PAUSES if pauses else {}))
    assert ran["jobs_finished"] == ran["jobs_arrived"] == 14
    events = []
    for row in ran.table("jobs_runs"):
        events += [(row["end_s"], -row["gpus"]), (row["start_s"], row["gpus"])]
    held = 0
    for _, change in sorted(events):
        held += change
        assert 0 <= held <= 3
    for demand, row in zip(crowd(seed), ran.jobs, strict=True):
        rates = {level.gpus: level.work_per_s for level in demand.levels}
        done = sum(
            (e - s) * HOUR * rates[n] for s, e, n, what in ran.spans(row["id"]) if what == "work"
        )
        assert done == pytest.approx(demand.work_s)
        assert row["start_s"] >= demand.arrival_s
        assert row["missed"] == (row["finish_s"] > demand.deadline_s + 1e-6)
    check_books(ran)
