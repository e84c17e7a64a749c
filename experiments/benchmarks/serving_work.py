"""The work of the serving benchmarks."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.compose import compose
from sim.core.facts import Observer
from sim.core.run import build, instantiate
from sim.core.simulation import Simulation
from sim.serving.clients import OpenLoop
from sim.serving.serving import Serving
from workloads.arrivals import Poisson
from workloads.azure import AzureLlm
from workloads.cut import Cut
from workloads.demand import Demand

_CONTEXT = 4096
_SETTINGS = (
    "model=llama2-7b",
    "engine.max_sequences=128",
    "engine.max_batch_tokens=512",
    "series_interval_s=null",
    "efficiency.frontend_s=0.0",
)


class Listed:
    """Demands that lie in memory, so that reading a trace is not part of what is measured."""

    finite = True

    def __init__(self, demands: Sequence[Demand]) -> None:
        self._demands = demands

    @property
    def count(self) -> int:
        return len(self._demands)

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        """All of them, in order."""
        return iter(self._demands)


@dataclass(frozen=True)
class Measured:
    """One run: CPU seconds from the first event to the last file written, and its counts."""

    cpu_s: float
    requests: int
    iterations: int


def conversation(count: int) -> tuple[Listed, str]:
    """The first `count` requests of the Azure conversation trace, each prompt cut so that it and
    its output fit 4,096 tokens; generated chat where the trace is not at hand. With its name."""
    data = os.environ.get("ORRERY_DATA")
    rng = np.random.default_rng(0)
    if data and (path := Path(data) / "azure_llm_2023_conv.csv").is_file():
        trace = Cut(AzureLlm(str(path), limit=count), _CONTEXT)
        return Listed(list(trace.demands(rng))), "Azure conversation trace 2023"
    config = compose([f"workload.count={count}"])
    chat = Cut(instantiate("workload", config.workload), _CONTEXT)
    return Listed(list(chat.demands(rng))), "generated chat (ORRERY_DATA is not set)"


def measure(
    requests: Listed,
    rate_rps: float,
    replicas: int = 1,
    mode: str = "jump",
    settings: Sequence[str] = (),
    observers: Sequence[Observer] = (),
) -> Measured:
    """Serve the requests with Llama-2-7B on A100s, 128 sequences, chunks of 512 tokens, blocks of
    16; energy on, summary and requests table written."""
    config = compose([*_SETTINGS, f"mode={mode}", f"replicas={replicas}", *settings])
    with tempfile.TemporaryDirectory() as folder:
        simulation = build(config, Path(folder))
        (serving,) = simulation.systems
        assert isinstance(serving, Serving)
        serving.client = OpenLoop(requests, Poisson(rate_rps))
        for observer in observers:
            simulation.observe(observer)
        return timed(simulation)


def measure_generated(count: int, rate_rps: float, replicas: int) -> float:
    """CPU seconds to generate chat requests lazily and serve them."""
    settings = [f"workload.count={count}", f"arrivals.rate_rps={rate_rps}", f"replicas={replicas}"]
    with tempfile.TemporaryDirectory() as folder:
        return timed(build(compose([*_SETTINGS, *settings]), Path(folder))).cpu_s


def timed(simulation: Simulation) -> Measured:
    """Run a simulation that is ready, to its last file."""
    began = time.process_time()
    simulation.run()
    simulation.finish()
    result = simulation.results.close({}, {})
    return Measured(
        time.process_time() - began,
        int(result.number("serving.requests_finished")),
        int(result.number("serving.iterations")),
    )
