"""NEO's reproduction: settings, what is measured, judged and drawn, and laws in small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.compose import compose
from experiments.reproduce.claim import NotRun, Plot
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers import paper
from experiments.reproduce.papers.neo import PAPER, measures, settings, studies
from experiments.reproduce.papers.neo.ceilings import ceilings
from experiments.reproduce.papers.neo.outcome import Figures, figures, window_rate
from experiments.reproduce.papers.neo.studies import Point, Runs
from experiments.reproduce.plots import picture
from experiments.reproduce.runs import replicate, sweep
from experiments.reproduce.workers import Workers
from sim.core.errors import ConfigError


def one(words: list[str]) -> Figures:
    (found,) = replicate(words, [0], figures)
    return found


@pytest.mark.parametrize("system", list(settings.SYSTEMS))
def test_settings_compose(system: str) -> None:
    """Swap space is an eighth of NEO's for SwiftLLM, none for vLLM; chunks are as named."""
    config = compose(settings.t4_online(system, 0.5))
    share = {"GPU only": 1.0 / 8.0}.get(system, 0.0 if system.startswith("vLLM") else 1.0)
    assert config.engine.host_swap_bytes == share * settings.T4_KV_BYTES
    assert config.engine.kv_blocks == 54
    if system.startswith("vLLM"):
        assert f"chunks of {config.engine.max_batch_tokens}" in system
    compose(settings.h100(system, 50))
    for lengths in ("code", "summarisation"):
        config = compose(settings.a10g_online(system, lengths, 1.5))
        assert config.workload.kind == lengths
        assert config.arrivals.rate_rps == 1.5
        assert config.node.name == "g5.16xlarge"


def test_settings_of_an_a10g() -> None:
    words = settings.a10g("NEO", "2xlarge", 200, li=500, count=7, extra=settings.FREE_PREFILL)
    config = compose(words)
    assert config.node.name == "g5.2xlarge"
    assert config.engine.host_swap_bytes == 14e9
    assert config.workload.prompt.nominal_tokens == 500
    assert config.workload.output.nominal_tokens == 200
    assert config.workload.count == 7
    assert config.host_attention.reach == 0.6667
    assert config.batching.times.truth.gpu.flops_16bit == 1e18
    assert compose(settings.a10g("NEO", "4xlarge", 200)).host_attention.reach == 0.595


def test_a_host_of_some_bandwidth() -> None:
    """The ceiling that reading KV sets is of the bandwidth asked for."""
    words = settings.a10g("NEO", "8xlarge", 200, extra=settings.bandwidth(50.0))
    found = ceilings(words, 1000, 200)
    assert found.host_s == pytest.approx(200 * 1100 * 131072 / 50e9)


def test_window_rate_by_hand() -> None:
    """Ten completions a second apart but the last: the 4th to the 8th take 4 s."""
    assert window_rate([9.0, *range(8), 500.0]) == pytest.approx(1.0)
    assert window_rate([float(2 * i) for i in range(100)]) == pytest.approx(0.5)


def test_figures_of_a_run() -> None:
    """A few requests on the 8xlarge, of which some decode on the host; then none can."""
    split = one(settings.a10g("NEO", "8xlarge", 20, count=60))
    assert 0.0 < split["pipelined"] <= 1.0
    assert 0.0 < split["host_busy"] < 1.0
    assert split["busy"] <= 1.0
    assert 900 <= split["prompt_tokens"] <= 1100
    assert split["makespan_rps"] > 0.0
    alone = one(settings.a10g("GPU only", "8xlarge", 20, count=60))
    assert alone["pipelined"] == alone["host_busy"] == 0.0
    assert alone["ttft_s"] < alone["per_token_s"] * 22


def test_low_load_limit_of_the_gpu_alone() -> None:
    """Requests that meet nobody: a prompt, then iterations of one (0.059 s on the T4)."""
    words = settings.t4_online("GPU only", 0.001, count=8)
    fixed = ["workload=fixed", "workload.prompt.tokens=372", "workload.output.tokens=45"]
    found = one([*words, *fixed])
    iteration_s = found["itl_s"]
    assert iteration_s == pytest.approx(0.059, rel=0.05)
    assert found["per_token_s"] == pytest.approx((found["ttft_s"] + 44 * iteration_s) / 45)
    bound = ceilings(settings.t4_online("NEO", 0.001), 372, 45)
    assert found["ttft_s"] == pytest.approx(bound.prefill_s, rel=0.1)


