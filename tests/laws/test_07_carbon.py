"""Law 7: attributed carbon = total carbon = what the meters drew, at the intensity of its time."""

from __future__ import annotations

from math import fsum
from typing import Any

import pytest
from carbon_kit import GPU_G_PER_S, NODE_G_PER_S, PUE, Given, accounted
from hypothesis import example, given
from hypothesis import strategies as st
from offload_kit import STEEP
from scenarios import TIGHT, Scenario, offloading_policies, scenarios
from serving_kit import Outcome

from experiments.reproduce.papers.carbon.settings import part
from models.carbon.battery import Battery
from sim.carbon.site import Farm
from sim.core.simulation import Simulation
from sim.hardware.faults import Fault
from sim.serving.serving import Serving


@st.composite
def signals(draw: st.DrawFn) -> Given:
    """Intensities that change at all sorts of times."""
    times = draw(
        st.lists(st.floats(0.01, 30.0) | st.sampled_from([0.125, 0.5, 1.0, 2.5]), max_size=6)
    )
    edges = [0.0, *sorted(set(times)), 1e9]
    values = st.floats(0.0, 2000.0) | st.just(0.0)
    return Given(edges, [draw(values) for _ in edges[1:]])


class Emitted:
    """Integrates power x PUE x intensity from one event of step mode to the next."""

    def __init__(self, signal: Given) -> None:
        self._signal = signal.signal
        self.grams = 0.0

    def __call__(self, simulation: Simulation, _: Serving, next_s: float) -> None:
        now = simulation.now
        if next_s > now and simulation.cluster is not None:
            middle = 0.5 * (now + next_s)
            for node in simulation.cluster.nodes:
                watts = sum(device.meter.power_w(middle) for device in node.devices)
                drawn_j = (watts + node.spec.base_w) * (next_s - now)
                self.grams += drawn_j * PUE * self._signal.at(middle) / 3.6e6


@given(scenarios(regions=False), signals())
def test_law_07_carbon_is_the_integral(scenario: Scenario, signal: Given) -> None:
    emitted = Emitted(signal)
    run = _accounted(scenario, signal, "step", before_event=emitted)
    assert run.result["carbon.operational_g"] == pytest.approx(emitted.grams, rel=1e-9, abs=1e-15)
    made_g_per_s = scenario.replicas * (NODE_G_PER_S + scenario.gpus * GPU_G_PER_S)
    lasted_s = run.result.number("simulated_s")
    made_g = made_g_per_s * min(lasted_s, 100.0)  # the drives' life ends first
    if lasted_s < 100.0:
        assert run.result["carbon.embodied_g"] == pytest.approx(made_g, rel=1e-9)


#: Pieces of one token, and a signal that changes at the ends of their iterations.
PIECES = Scenario(
    requests=((0.0, 4, 4),) * 16,
    cost="linear, decimal",
    batching="prefill_first-recompute",
    max_sequences=2,
    max_batch_tokens=1,
    block_tokens=1,
    kv_blocks=9,
    frontend=(0.05, 0.01),
)
CHANGES = Given([0.0, 0.125, 1.0, 2.5, 1e9], [1900.0, 0.0, 700.0, 1.0])


BATTERY = Battery(part("carbon/battery/carbon_explorer"), 2e4)
#: A farm of changing output, and periods of netting in seconds.
WIND = Farm(Given([0.0, 0.3, 2.2, 7.0, 1e9], [1.0, 0.0, 0.4, 0.8], "wind"), 150.0, 12.0)
NETTINGS = st.sampled_from([0.7, 3600.0])


@example(PIECES, CHANGES, True)
@given(scenarios(regions=False), signals(), st.booleans())
def test_law_07_every_gram_is_somebodys(scenario: Scenario, signal: Given, requests: bool) -> None:
    _check_books(_accounted(scenario, signal, requests=requests), requests)


@given(scenarios(regions=False), signals(), NETTINGS)
def test_law_07_farms_and_batteries(scenario: Scenario, signal: Given, netting_s: float) -> None:
    farmed = {"farms": [WIND], "battery": BATTERY, "netting_s": netting_s}
    runs = [
        scenario.run(mode, **accounted(signal, requests=True, **farmed))
        for mode in ("jump", "step")
    ]
    for run in runs:
        _check_books(run, requests=True)
    jump, step = runs
    assert _carbon(jump) == pytest.approx(_carbon(step), rel=1e-9, abs=1e-12)


#: Memory for little more than one request, or on the host for many; in the middle of iterations the
#: grid changes, a device fails, another is capped.
CROWD = TIGHT.but(
    kv_blocks=14,
    cost="linear, decimal",
    replicas=2,
    faults=(Fault(time_s=0.777, target="node1/gpu0", kind="fail", duration_s=0.4),),
    caps=((0.5, "node0/gpu0", 0.5), (1.3, "node0/gpu0", 0.75)),
)
HOST = {
    "requests": tuple(sorted((0.01 * at, p, o) for at, p, o in TIGHT.requests * 2)),
    "host_blocks": 90,
    "max_sequences": 12,
}
SYSTEMS: dict[str, dict[str, Any]] = {
    "TRAIL": {"ordering": "trail", "predictor": "wavering"},
    "LAMPS": {"ordering": "lamps", "tools": "foreseen", "predictor": "misled", "calls": 2},
    "InferCept": {"tools": "infercept", "calls": 2},
    "NEO": {"batching": "neo", **HOST},
    "NEO by work": {"batching": "neo_by_work", **HOST},
    "full offload": {"batching": "full_offload-balanced", **HOST},
    "swiftllm": {"batching": "swiftllm", **HOST},
}


