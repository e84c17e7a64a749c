"""The settings of configs/workload and configs/arrivals, against published statistics."""

from __future__ import annotations

import os
import tracemalloc
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from workloads.arrivals import Poisson
from workloads.azure import AzureLlm
from workloads.cut import Cut

CONFIGS = Path(__file__).parents[1] / "configs"
GENERATED = ("chat", "code", "summarisation", "fixed", "uniform_ratio", "alpaca", "tool_mix")
NEEDED = {
    "azure": {"path": "trace.csv"},
    "table": {"path": "requests.parquet"},
    "request_lengths": {"path": "lengths.json"},
    "tool_calls": {"path": "calls.jsonl"},
    "tool_calls_drawn": {"workload": {"path": "calls.jsonl"}},
}


def built(group: str, name: str, **overrides: object):
    config = OmegaConf.load(CONFIGS / group / f"{name}.yaml")
    return instantiate(OmegaConf.merge(config, overrides))


def lengths(workload, number: int | None = None, seed: int = 11) -> np.ndarray:
    """Prompt and output tokens, shape (requests, 2)."""
    demands = islice(workload.demands(np.random.default_rng(seed)), number)
    return np.array([(d.prompt_tokens, d.output_tokens) for d in demands])


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


@pytest.mark.parametrize("group", ["workload", "arrivals"])
def test_every_setting_has_its_line_of_description(group: str) -> None:
    assert names(group)
    for name in names(group):
        first = (CONFIGS / group / f"{name}.yaml").read_text().splitlines()[0]
        assert first.startswith("# ")
        assert first.endswith(".")


@pytest.mark.parametrize("group", ["workload", "arrivals"])
def test_every_setting_builds_and_says_where_each_number_comes_from(group: str) -> None:
    def has_numbers(node: object) -> bool:
        if isinstance(node, dict):
            return any(has_numbers(value) for value in node.values())
        return isinstance(node, int | float)

    for name in names(group):
        built(group, name, **NEEDED.get(name, {}))
        config = OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{name}.yaml"))
        source = config.pop("source", {})
        numeric = {key for key, value in config.items() if has_numbers(value)}
        assert numeric == set(source), name


@pytest.mark.parametrize("name", GENERATED)
def test_generators_take_a_count_and_none_is_endless(name: str) -> None:
    assert len(lengths(built("workload", name, count=321))) == 321
    endless = built("workload", name, count=None)
    assert not endless.finite
    assert len(lengths(endless, 10_000)) == 10_000


def test_two_hundred_thousand_generated_demands_stream_in_two_megabytes() -> None:
    rng = np.random.default_rng
    arrivals = Poisson(5.0).times(
        Cut(built("workload", "chat", count=200_000), 4096).demands(rng(1)), rng(2)
    )
    next(arrivals)
    tracemalloc.start()
    try:
        number = 1 + sum(1 for _ in arrivals)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == 200_000
    assert peak < 2e6


def test_uniform_ratio_is_the_benchmark_client() -> None:
    pairs = lengths(built("workload", "uniform_ratio"), 640)
    assert pairs.min() >= 819
    assert pairs.max() <= 1024
    assert pairs.mean() == pytest.approx((819 + 1024) / 2, rel=0.01)


def test_summarisation_has_the_published_statistics() -> None:
    """Table of the OSC requests of NEO (MLSys 2025): 2,000 requests, Llama-2 tokenizer."""
    pairs = lengths(built("workload", "summarisation", count=200_000))
    published = [
        (372.5, 103.7, {1: 174, 5: 201, 10: 232, 25: 290, 50: 371, 75: 459, 90: 514, 99: 555}),
        (45.3, 8.9, {1: 25, 5: 33, 10: 35, 25: 39, 50: 45, 75: 51, 90: 56, 95: 59, 99: 65}),
    ]
    for column, (mean, deviation, percentiles) in zip(pairs.T, published, strict=True):
        assert column.mean() == pytest.approx(mean, rel=0.03)
        assert column.std() == pytest.approx(deviation, rel=0.05)
        for percent, tokens in percentiles.items():
            assert np.percentile(column, percent) == pytest.approx(tokens, rel=0.05)
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.115, abs=0.02)


