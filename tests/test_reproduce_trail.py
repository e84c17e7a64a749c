"""TRAIL's reproduction: two cells of its theory, and what judges, measures and draws the rest."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from experiments.reproduce.claim import Plot
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers import paper
from experiments.reproduce.papers.trail import (
    PAPER,
    mechanisms,
    predictors,
    settings,
    studies,
    theory,
    toy,
)
from experiments.reproduce.papers.trail.agreement import Agreement, standard_error
from experiments.reproduce.papers.trail.measures import by_lock, ratio, steps
from experiments.reproduce.papers.trail.outcome import Figures, figures
from experiments.reproduce.papers.trail.single_server import Cell, Means, serve, work_found
from experiments.reproduce.papers.trail.theory import TABLE, Cells, controlled, estimate
from experiments.reproduce.plots import picture
from experiments.reproduce.runs import mean_interval, replicate
from experiments.reproduce.verdict import Verdict
from experiments.reproduce.workers import Workers
from models.step_cost import StepCost
from sim.core.errors import ConfigError


@pytest.mark.parametrize(
    "cell", [Cell(0.5, 0.5, "perfect"), Cell(0.8, 0.8, "exponential")], ids=["perfect", "noisy"]
)
def test_two_cells_of_the_theory(cell: Cell) -> None:
    """Fewer and shorter runs than the study, so only within 3 standard errors, each below 3 %."""
    runs = [serve(cell, 4000, seed) for seed in range(8)]
    expected = TABLE[cell.load, cell.lock][theory.PREDICTORS.index(cell.predictor)]
    for figure, value in zip(theory.FIGURES, expected, strict=True):
        found = estimate(cell, runs, figure)
        error = standard_error(found)
        assert error < 0.03 * value, figure
        assert found.value == pytest.approx(value, abs=max(0.01 * value, 3.0 * error)), figure


def test_seeds_give_all_cells_the_same_arrivals() -> None:
    one, other = (serve(Cell(0.8, lock, "perfect"), 500, 3) for lock in (0.0, 1.0))
    assert (one.work, one.squares) == (other.work, other.squares)
    assert one.response != other.response


def test_work_found_by_hand() -> None:
    """Sizes 2, 1, 5 at 0, 1, 9: the second finds one left, the third none."""
    found = work_found(np.array([0.0, 1.0, 9.0]), np.array([2.0, 1.0, 5.0]))
    assert found.tolist() == [0.0, 1.0, 0.0]


def test_a_control_variate_is_the_intercept_of_a_line() -> None:
    """Value and standard error are those of least squares."""
    rng = np.random.default_rng(1)
    control = rng.normal(0.5, 1.0, 9)
    values = 3.0 + 2.0 * control + rng.normal(0.0, 0.1, 9)
    found = controlled(values.tolist(), control.tolist())
    design = np.column_stack([np.ones(9), control])
    line, rest, *_ = np.linalg.lstsq(design, values, rcond=None)
    error = sqrt(float(rest[0]) / 7 * np.linalg.inv(design.T @ design)[0, 0])
    assert found.value == pytest.approx(line[0])
    assert standard_error(found) == pytest.approx(error)


def test_agreement() -> None:
    def judge(samples: list[float], relative: float = 0.01) -> Verdict:
        found = {"x": mean_interval(samples)}
        return Agreement({"x": 10.0}, relative).judge(found, "").verdict

    assert judge([10.0, 10.1, 10.2, 10.0]) is Verdict.HOLDS
    assert judge([10.2, 10.21, 10.2, 10.21]) is Verdict.MISSES
    # Three standard errors of 0.09 cover 0.2.
    assert judge([10.0, 10.4, 10.2, 10.2]) is Verdict.HOLDS
    # A mean that could be anywhere is no agreement, however near it comes.
    assert judge([9.0, 11.0, 10.0, 10.0]) is Verdict.NOT_RESOLVED
    assert standard_error(mean_interval([1.0, 3.0])) == pytest.approx(1.0)
    assert standard_error(Estimate.exact(1.0)) == 0.0


def test_agreement_on_nothing_displaced() -> None:
    """0 for 0 holds; a value that is missing is named."""
    accepted = Agreement({"x": 0.0}, 0.01)
    assert accepted.judge({"x": mean_interval([0.0, 0.0])}, "").verdict is Verdict.HOLDS
    with pytest.raises(ConfigError, match="no value for 'x'; there are: y"):
        accepted.judge({"y": Estimate.exact(0.0)}, "")


def test_figures_of_a_run() -> None:
    """Six requests at once in two slots, some of them displaced."""
    words = settings.settings(settings.POLICIES["TRAIL"], None, slots=2, requests=6)
    (found,) = replicate([*words, "series_interval_s=1.0"], [1], figures)
    assert found["latency_median"] <= found["latency_p99"]
    assert 0.0 < found["ttft"] < found["latency"] <= found["lasted_s"]
    assert found["preemptions"] > 0.0
    assert found["held_peak"] >= found["held"] > 0.0
    assert found["kv_peak"] >= found["held_peak"]
    assert 0.0 <= found["locked"] <= 1.0


def test_cost_of_the_toy_server() -> None:
    """48 decodes reading 10,000 tokens are bound by memory, 600 tokens more by computing."""
    cost = toy.TwoLines()
    decode = cost.step(48, 10_000, (), 48)
    assert decode.step(0) == pytest.approx(0.011 + 0.0008 + 0.003)
    assert decode.step(5) == pytest.approx(decode.step(0) + 5 * 48 * 8e-8)
    assert cost.step(48, 10_000, ((0, 600),), 49).step(0) == pytest.approx(0.003 + 648 * 7e-5)
    assert isinstance(decode, StepCost)


def test_the_toy_server_runs() -> None:
    words = settings.settings(
        toy.POLICIES["C = 0.8"], 16.0, slots=4, requests=12, served=toy.SERVED
    )
    (found,) = replicate(words, [0], figures)
    # Nothing but iterations of at least 14 ms: a first token takes one.
    assert found["ttft"] >= 0.014


def fake_figures(scale: float) -> list[Figures]:
    keys = ("latency", "ttft", "preemptions", "recomputed", "held", "kv_peak", "locked")
    more = ("latency_median", "latency_p99", "ttft_median", "ttft_p99", "held_peak", "lasted_s")
    return [dict.fromkeys((*keys, *more), scale * (1.0 + 0.1 * seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def made_up() -> dict[object, object]:
    """Data of every study, by study: nothing is simulated but which runs there would be."""

    class Named(Workers):
        """Gives made-up figures for what a study maps."""

        def map(self, function, items):  # type: ignore[no-untyped-def,override]
            del function
            return [fake_figures(1.0 + i)[i % 3] for i, _ in enumerate(items)]

    found: dict[object, object] = {}
    with Named(1) as workers:
        for study in {claim.study for claim in PAPER.claims}:
            if study not in (theory.THEORY, predictors.PREDICTION):
                found[study] = study.run(workers)
    keys = ["prompt", "capped, on arrival", "capped, after a token"]
    keys += [f"{name}, {how}" for name in predictors.NAMES[1:] for how in ("raw", "smoothed")]
    found[predictors.PREDICTION] = {key: [1.0 + i, 1.5 + i, 2.5 + i] for i, key in enumerate(keys)}
    cells: Cells = {}
    for predictor in theory.PREDICTORS:
        for load, lock in TABLE:
            cells[Cell(load, lock, predictor)] = [
                Means(2.0 + 0.1 * i, 0.5 + 0.02 * i, 0.2, 1.0 + 0.01 * i * i, 1.0 + 0.01 * i * i)
                for i in range(4)
            ]
    found[theory.THEORY] = cells
    return found


def test_every_claim_can_be_judged(made_up: dict[object, object]) -> None:
    assert paper("trail") is PAPER
    for claim in PAPER.claims:
        judged = claim.accepted.judge(claim.measure(made_up[claim.study]), claim.unit)
        assert judged.simulated, claim.id


@pytest.mark.parametrize("plot", PAPER.plots, ids=lambda plot: plot.name)
def test_every_plot_draws(plot: Plot[object], made_up: dict[object, object]) -> None:
    assert picture(plot, made_up[plot.study]).startswith(b"\x89PNG")


def test_measures_pair_seeds() -> None:
    runs: studies.Runs = {
        ("vLLM-FCFS", 20.0): [{"ttft": 4.0}, {"ttft": 8.0}],
        ("TRAIL", 20.0): [{"ttft": 2.0}, {"ttft": 4.0}],
    }
    assert ratio(runs, 20.0, "ttft").samples == (2.0, 2.0)
    (step,) = steps(runs, "ttft", ("vLLM-FCFS", "TRAIL")).values()
    assert step.samples == (2.0, 4.0)
    by = {(f"short, C = {share:g}", studies.LOADED): runs["TRAIL", 20.0] for share in studies.LOCKS}
    assert [found.value for found in by_lock(by, "short", "ttft").values()] == [3.0] * len(
        studies.LOCKS
    )


def test_the_largest_difference_is_over_policies() -> None:
    runs = {(name, toy.LIGHT_RPS): [{"latency": 2.0}, {"latency": 4.0}] for name in toy.POLICIES}
    assert mechanisms.largest_difference(runs).value == 0.0
    runs["SJF", toy.LIGHT_RPS] = [{"latency": 2.02}, {"latency": 3.96}]
    assert mechanisms.largest_difference(runs).value == pytest.approx(1.0)