def test_an_endless_host_needs_no_cheap_launches() -> None:
    """The ceiling of one prompt an iteration holds it, and launching is hidden."""
    endless = settings.bandwidth(studies.ENDLESS)
    slow, fast = (
        one(settings.a10g("NEO", "8xlarge", 50, count=300, extra=(*endless, *more)))
        for more in ((), settings.NO_LAUNCH)
    )
    assert fast["makespan_rps"] == pytest.approx(slow["makespan_rps"], rel=0.02)
    assert slow["makespan_rps"] < 1.0 / ceilings(settings.a10g("NEO", "8xlarge", 50), 1000, 50)[0]


def test_work_brings_prompts_to_the_host() -> None:
    """On the T4 a token is worth so much that prompts were put off until nobody was left."""
    neo, work = (one(settings.t4_burst(name, 300, 50, 300)) for name in ("NEO", "NEO by work"))
    assert work["makespan_rps"] > 0.8 * neo["makespan_rps"]


def test_work_clears_a_full_host() -> None:
    """Host memory full of requests that all need a block: a few are computed again, for else all
    would wait for the one that the GPU has."""
    work, full = (
        one(settings.t4_burst(name, 200, 400, 200)) for name in ("NEO by work", "full offload")
    )
    assert work["preempted"] > 0.0
    assert work["makespan_rps"] > 0.9 * full["makespan_rps"]


def test_the_release_and_code_are_not_run_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORRERY_DATA", raising=False)
    with Workers(1) as workers:
        for study in (studies.BY_RATE_FILE, studies.CODE):
            with pytest.raises(NotRun):
                study.run(workers)


def test_lengths_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "lengths.json"
    path.write_text(json.dumps([{"prompt": 100, "max_tokens": 3}] * 4))
    found = one(settings.t4_online("NEO", 1.0, str(path), count=3))
    assert found["prompt_tokens"] == 100.0


RATES: studies.Rates = {
    ("a", 1.0): [{"per_token_s": 0.1}, {"per_token_s": 0.2}],
    ("a", 2.0): [{"per_token_s": 0.4}, {"per_token_s": 0.8}],
    ("b", 1.0): [{"per_token_s": 0.2}, {"per_token_s": 0.4}],
    ("b", 1.5): [{"per_token_s": 0.3}, {"per_token_s": 0.6}],
}


def test_crossings_by_hand() -> None:
    """Half way between 0.1 and 0.4 in logarithms is 0.2; the second curve begins there."""
    assert measures.crossing(RATES, "a", 0.2).samples == pytest.approx((1.5, 1.0))
    assert measures.rate_ratio(RATES, "a", "a", 0.2).certain
    with pytest.raises(ConfigError, match=r"do not cross 0\.5 s"):
        measures.crossing(RATES, "b", 0.5)
    with pytest.raises(ConfigError, match=r"at rates 1, 2 do not cross 0\.05 s"):
        measures.crossing(RATES, "a", 0.05)


def made(**rps: float) -> Runs:
    """A point of two seeds by system, the second seed twice as fast."""
    names = {"alone": "GPU only", "neo": "NEO", "full": "full offload", "work": "NEO by work"}
    return {
        Point("8xlarge", 1000, 50, names[key]): [
            {"makespan_rps": value, "window_rps": 1.0},
            {"makespan_rps": 2.0 * value, "window_rps": 1.0},
        ]
        for key, value in rps.items()
    }


def test_gains_pair_seeds() -> None:
    runs = made(alone=2.0, neo=3.0, full=4.0, work=3.0)
    point = Point("8xlarge", 1000, 50, "NEO")
    assert measures.gain(runs, point).certain
    assert measures.gain(runs, point).value == 1.5
    assert measures.over_better(runs, point._replace(system="NEO by work")).value == 0.75
    assert measures.all_gains(runs, "NEO")["8xlarge, li 1000, lo 50"].value == 1.5
    assert measures.by_host(runs, 50)["8xlarge"].value == 1.5
    assert measures.peak(runs, "8xlarge").value == 1.5


def test_where_gains_are_largest_seed_by_seed() -> None:
    runs = made(alone=1.0, neo=1.0)
    for lo, neo in ((100, (3.0, 4.0)), (200, (2.0, 6.0)), (300, (1.0, 1.0)), (400, (1.0, 1.0))):
        for system, figures_ in (("GPU only", (1.0, 2.0)), ("NEO", neo)):
            runs[Point("8xlarge", 1000, lo, system)] = [{"makespan_rps": x} for x in figures_]
    assert measures.peak_at(runs, "8xlarge").samples == (100.0, 200.0)


def test_a_change_is_compared_with_the_same_change() -> None:
    """Where GPUs alone feel it too; otherwise with what is not changed."""
    runs = made(alone=2.0, neo=3.0)
    changed = Point("8xlarge", 1000, 50, "NEO", "x")
    runs[changed] = runs[changed._replace(change="")]
    assert measures.gain(runs, changed).value == 1.5
    runs[changed._replace(system="GPU only")] = [{"makespan_rps": 1.0}, {"makespan_rps": 2.0}]
    assert measures.gain(runs, changed).value == 3.0
    assert list(measures.all_gains(runs, "NEO")) == ["8xlarge, li 1000, lo 50"]


