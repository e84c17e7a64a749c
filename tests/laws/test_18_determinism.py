"""Laws of chance: the same seed and configuration give the same bytes, alone or in company, and
streams of other names do not know of each other."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from serving_kit import Outcome, build, simulate

from experiments.compose import compose
from policies.batching.prefill_first import PrefillFirst
from policies.routing.least_outstanding import LeastOutstanding
from policies.routing.power_of_two import PowerOfTwo
from policies.routing.round_robin import RoundRobin
from sim.core.run import run
from sim.hardware.faults import RandomFaults
from sim.serving.clients import OpenLoop
from workloads.arrivals import Poisson
from workloads.lengths import Fixed, Geometric
from workloads.synthetic import Synthetic

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "workload.count=40",
    "arrivals.rate_rps=8",
    "replicas=3",
    "routing=power_of_two",
    "ordering=shortest_job_first",
    "predictor=oracle",
    "series_interval_s=0.5",
    "engine.kv_blocks=400",
    "seed=11",
)


@lru_cache
def config(*more: str) -> DictConfig:
    return compose([*SETTINGS, *more])


def summary(folder: Path, settings: DictConfig) -> bytes:
    run(settings, folder)
    return (folder / "summary.json").read_bytes()


@pytest.mark.parametrize("mode", ["jump", "step"])
def test_law_18_the_same_seed_gives_the_same_bytes(mode: str, tmp_path: Path) -> None:
    settings = config(f"mode={mode}")
    first = summary(tmp_path / "first", settings)
    run(config("seed=12", "batching=prefill_first"))
    assert summary(tmp_path / "second", settings) == first
    tables = [(tmp_path / name / "requests.parquet").read_bytes() for name in ("first", "second")]
    assert tables[0] == tables[1]
    assert summary(tmp_path / "other", config(f"mode={mode}", "seed=12")) != first


def test_law_18_a_folder_changes_nothing(tmp_path: Path) -> None:
    written = run(config(), tmp_path / "run")
    kept = run(config())
    assert written.summary == kept.summary
    for table in kept.tables:
        assert written.table(table).equals(kept.table(table))


def test_law_18_beside_other_runs_in_one_process(tmp_path: Path) -> None:
    """Four threads, each with its own run at the same time."""
    alone = summary(tmp_path / "alone", config())
    other = config("seed=5", "batching=prefill_first")
    jobs = [config(), other, config(), other]
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(summary, [tmp_path / str(n) for n in range(4)], jobs))
    assert beside[0] == beside[2] == alone
    assert beside[1] == beside[3] != alone


def test_law_18_in_other_processes(tmp_path: Path) -> None:
    """Whatever the seed by which the interpreter hashes strings."""
    script = (
        "import sys\n"
        "from experiments.compose import compose\n"
        "from sim.core.run import run\n"
        "run(compose(sys.argv[2:]), sys.argv[1])\n"
    )
    here = summary(tmp_path / "here", config())
    folder = tmp_path / "there"
    subprocess.run(
        [sys.executable, "-c", script, str(folder), *SETTINGS],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        check=True,
    )
    assert (folder / "summary.json").read_bytes() == here


def _served(**settings: Any) -> Outcome:
    client = OpenLoop(Synthetic(Geometric(20), Geometric(9), count=60), Poisson(1.0))
    return simulate(client=client, seed=7, **settings)


ASKED = ("arrival_s", "prompt_tokens", "output_tokens")


def test_law_19_policies_are_compared_on_the_same_requests() -> None:
    base = _served(replicas=4, routing=RoundRobin)
    for settings in (
        {"replicas": 4, "routing": PowerOfTwo},
        {"replicas": 4, "routing": LeastOutstanding},
        {"replicas": 1, "batching": PrefillFirst},
    ):
        other = _served(**settings)
        for key in ASKED:
            assert other.column(key) == base.column(key)
    assert _served(replicas=4).column("arrival_s") == base.column("arrival_s")


def test_law_19_another_consumer_changes_no_stream() -> None:
    simulations = [build(seed=5)[0] for _ in range(2)]
    simulations[1].stream("something else").random(1000)
    drawn = [simulation.stream("arrivals").random(5).tolist() for simulation in simulations]
    assert drawn[0] == drawn[1]
    assert build(seed=6)[0].stream("arrivals").random(5).tolist() != drawn[0]
    assert simulations[0].stream("arrivals 2").random(5).tolist() != drawn[0]


def test_law_19_faults_of_one_target_do_not_depend_on_others() -> None:
    def drawn(*targets: str) -> list[float]:
        process = RandomFaults(targets=list(targets), mtbf_s=10.0, mttr_s=1.0, until_s=200.0)
        simulation = build(seed=3)[0]
        simulation.stream("serving.arrivals").random(9)
        return [f.time_s for f in process.draw(simulation, targets) if f.target == "node0/gpu0"]

    assert drawn("node0/gpu0") == drawn("node1/gpu0", "node0/gpu0")
    assert len(drawn("node0/gpu0")) > 5


def test_law_19_lengths_do_not_depend_on_arrivals() -> None:
    lengths = Synthetic(Geometric(20), Fixed(3), count=40)
    slow, fast = (simulate(client=OpenLoop(lengths, Poisson(rate)), seed=2) for rate in (0.1, 10.0))
    assert slow.column("prompt_tokens") == fast.column("prompt_tokens")