def test_code_has_the_published_statistics() -> None:
    """The AC row of NEO (MLSys 2025), of the Azure LLM trace 2023, code."""
    prompt, output = lengths(built("workload", "code", count=200_000)).T
    assert prompt.mean() == pytest.approx(2047.8, rel=0.03)
    assert prompt.std() == pytest.approx(1973.8, rel=0.03)
    assert output.mean() == pytest.approx(27.9, rel=0.03)
    assert output.std() == pytest.approx(59.9, rel=0.08)
    for percent, tokens in {10: 147, 25: 578, 50: 1469, 75: 2744, 90: 5186, 95: 7302}.items():
        assert np.percentile(prompt, percent) == pytest.approx(tokens, rel=0.05)
    for percent, tokens in {25: 9, 50: 13, 75: 24, 90: 55, 95: 90, 99: 249}.items():
        assert np.percentile(output, percent) == pytest.approx(tokens, rel=0.05)


@pytest.fixture(scope="module", params=["conv", "code"])
def trace(request: pytest.FixtureRequest) -> tuple[str, AzureLlm]:
    folder = os.environ.get("ORRERY_DATA")
    if not folder:
        pytest.skip("ORRERY_DATA is not set: no folder with azure_llm_2023_*.csv to compare with")
    name = {"conv": "chat", "code": "code"}[request.param]
    return name, AzureLlm(Path(folder) / f"azure_llm_2023_{request.param}.csv")


def test_generated_lengths_are_those_of_the_azure_trace(trace: tuple[str, AzureLlm]) -> None:
    name, workload = trace
    real = lengths(workload)
    made = lengths(built("workload", name, count=200_000))
    assert len(real) == {"chat": 19_366, "code": 8_819}[name]
    for truth, column in zip(real.T, made.T, strict=True):
        assert column.mean() == pytest.approx(truth.mean(), rel=0.03)
        for percent in (50, 90, 99):
            expected = np.percentile(truth, percent)
            assert np.percentile(column, percent) == pytest.approx(expected, rel=0.05)
    over = [float((pairs.sum(axis=1) > 4096).mean()) for pairs in (real, made)]
    assert over[1] == pytest.approx(over[0], abs=0.015)
    # The KV memory that a request holds over its decode steps depends on both lengths together.
    held = [float((p[:, 1] * (p[:, 0] + p[:, 1] / 2)).mean()) for p in (real, made)]
    assert held[1] == pytest.approx(held[0], rel=0.03)


def test_generated_answers_depend_on_the_prompt_as_in_the_trace(
    trace: tuple[str, AzureLlm],
) -> None:
    """Mean output by fifth of the prompt (for chat it goes up fourfold and down again)."""
    name, workload = trace
    real, made = lengths(workload), lengths(built("workload", name, count=200_000))
    edges = np.quantile(real[:, 0], [0.2, 0.4, 0.6, 0.8])
    for fifth in range(5):
        means = [
            pairs[np.searchsorted(edges, pairs[:, 0]) == fifth, 1].mean() for pairs in (real, made)
        ]
        assert means[1] == pytest.approx(means[0], rel=0.15)


def test_generated_arrivals_have_rate_and_variation_of_the_trace(
    trace: tuple[str, AzureLlm],
) -> None:
    name, workload = trace
    times = [d.arrival_s for d in workload.demands(np.random.default_rng(0))]
    gaps = np.diff(np.array(times))
    arrivals = built("arrivals", name)
    assert arrivals.rate_rps == pytest.approx(1 / gaps.mean(), rel=0.005)
    assert arrivals.cv == pytest.approx(gaps.std() / gaps.mean(), rel=0.005)