def test_largest_drop() -> None:
    """1 to 0.8 loses a quarter of what is left, 0.9 to 0.95 nothing."""
    steps = [Estimate(x, x, x, (x, x)) for x in (1.0, 0.8, 0.9, 0.95)]
    assert measures.largest_drop(steps).value == pytest.approx(0.25)
    assert measures.largest_drop(steps[1:]).value < 0.0


def test_quotients_need_samples() -> None:
    some = Estimate(1.0, 0.9, 1.1, (0.9, 1.1))
    assert measures.quotient(some, Estimate.exact(2.0)).samples == (0.45, 0.55)
    with pytest.raises(ConfigError, match="no samples to pair"):
        measures.quotient(some, Estimate(2.0, 1.0, 3.0))


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> dict[object, object]:
    """Data of every study, by study: nothing is simulated but which runs there would be."""

    class Named(Workers):
        """Gives made-up figures for what a study maps; latency grows with the rate."""

        def map(self, function, items):  # type: ignore[no-untyped-def,override]
            del function
            return [fake(i, words) for i, words in enumerate(items)]

    folder = tmp_path_factory.mktemp("data")
    for name in ("neo_osc_llama2_7b.json", "azure_llm_2023_code.csv"):
        (folder / name).write_text("")
    with pytest.MonkeyPatch.context() as patch, Named(1) as workers:
        patch.setenv("ORRERY_DATA", str(folder))
        return {study: study.run(workers) for study in {claim.study for claim in PAPER.claims}}


def fake(i: int, words: list[str]) -> Figures:
    rate = next((float(w.partition("=")[2]) for w in words if w.startswith("arrivals.rate")), 1.0)
    capacity = 4.8 if "batching=neo" in words else 0.54
    keys = ("ttft_s", "itl_s", "makespan_rps", "window_rps", "pipelined", "iterations")
    found = dict.fromkeys(keys, 1.0 + 0.01 * (i % 7))
    latency_s = 0.03 * 50.0 ** (rate / capacity)
    if "workload=code" in words:
        latency_s = 0.8 * 6.0 ** ((rate - 1.1) / 0.4)
    elif "workload=summarisation" in words:
        latency_s = 0.1 * 4.0 ** ((rate - 6.0) / 1.5)
    return {
        **found,
        "per_token_s": latency_s + 1e-3 * (i % 3),
        "prompt_tokens": 372.0,
    }


def test_every_claim_can_be_judged(made_up: dict[object, object]) -> None:
    assert paper("neo") is PAPER
    for claim in PAPER.claims:
        judged = claim.accepted.judge(claim.measure(made_up[claim.study]), claim.unit)
        assert judged.simulated, claim.id


@pytest.mark.parametrize("plot", PAPER.plots, ids=lambda plot: plot.name)
def test_every_plot_draws(plot: Plot[object], made_up: dict[object, object]) -> None:
    assert picture(plot, made_up[plot.study]).startswith(b"\x89PNG")


def test_changes_are_where_they_should_be() -> None:
    points = studies.a10g_points()

    def config(system: str, change: str) -> Any:
        found = [w for p, w in points.items() if (p.system, p.change) == (system, change)]
        return compose(found[0])

    biased = config("NEO", "host predicted 30 % too slow")
    assert biased.batching.times.bias == {"host_attention": 1.3}
    free = config("NEO", "no launch overhead")
    assert free.batching.times.launch_s == free.efficiency.launch_per_layer_s == 0.0
    # SwiftLLM has no profile, and feels the change too.
    assert config("GPU only", "no launch overhead").efficiency.launch_per_layer_s == 0.0
    assert config("GPU only", "no iteration overhead").efficiency.host_s == 0.0
    slow = config("NEO", "PCIe of 4 GB/s").node.host_link
    assert slow.bandwidth_bytes_per_s * slow.efficiency == pytest.approx(4e9, rel=0.01)
    assert config("NEO", "4 GB").engine.host_swap_bytes == 4e9
    assert config("NEO", studies.MANY_NAME).workload.count == studies.MANY


def test_arms_may_hold_what_others_of_them_read() -> None:
    """What a study varies of the host is said of its arms on the GPUs alone too."""
    words = ["experiment=neo_a10g", "workload.count=2", "host_attention.reach=0.3"]
    arms = {policy: [*words, f"batching={policy}"] for policy in ("neo", "swiftllm")}
    with Workers(1) as workers:
        found = sweep(arms, [0], ["serving.requests_finished"], workers)
    assert found == {policy: [{"serving.requests_finished": 2}] for policy in arms}