@pytest.mark.parametrize("mode", ["jump", "step"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_law_07_in_each_system(system: str, mode: str) -> None:
    signal = Given([0.0, 0.31, 0.9, 1.7, 3.1, 1e9], [300.0, 10.0, 500.0, 0.0, 200.0])
    scenario = CROWD.but(**SYSTEMS[system])
    run = _accounted(scenario, signal, mode, requests=True)
    assert run["requests_finished"] == len(scenario.requests)
    if not scenario.calls:
        # Whatever was computed again, tokens are those asked for and made; who is computed again
        # prefills one that it would have decoded.
        tokens = sum(prompt + output for _, prompt, output in scenario.requests)
        counted = 1000.0 * run["carbon_g"] / run["carbon_per_1k_tokens_g"]
        assert -1e-6 < counted - tokens < len(scenario.requests)
    if scenario.batching in offloading_policies():
        assert any(replica.host.tokens for replica in run.serving.replicas)
    _check_books(run, requests=True)


@given(scenarios(regions=False), signals())
def test_law_07_jump_is_step(scenario: Scenario, signal: Given) -> None:
    jump, step = (_accounted(scenario, signal, mode) for mode in ("jump", "step"))
    assert _carbon(jump) == pytest.approx(_carbon(step), rel=1e-9, abs=1e-12)


@given(scenarios(regions=False), signals())
def test_law_07_the_ledger_only_reads(scenario: Scenario, signal: Given) -> None:
    watched = _accounted(scenario, signal)
    plain = scenario.run(**_same_cost(scenario))
    summary = watched.result.summary
    assert {key: summary[key] for key in plain.result.summary} == plain.result.summary
    assert plain.rows == watched.rows


def _accounted(
    scenario: Scenario, signal: Given, mode: str = "jump", *, requests: bool = False, **keys: Any
) -> Outcome:
    """The scenario at one site on this signal."""
    keys = keys | _same_cost(scenario)
    return scenario.run(mode, **accounted(signal, requests=requests), **keys)


def _check_books(run: Outcome, requests: bool) -> None:
    """Nothing is lost by any method, by part, account and request, and none is below 0."""
    whole = run.result.number("carbon_g")
    booked = run.table("carbon")
    for key, total in (
        ("energy_j", run.result.number("energy_j")),
        ("operational_g", run.result.number("carbon.operational_g")),
        ("embodied_g", run.result.number("carbon.embodied_g")),
    ):
        assert fsum(row[key] for row in booked) == pytest.approx(total, rel=1e-9, abs=1e-15)
        assert all(row[key] >= -1e-12 for row in booked)
    assert all(row["energy_j"] or row["operational_g"] or row["embodied_g"] for row in booked)
    by_method: dict[str, float] = {}
    for row in run.table("carbon_attribution"):
        by_method[row["method"]] = by_method.get(row["method"], 0.0) + row["grams"]
    if run.result.number("simulated_s") > 0.0:
        assert len(by_method) == 6
    for total in by_method.values():
        assert total == pytest.approx(whole, rel=1e-9, abs=1e-15)
    if requests:
        rows = run.table("carbon_requests")
        for key in ("energy_j", "operational_g", "embodied_g"):
            own = fsum(row[key] for row in booked if row["account"] in ("prefill", "decode"))
            assert fsum(row[key] for row in rows) == pytest.approx(own, rel=1e-9, abs=1e-12)
            assert all(row[key] >= -1e-12 for row in rows)
        _check_attempts(run)


def _check_attempts(run: Outcome) -> None:
    """A request has a row for each of its attempts, all but the last of them lost, and what was
    lost is in an account of that name."""
    rows = run.table("carbon_requests")
    attempts: dict[int, list[tuple[int, str]]] = {}
    for row in rows:
        attempts.setdefault(row["id"], []).append((row["attempt"], row["status"]))
    for own in attempts.values():
        assert [number for number, _ in sorted(own)] == list(range(1, len(own) + 1))
        assert all(status == "lost" for _, status in sorted(own)[:-1])
    grams = [fsum((r["operational_g"], r["embodied_g"])) for r in rows if r["status"] == "lost"]
    figure = run["carbon.lost_g"]
    assert figure == pytest.approx(fsum(grams), rel=1e-9, abs=1e-15)
    booked = [
        row["grams"]
        for row in run.table("carbon_attribution")
        if row["account"] == "serving/lost" and row["method"] == "usage_and_reservation"
    ]
    assert fsum(booked) == pytest.approx(figure, rel=1e-9, abs=1e-12)


def _same_cost(scenario: Scenario) -> dict[str, Any]:
    """Iterations with the host are priced by a model of their own: let all be by that."""
    return {"cost": STEEP.cost} if scenario.batching in offloading_policies() else {}


def _carbon(run: Outcome) -> dict[str, Any]:
    figures = run.result.summary.items()
    return {key: value for key, value in figures if "carbon" in key and value is not None}
