"""Caps that follow the grid: the decision by hand, and what becomes of it in a run."""

from __future__ import annotations

from math import fsum
from typing import Any

import pytest
from carbon_kit import Given, accounted, catalogue, sites
from serving_kit import CAPPED_SPEED, NODE_W, PEAK_W, Outcome, build

from experiments.compose import compose
from experiments.reproduce.papers.carbon.settings import part
from models.carbon.power import CappedSpeed
from policies.capping.contract import CapView
from policies.capping.least_carbon import LeastCarbon
from sim.carbon.capping import PowerCaps
from sim.core.errors import ConfigError
from sim.core.run import run

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
#: A kit's cluster has capped speeds where something is capped: nothing is, before the end.
LATER = ((1e8, "node0/gpu0", None),)
#: Nothing, coal, and nothing again.
GRID = Given([0.0, 4.0, 10.0, 1e9], [0.0, 3600.0, 0.0])


def view(intensity: float, embodied_g_per_s: float = 0.0, standing_w: float = 0.0) -> CapView:
    """Of a GPU of 400 W at a site with a PUE of 1.5."""
    return CapView(
        name="gpu",
        peak_w=400.0,
        standing_w=standing_w,
        speed=CappedSpeed(0.4, 0.5),
        embodied_g_per_s=embodied_g_per_s,
        intensity_g_per_kwh=intensity,
        pue=1.5,
    )


def test_the_best_cap_by_hand() -> None:
    """(s P g + e) / s^0.4 is least at s = e / (1.5 P g)."""
    policy = LeastCarbon(SHARES)
    g_per_s = 400.0 * 1.5 * 360.0 / 3.6e6
    made = 0.7 * 1.5 * g_per_s
    assert policy.cap(view(360.0, made), 0.0) == 0.7
    assert policy.cap(view(720.0, made), 0.0) == 0.5
    assert policy.cap(view(180.0, made), 0.0) is None
    assert policy.cap(view(0.0, made), 0.0) is None
    # What is spent is no reason to hurry; what the server draws is one on any grid.
    sunk = LeastCarbon(SHARES, making=False)
    assert sunk.cap(view(360.0, made), 0.0) == 0.5
    for intensity in (20.0, 700.0):
        assert sunk.cap(view(intensity, made, 0.7 * 1.5 * 400.0), 0.0) == 0.7
    for shares in ([], [0.0, 1.0], [1.1]):
        with pytest.raises(ConfigError, match=r"capping\.shares"):
            LeastCarbon(shares)


def capped(policy: Any, mode: str = "jump", requests: Any = ((0.0, 1, 12),)) -> Outcome:
    simulation, serving, _ = build(
        requests, mode=mode, log=False, caps=LATER, **accounted(GRID, requests=True)
    )
    simulation.add(PowerCaps(policy=policy, embodied=catalogue()))
    simulation.run()
    simulation.finish()
    return Outcome(simulation.results.close({}, {}), simulation, serving, None)


class Half:
    """Half of the power where the grid emits."""

    def cap(self, gpu: CapView, now_s: float) -> float | None:
        return 0.5 if gpu.intensity_g_per_kwh else None


def test_caps_follow_the_grid() -> None:
    """Twelve steps of a second: four before the grid is dirty, the next six seconds slowly."""
    outcome = capped(Half())
    speed = CAPPED_SPEED.speed(0.5)
    end_s = 4.0 + 6.0 + (12.0 - 4.0 - 6.0 * speed)
    assert outcome.column("finish_s") == pytest.approx([end_s])
    drawn_j = NODE_W * end_s + PEAK_W * (end_s - 6.0) + 0.5 * PEAK_W * 6.0
    assert outcome.result["energy_j"] == pytest.approx(drawn_j)
    dirty_g = (NODE_W + 0.5 * PEAK_W) * 6.0 * 1.5e-3
    assert outcome.result["carbon.operational_g"] == pytest.approx(dirty_g)
    mean = (end_s - 3.0) / end_s
    assert outcome.result["capping.home.cap.mean"] == pytest.approx(mean)
    assert outcome.result["capping.home.cap.changes"] == 2


def test_what_the_policy_sees_of_a_gpu() -> None:
    seen: list[CapView] = []

    class Looks:
        def cap(self, gpu: CapView, now_s: float) -> float | None:
            seen.append(gpu)
            return None

    assert capped(Looks()).result["capping.home.cap.mean"] == 1.0
    assert [gpu.intensity_g_per_kwh for gpu in seen] == [0.0, 3600.0, 0.0]
    assert {(gpu.peak_w, gpu.standing_w, gpu.pue) for gpu in seen} == {(PEAK_W, NODE_W, 1.5)}
    made = capped(Looks()).result.number("carbon.embodied_g") / 12.0
    assert seen[0].embodied_g_per_s == pytest.approx(made)


@pytest.mark.parametrize("policy", [Half(), LeastCarbon((1.0, 0.8, 0.5))])
def test_jump_is_step_and_no_gram_is_lost(policy: Any) -> None:
    requests = ((0.0, 2, 9), (1.3, 3, 4), (4.0, 1, 7), (9.99, 5, 3))
    jump, step = (capped(policy, mode, requests) for mode in ("jump", "step"))
    assert jump.column("finish_s") == pytest.approx(step.column("finish_s"), rel=1e-9)
    for key, value in step.result.summary.items():
        same = value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)
        assert jump.result.summary[key] == same, key
    whole = jump.result.number("carbon_g")
    handed: dict[str, list[float]] = {}
    for row in jump.table("carbon_attribution"):
        handed.setdefault(row["method"], []).append(row["grams"])
    for grams in handed.values():
        assert fsum(grams) == pytest.approx(whole, rel=1e-9)


def test_what_caps_need() -> None:
    for keys, says in (
        ({}, "capping: caps GPUs by their site; it needs both"),
        ({"sites": sites(GRID)}, r"capping: node0/gpu0 needs a capped_speed"),
    ):
        simulation, _, _ = build([(0.0, 1, 1)], log=False, **keys)
        simulation.add(PowerCaps(policy=Half(), embodied=catalogue()))
        with pytest.raises(ConfigError, match=says):
            simulation.run()


def test_caps_that_cannot_be_are_told() -> None:
    words = ["+system@systems.capping=capping", "workload.count=1"]
    for more, says in (
        ("systems.capping.policy.shares=[1,0.3]", r"capping: node0/gpu0: power cap: 0\.3 of peak"),
        ("power_cap=0.6", r"capping: node0/gpu0 has a power_cap already; leave out one of both"),
    ):
        with pytest.raises(ConfigError, match=says):
            run(compose([*words, more]))


def test_the_shipped_caps_run_and_keep_what_they_promise() -> None:
    """On a dirty grid the GPU is capped, on a clean one it is not."""
    assert isinstance(part("capping/least_carbon"), LeastCarbon)
    words = ["+system@systems.capping=capping", "sites=constant", "workload.count=20"]
    means = {}
    for grid in (5, 700):
        result = run(compose([*words, f"sites.sites.home.intensity.value={grid}"]))
        means[grid] = result["capping.home.cap.mean"]
        assert result["serving.requests_finished"] == 20
    assert means[5] == 1.0 > means[700]
