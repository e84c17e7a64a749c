"""Law 12: jump = step. An exact jump over unchanged steps gives what every step by itself gives:
the same figures, the same requests, the same series, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hydra.utils import instantiate
from hypothesis import given, settings
from omegaconf import OmegaConf
from scenarios import (
    CONFIGS,
    COSTS,
    TIGHT,
    Scenario,
    crowds,
    names,
    offloading_policies,
    policies,
    routings,
    scenarios,
    two_sites,
)
from serving_kit import Outcome, simulate

from experiments.compose import compose
from sim.core.run import run as run_config
from sim.hardware.faults import Fault
from sim.serving.facts import Iterations
from sim.serving.law_check import LawCheck


def iterations(run: Outcome) -> Iterator[tuple[int, int, int, int]]:
    """Each iteration: replica, decodes, context tokens, prefill tokens."""
    assert run.log is not None
    for fact in sorted(run.log.of(Iterations), key=lambda fact: fact.replica):
        for step in range(fact.steps):
            context = fact.context_tokens + step * fact.decodes
            last = step == fact.steps - 1
            tokens = fact.last_prefill_tokens if last else fact.prefill_tokens
            yield fact.replica, fact.decodes, context, tokens


def assert_same(jump: Outcome, step: Outcome, *, but: tuple[str, ...] = ("facts",)) -> None:
    """Two runs are the same in every figure, request, sample and iteration."""
    for table in jump.result.tables:
        assert jump.table(table) == step.table(table)
    figures, reference = dict(jump.result.summary), dict(step.result.summary)
    for name in but:
        figures.pop(name, None)
        reference.pop(name, None)
    assert figures == reference
    assert list(iterations(jump)) == list(iterations(step))


@settings(max_examples=250)
@given(scenarios())
def test_law_12_in_random_systems(scenario: Scenario) -> None:
    assert_same(scenario.run("jump"), scenario.run("step"))


@settings(max_examples=40)
@given(crowds())
def test_law_12_with_requests_on_the_host(scenario: Scenario) -> None:
    """In every order, with calls and faults; and all laws hold."""
    jump, step = (scenario.run(mode, observers=[LawCheck()]) for mode in ("jump", "step"))
    assert_same(jump, step)
    if scenario.until_s is None:
        assert jump["requests_unfinished"] == 0


def _mixed() -> list[tuple[str, str, str]]:
    """Each ordering with each batching, and each routing with each of either."""
    orderings, batchings, routes = (
        sorted(policies(kind)) for kind in ("ordering", "batching", "routing")
    )
    assert len(routes) <= min(len(orderings), len(batchings))
    return [
        (ordering, batching, routes[(row + column) % len(routes)])
        for row, ordering in enumerate(orderings)
        for column, batching in enumerate(batchings)
    ]


@pytest.mark.parametrize(("ordering", "batching", "routing"), _mixed())
def test_law_12_for_every_policy(ordering: str, batching: str, routing: str) -> None:
    """On two replicas whose KV pools are fought over, with each cost and client."""
    regions = routing not in routings(sites=False)
    base = TIGHT.but(
        ordering=ordering, batching=batching, routing=routing, replicas=2, regions=regions
    )
    for cost, predictor, concurrency, together in (
        ("linear, decimal", "oracle", 0, False),
        ("host bound", "misled", 5, False),
        ("constant, dyadic", "oracle", 6, True),
    ):
        scenario = base.but(
            cost=cost,
            predictor=predictor,
            concurrency=concurrency,
            async_scheduling=together,
            kv_blocks=9 if together else 12,
        )
        assert_same(scenario.run("jump"), scenario.run("step"))


@pytest.mark.parametrize("async_scheduling", [False, True])
@pytest.mark.parametrize("concurrency", [2, 4, 7])
def test_law_12_where_equal_replicas_tie(concurrency: int, async_scheduling: bool) -> None:
    """A closed loop of equal requests: replicas finish at the same instants, to the bit."""
    scenario = Scenario(
        requests=((0.0, 5, 11),) * 24,
        concurrency=concurrency,
        replicas=3,
        routing="least_outstanding",
        async_scheduling=async_scheduling,
    )
    for cost in COSTS:
        tied = scenario.but(cost=cost)
        assert_same(tied.run("jump"), tied.run("step"))


@pytest.mark.parametrize("cost", ["constant, dyadic", "constant, decimal"])
def test_law_12_where_arrivals_fall_on_boundaries(cost: str) -> None:
    step_s = COSTS[cost].seconds
    requests = tuple((number * 3 * step_s, 4, 9) for number in range(20))
    scenario = Scenario(requests=requests, cost=cost, series_interval_s=step_s)
    assert_same(scenario.run("jump"), scenario.run("step"))


@pytest.mark.parametrize("cost", ["constant, dyadic", "linear, decimal", "host bound"])
@pytest.mark.parametrize("what", ["fail", "slow", "until"])
def test_law_12_whatever_happens_at_any_boundary(cost: str, what: str) -> None:
    """A failure, a slow-down or the end of the run at the time of every event in turn, to the
    bit, and between each two."""
    scenario = Scenario(
        requests=((0.0, 7, 12), (0.0, 3, 5), (0.3, 9, 14), (0.5, 2, 8)),
        cost=cost,
        replicas=2,
        max_batch_tokens=5,
        kv_blocks=8,
        batching="chunked_prefill-swap",
        host_blocks=20,
    )
    calm = scenario.run("step")
    assert calm.log is not None
    dates = sorted({fact.end_s for fact in calm.log.of(Iterations)})
    dates += [0.5 * (a + b) for a, b in pairwise(dates)]
    assert len(dates) > 40
    for date in dates:
        if what == "until":
            disturbed = scenario.but(until_s=date)
        else:
            speed = 0.3 if what == "slow" else None
            disturbed = scenario.but(
                faults=(
                    Fault(
                        time_s=date, target="node0/gpu0", kind=what, speed=speed, duration_s=0.375
                    ),
                )
            )
        jump = disturbed.run("jump")
        assert_same(jump, disturbed.run("step"))
        if what != "until":
            assert set(jump.column("status")) == {"finished"}


def _requests_file(folder: Path, name: str) -> Path:
    """A trace in the format that the reader of that name reads."""
    rows = [(f"{n // 3}.{n % 3}00", 40 + 37 * n % 300, 1 + 11 * n % 90) for n in range(30)]
    if name == "azure":
        lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
        lines += [f"2023-11-16 18:15:{float(at):09.6f},{p},{o}" for at, p, o in rows]
    else:
        lines = ["arrival_s,prompt_tokens,output_tokens", *(f"{at},{p},{o}" for at, p, o in rows)]
    if name.startswith("tool_calls"):
        last = {"call_s": None, "returned_tokens": None}
        segments = [
            [
                {"prompt_tokens": p, "completion_tokens": o, "call_s": 0.7, "returned_tokens": 5},
                {"prompt_tokens": p + o + 5, "completion_tokens": 3, **last},
            ]
            for _, p, o in rows
        ]
        lines = [json.dumps({"kind": "qa", "segments": each}) for each in segments]
    if name == "request_lengths":
        lines = [json.dumps([{"prompt": p, "max_tokens": o} for _, p, o in rows])]
    path = folder / f"{name}.{'jsonl' if name.startswith('tool_calls') else 'csv'}"
    path.write_text("\n".join(lines) + "\n")
    return path


def _settings(group: str, name: str, folder: Path) -> Any:
    settings = OmegaConf.load(CONFIGS / group / f"{name}.yaml")
    parts = [settings, settings.get("workload", settings)] if group == "workload" else [settings]
    for part in parts:
        if OmegaConf.is_missing(part, "path"):
            part.path = str(_requests_file(folder, name))
    if "count" in settings:
        settings.count = 30
    return settings


def _client(folder: Path, client: str, workload: str, arrivals: str) -> Any:
    return instantiate(
        OmegaConf.create(
            {
                "workload": _settings("workload", workload, folder),
                "arrivals": _settings("arrivals", arrivals, folder),
                "client": _settings("client", client, folder),
            }
        ).client,
        _convert_="all",
    )


def _pairs() -> list[tuple[str, str, str]]:
    """Each client, workload and arrival process at least once (those that defer need sites, and
    have their tests elsewhere)."""
    elsewhere = ("open_loop", "deferred", "deferred_two_regions")
    others = [client for client in names("client") if client not in elsewhere]
    closed = [(client, "chat", "poisson") for client in others]
    timed = [("open_loop", workload, "trace") for workload in ("azure", "table")]
    processes = [("open_loop", "chat", name) for name in names("arrivals") if name != "trace"]
    workloads = [("open_loop", name, "poisson") for name in names("workload") if name != "chat"]
    return [*closed, *timed, *processes, *workloads]


@pytest.mark.parametrize(("client", "workload", "arrivals"), _pairs())
def test_law_12_for_every_client_and_workload(
    client: str, workload: str, arrivals: str, tmp_path: Path
) -> None:
    settings = {
        "cost": COSTS["linear, decimal"],
        "engine": {"max_sequences": 8, "max_batch_tokens": 256, "kv_blocks": 400},
        "replicas": 2,
        "series_interval_s": 2.0,
    }
    jump, step = (
        simulate(
            client=_client(tmp_path, client, workload, arrivals),
            sites=two_sites(2) if client == "two_regions" else None,
            mode=mode,
            **settings,
        )
        for mode in ("jump", "step")
    )
    assert_same(jump, step)
    assert jump["requests_finished"] > 0


def test_law_12_with_the_cost_model_of_a_real_gpu() -> None:
    overrides = ["workload.count=40", "arrivals.rate_rps=6", "replicas=2", "series_interval_s=0.7"]
    jump, step = (run_config(compose([*overrides, f"mode={mode}"])) for mode in ("jump", "step"))
    assert jump.summary == step.summary
    for table in ("requests", "series"):
        assert jump.table(table).equals(step.table(table))


@pytest.mark.parametrize(
    "ordering", ["multilevel_feedback", "shortest_remaining", "trail", "trail_release"]
)
@pytest.mark.parametrize("batching", sorted(policies("batching")))
def test_law_12_where_requests_displace_each_other(ordering: str, batching: str) -> None:
    """Long queues before few slots, with predictions that change at every token."""
    draw = Random(f"{ordering} {batching}")
    preemptions = 0.0
    for _ in range(6):
        requests = sorted(
            (draw.choice([0.0, 20.0 * draw.random()]), draw.randint(1, 30), draw.randint(1, 80))
            for _ in range(draw.randint(5, 40))
        )
        scenario = Scenario(
            requests=tuple(requests),
            cost=draw.choice(["constant, dyadic", "linear, decimal", "host bound"]),
            ordering=ordering,
            batching=batching,
            predictor="wavering",
            concurrency=draw.choice([0, 8]),
            max_sequences=draw.choice([1, 2, 4, 8]),
            kv_blocks=draw.choice([30, 40, 90]),
            host_blocks=draw.choice([0, 20, 200]),
            async_scheduling=draw.random() < 0.3,
            series_interval_s=2.5,
        )
        jump = scenario.run("jump")
        assert_same(jump, scenario.run("step"))
        preemptions += jump["preemptions"]
    # With host memory they move there instead.
    assert preemptions > 20 or batching in offloading_policies()
