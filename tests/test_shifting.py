"""Shifting policies: against every choice on small cases, deadlines, savings, and their laws."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.reproduce.papers.carbon.settings import part
from models.carbon.signal import StepSignal
from models.errors import CapacityError, ConfigError
from policies.shifting.at_once import AtOnce
from policies.shifting.carbon_explorer import ToCleanGrid, ToSurplus
from policies.shifting.carbon_scaler import CarbonScaler
from policies.shifting.contract import Run
from policies.shifting.fixed_window import FixedWindow
from policies.shifting.lets_wait_awhile import Interruptible, NonInterruptible
from policies.shifting.threshold import Threshold
from policies.shifting.within_day import WithinDay

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "shifting"
SLOT = 1800.0
VALUES = st.lists(st.integers(1, 500).map(float), min_size=1, max_size=10)
OF_ONE_NODE = {
    "at once": AtOnce(),
    "in one piece": NonInterruptible(),
    "may pause": Interruptible(),
    "threshold": Threshold(33.0, 24.0),
    "night": FixedWindow(23.0, 5.0),
    "scaler": CarbonScaler(),
    "in its day": WithinDay(0.4),
}


@dataclass
class Job:
    remaining_s: float
    deadline_s: float
    work_per_s: tuple = (1.0,)
    node_w: tuple = (100.0,)


def carbon(signal, job, runs):
    """Power x intensity over the runs, in W g s / kWh."""
    return sum(job.node_w[run.level] * signal.integral(run.start_s, run.end_s) for run in runs)


def work(job, runs):
    return sum(job.work_per_s[run.level] * (run.end_s - run.start_s) for run in runs)


def check_plan(job, runs, now):
    """In order, none overlapping, from now to the deadline, all work done."""
    assert runs[0].start_s >= now
    for run in runs:
        assert run.start_s < run.end_s
    for one, other in pairwise(runs):
        assert one.end_s <= other.start_s
    assert runs[-1].end_s <= job.deadline_s + 1e-6
    assert work(job, runs) == pytest.approx(job.remaining_s, rel=1e-9, abs=1e-6)


def regular(values):
    return StepSignal.regular(0.0, SLOT, values)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda f: f.stem)
def test_every_file_makes_a_policy(file) -> None:
    made = part(f"shifting/{file.stem}")
    if file.stem.startswith("carbon_explorer"):
        made = made(most_w=1.0)
    assert hasattr(made, "plan") or hasattr(made, "shift")
    assert file.read_text().startswith("# ")


# ---- every choice on small cases ----


@given(VALUES, st.integers(1, 10))
def test_k_cheapest_slots_are_the_best_of_all_choices(values, k) -> None:
    k = min(k, len(values))
    signal = regular(values)
    job = Job(k * SLOT, len(values) * SLOT)
    runs = Interruptible().plan(job, signal, 0.0)
    check_plan(job, runs, 0.0)
    best = min(sum(choice) for choice in combinations(values, k))
    assert carbon(signal, job, runs) == pytest.approx(100.0 * SLOT * best)


@given(VALUES, st.floats(0.05, 1.0), st.floats(0.0, 0.9))
def test_one_piece_starts_at_the_best_of_all_times(values, share, wait) -> None:
    """Against a fine grid of starts, with lengths and deadlines that meet no edge."""
    signal = regular(values)
    end = len(values) * SLOT
    now = wait * end * (1.0 - share)
    job = Job(share * end, end)
    if now + job.remaining_s > end:
        return
    runs = NonInterruptible().plan(job, signal, now)
    check_plan(job, runs, now)
    assert len(runs) == 1
    found = carbon(signal, job, runs)
    for start in np.linspace(now, end - job.remaining_s, 301):
        other = carbon(signal, job, [Run(start, min(start + job.remaining_s, end))])
        assert found <= other + 1e-9 * max(values) * end * 100.0


@given(VALUES, st.floats(0.01, 1.0), st.sampled_from([1.0, 1.1, 1.2, 1.37]), st.floats(0.0, 1e6))
def test_one_piece_starts_at_the_earliest_of_equal_times(values, share, pue, begins) -> None:
    """A slot of equal means is entered at its start, whatever rounding says: the same start where
    all is weighed alike, and now on a grid that never changes."""
    edges = begins + SLOT * np.arange(len(values) + 1)
    job = Job(share * (edges[-1] - begins), float(edges[-1]))
    signal, weighed, flat = (
        StepSignal(edges, found)
        for found in (values, pue * np.array(values), np.full(len(values), pue * values[0]))
    )
    (run,) = NonInterruptible().plan(job, signal, begins)
    assert NonInterruptible().plan(job, weighed, begins) == [run]
    assert NonInterruptible().plan(job, flat, begins)[0].start_s == begins


@pytest.mark.parametrize("policy", OF_ONE_NODE)
@given(st.floats(0.0, 1e5), st.floats(1.0, 1e5))
def test_without_slack_a_job_runs_now(policy, now, length) -> None:
    """Though `now + length - length` may lie before now."""
    signal = StepSignal([0.0, 3600.0, 7200.0, 1e6], [300.0, 100.0, 200.0])
    job = Job(length, now + length)
    runs = OF_ONE_NODE[policy].plan(job, signal, now)
    check_plan(job, runs, now)
    assert runs[0].start_s == pytest.approx(now, abs=1e-9)


@given(VALUES, st.integers(1, 10))
def test_the_scaler_with_one_node_takes_the_cheapest_slots(values, k) -> None:
    k = min(k, len(values))
    signal, job = regular(values), Job(k * SLOT, len(values) * SLOT)
    one, other = (p.plan(job, signal, 0.0) for p in (CarbonScaler(), Interruptible()))
    check_plan(job, one, 0.0)
    assert carbon(signal, job, one) == pytest.approx(carbon(signal, job, other))


@given(VALUES, st.integers(1, 3), st.integers(1, 12))
def test_the_scaler_with_linear_scaling_fills_the_cheapest_slots(values, most, amount) -> None:
    """m nodes that do m times the work at m times the power: each slot holds m units."""
    nodes = tuple(float(n) for n in range(1, most + 1))
    amount = min(amount, most * len(values))
    job = Job(amount * SLOT, len(values) * SLOT, nodes, tuple(100.0 * n for n in nodes))
    signal = regular(values)
    runs = CarbonScaler().plan(job, signal, 0.0)
    check_plan(job, runs, 0.0)
    units = sorted(value for value in values for _ in range(most))[:amount]
    assert carbon(signal, job, runs) == pytest.approx(100.0 * SLOT * sum(units))


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 500).map(float), min_size=1, max_size=4),
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.data(),
)
def test_the_scaler_is_the_best_of_all_plans_where_gains_fall(values, gains, data) -> None:
    """Concave throughput at equal power a node: for work that whole steps do, no choice of levels
    in slots does as much for less."""
    gains = sorted(gains, reverse=True)
    throughput = tuple(float(g) for g in np.cumsum(gains) / gains[0])
    power = tuple(100.0 * (n + 1) for n in range(len(gains)))
    signal = regular(values)
    full = sum(throughput[-1] for _ in values) * SLOT
    job = Job(data.draw(st.floats(0.05, 1.0)) * full, len(values) * SLOT, throughput, power)
    runs = CarbonScaler().plan(job, signal, 0.0)
    check_plan(job, runs, 0.0)
    found = carbon(signal, job, runs)
    for levels in product(range(-1, len(gains)), repeat=len(values)):
        done = sum(throughput[level] for level in levels if level >= 0) * SLOT
        if done >= job.remaining_s - 1e-6:
            cost = sum(
                power[level] * value
                for level, value in zip(levels, values, strict=True)
                if level >= 0
            )
            assert found <= cost * SLOT * (1.0 + 1e-9)


# ---- laws ----


@given(VALUES, st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_deadlines_are_met_and_the_work_is_done(values, share, wait) -> None:
    signal = regular(values)
    end = len(values) * SLOT
    length = share * end
    now = wait * (end - length)
    for policy in OF_ONE_NODE.values():
        job = Job(length, end)
        check_plan(job, policy.plan(job, signal, now), now)


@given(VALUES, st.floats(0.01, 1.0))
def test_a_perfect_forecast_never_costs_and_pauses_only_help(values, share) -> None:
    signal = regular(values)
    end = len(values) * SLOT
    job = Job(share * end, end)
    cost = {name: carbon(signal, job, p.plan(job, signal, 0.0)) for name, p in OF_ONE_NODE.items()}
    slack = 1e-9 * cost["at once"]
    assert cost["in one piece"] <= cost["at once"] + slack
    assert cost["may pause"] <= cost["in one piece"] + slack
    assert cost["scaler"] == pytest.approx(cost["may pause"])
    assert min(cost.values()) >= cost["may pause"] - slack


@given(VALUES, st.floats(0.01, 0.5))
def test_savings_grow_with_slack(values, share) -> None:
    signal = regular(values)
    end = len(values) * SLOT
    for policy in (NonInterruptible(), Interruptible(), CarbonScaler()):
        costs = []
        for deadline in np.linspace(share * end, end, 7):
            job = Job(share * end, max(float(deadline), share * end))
            costs.append(carbon(signal, job, policy.plan(job, signal, 0.0)))
        for less, more in pairwise(costs):
            assert more <= less * (1.0 + 1e-9)


@given(VALUES, st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_planning_again_on_the_way_changes_nothing_where_the_forecast_was_right(
    values, share, when
) -> None:
    signal = regular(values)
    end = len(values) * SLOT
    full = Job(share * 1.8 * end, end, (1.0, 1.8), (100.0, 220.0))
    for policy, job in ((Interruptible(), Job(share * end, end)), (CarbonScaler(), full)):
        runs = policy.plan(job, signal, 0.0)
        now = when * end
        done = [Run(r.start_s, min(r.end_s, now), r.level) for r in runs if r.start_s < now]
        left = job.remaining_s - work(job, done)
        if left > 1e-3:
            rest = Job(left, end, job.work_per_s, job.node_w)
            again = policy.plan(rest, signal, now)
            cost = carbon(signal, job, done) + carbon(signal, rest, again)
            assert cost == pytest.approx(carbon(signal, job, runs), rel=1e-6)


@given(st.integers(1, 8), st.floats(0.01, 1.0), st.floats(0.0, 500.0))
def test_a_constant_signal_saves_nothing(count, share, value) -> None:
    signal = regular([value] * count)
    job = Job(share * count * SLOT, count * SLOT)
    costs = [carbon(signal, job, p.plan(job, signal, 0.0)) for p in OF_ONE_NODE.values()]
    assert costs == pytest.approx([costs[0]] * len(costs), rel=1e-9)


def test_what_cannot_be_done_is_an_error() -> None:
    signal = regular([1.0, 2.0])
    for policy in OF_ONE_NODE.values():
        with pytest.raises(CapacityError):
            policy.plan(Job(3 * SLOT, 2 * SLOT), signal, 0.0)
    # More nodes than the least make it possible.
    job = Job(3 * SLOT, 2 * SLOT, (1.0, 1.8), (100.0, 200.0))
    check_plan(job, CarbonScaler().plan(job, signal, 0.0), 0.0)
    with pytest.raises(ConfigError, match="must begin with 1"):
        CarbonScaler().plan(Job(SLOT, 2 * SLOT, (2.0,), (1.0,)), signal, 0.0)


def test_a_threshold_waits_and_then_has_to_run() -> None:
    signal = regular([90.0, 10.0, 80.0, 20.0, 70.0, 60.0])
    job = Job(3 * SLOT, 6 * SLOT)
    runs = Threshold(34.0, 24.0).plan(job, signal, 0.0)
    # 10 and 20 are of the cleanest third of what is ahead; then 60 is the least that remains.
    assert runs == [Run(1 * SLOT, 2 * SLOT), Run(3 * SLOT, 4 * SLOT), Run(5 * SLOT, 6 * SLOT)]
    falling = regular([50.0, 40.0, 30.0, 20.0])
    forced = Threshold(1.0, 24.0).plan(Job(2 * SLOT, 4 * SLOT), falling, 0.0)
    assert forced == [Run(2 * SLOT, 4 * SLOT)]
    with pytest.raises(ConfigError, match="percentile = 0"):
        Threshold(0.0, 24.0)


def test_a_fixed_window() -> None:
    hours = StepSignal.regular(0.0, 3600.0, np.ones(72))
    night = FixedWindow(23.0, 5.0)
    hour = 3600.0
    assert night.plan(Job(hour, 60 * hour), hours, 10 * hour) == [Run(23 * hour, 24 * hour)]
    assert night.plan(Job(hour, 60 * hour), hours, 26 * hour) == [Run(26 * hour, 27 * hour)]
    assert night.plan(Job(hour, 15 * hour), hours, 10 * hour) == [Run(14 * hour, 15 * hour)]


# ---- Carbon Explorer ----

DAYS = st.lists(
    st.tuples(st.floats(1.0, 100.0), st.floats(0.0, 200.0), st.integers(0, 500).map(float)),
    min_size=6,
    max_size=6,
)


@given(DAYS, DAYS, st.floats(0.0, 1.0), st.floats(100.0, 300.0))
def test_load_moves_inside_its_day_and_its_bounds(first, second, flexible, most) -> None:
    load, farm, grid = (np.array(column) for column in zip(*first, *second, strict=True))
    before = np.minimum(load, farm).sum()
    emitted = load @ grid
    for policy in (ToSurplus(flexible, most, 6), ToCleanGrid(flexible, most, 6)):
        moved = policy.shift(load, farm, grid)
        for day in (slice(0, 6), slice(6, 12)):
            assert moved[day].sum() == pytest.approx(load[day].sum())
        assert (moved >= (1.0 - flexible) * load - 1e-9).all()
        assert (moved <= np.maximum(load, most) + 1e-9).all()
        if isinstance(policy, ToSurplus):
            assert np.minimum(moved, farm).sum() >= before - 1e-9
        else:
            assert moved @ grid <= emitted + 1e-6


def test_shifting_by_hand() -> None:
    load, farm = np.array([10.0, 10.0, 10.0, 10.0]), np.array([0.0, 5.0, 30.0, 12.0])
    grid = np.array([400.0, 300.0, 100.0, 200.0])
    moved = ToSurplus(0.5, 25.0, 4).shift(load, farm, grid)
    # Of the worst deficits 5 each go to the largest surplus, which has room for 15.
    assert moved == pytest.approx([5.0, 5.0, 20.0, 10.0])
    narrow = ToSurplus(0.5, 13.0, 4).shift(load, farm, grid)
    assert narrow == pytest.approx([5.0, 10.0, 13.0, 12.0])
    clean = ToCleanGrid(0.5, 18.0, 4).shift(load, farm, grid)
    assert clean == pytest.approx([5.0, 5.0, 18.0, 12.0])
    for bad in (lambda: ToSurplus(1.5, 1.0), lambda: ToSurplus(0.5, 0.0)):
        with pytest.raises(ConfigError):
            bad()
    with pytest.raises(ConfigError, match="no whole days"):
        ToSurplus(0.5, 25.0, 3).shift(load, farm, grid)
    with pytest.raises(ConfigError, match="below the load's highest"):
        ToSurplus(0.5, 5.0, 4).shift(load, farm, grid)


def test_all_load_that_may_move_to_clean_hours_is_moved_best() -> None:
    """With room for all, the cleanest hour takes what may go: the least that can be emitted."""
    rng = np.random.default_rng(7)
    load, grid = rng.uniform(5, 10, 24), rng.permutation(24) * 10.0
    moved = ToCleanGrid(0.4, 1e6).shift(load, np.zeros(24), grid)
    clean = int(np.argmin(grid))
    best = 0.6 * load
    best[clean] = load[clean] + 0.4 * (load.sum() - load[clean])
    assert moved == pytest.approx(best)


def test_a_job_shifts_inside_its_day_by_hand() -> None:
    """Three hours from 21 h on, of which half of each may move; what is left at midnight is of the
    next day. Of 21 to 23 h, the dirtiest and the next, an hour goes to the clean one; the job ends
    the next day, where what it has left moves to the cleanest hour before the deadline."""
    hour = 3600.0
    grid = np.full(48, 500.0)
    grid[20:28] = [1.0, 300.0, 400.0, 100.0, 90.0, 80.0, 10.0, 5.0]
    signal = StepSignal.regular(0.0, hour, grid)
    runs = WithinDay(0.5).plan(Job(2 * hour, 24 * hour), signal, 21 * hour)
    assert runs == [Run(21 * hour, 21.5 * hour), Run(22 * hour, 22.5 * hour),
                    Run(23 * hour, 24 * hour)]  # fmt: skip
    # The same where the run begins at six in the morning.
    early = signal.shifted(-6 * hour)
    later = WithinDay(0.5, clock_hour=6.0).plan(Job(2 * hour, 18 * hour), early, 15 * hour)
    assert [(run.start_s + 6 * hour, run.end_s + 6 * hour) for run in later] == [
        (run.start_s, run.end_s) for run in runs
    ]
    two_days = WithinDay(0.5).plan(Job(4 * hour, 27 * hour), signal, 21 * hour)
    assert two_days == [Run(21 * hour, 24.5 * hour), Run(26 * hour, 26.5 * hour)]
    assert WithinDay(0.0).plan(Job(2 * hour, 40 * hour), signal, 3.0) == [Run(3.0, 3.0 + 2 * hour)]
    with pytest.raises(ConfigError, match=r"flexible = 1\.5"):
        WithinDay(1.5)


@given(DAYS, st.floats(0.1, 1.0), st.floats(0.0, 1.0))
def test_a_job_shifts_no_more_than_it_may(rows, flexible, share) -> None:
    signal = regular([value for _, _, value in rows])
    job = Job(share * 6 * SLOT + 1.0 - share, 6 * SLOT)
    runs = WithinDay(flexible).plan(job, signal, 0.0)
    check_plan(job, runs, 0.0)
    stays = sum(max(0.0, min(run.end_s, job.remaining_s) - run.start_s) for run in runs)
    assert stays >= (1.0 - flexible) * job.remaining_s - 1e-6
    at_once = carbon(signal, job, [Run(0.0, job.remaining_s)])
    assert carbon(signal, job, runs) <= at_once * (1.0 + 1e-9) + 1e-6
