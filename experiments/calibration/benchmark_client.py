"""The closed-loop client of public serving benchmarks, simulated: one measured row, one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from experiments.calibration.profiles import ServingRow
from models.efficiency import Efficiency
from models.errors import ConfigError
from models.hardware.node_spec import NodeSpec
from models.served import ServedTransformer
from models.transformer import Transformer
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.serving.clients import ClosedLoop
from sim.serving.limits import EngineLimits
from sim.serving.serving import Serving
from workloads.lengths import UniformRatio
from workloads.synthetic import Synthetic

EXPERIMENT = "vllm_benchmark"


class Figures(NamedTuple):
    """Mean time to first token and mean time per output token over all requests of a run; output
    tokens per second while the client keeps its requests in flight (see `throughput`)."""

    ttft_s: float
    tpot_s: float
    output_tps: float


def throughput(row: ServingRow, ttft_s: float, tpot_s: float, mean_output: float) -> float:
    """Output tokens per second by Little's law: tokens of the requests in flight over the mean
    time that one of them takes."""
    return row.concurrency * mean_output / (ttft_s + tpot_s * (mean_output - 1.0))


@dataclass(frozen=True)
class BenchmarkClient:
    """Runs rows under the settings of the experiment, composed once.

    `ratio`: shortest length by nominal one. `requests_each`: requests of a run for each one in
    flight. `parts`: callables for the policies, as `Serving` takes them.
    """

    node: NodeSpec
    model: Transformer
    limits: EngineLimits
    weight_dtype: str
    kv_dtype: str
    ratio: float
    requests_each: int
    parts: dict[str, Any]

    @classmethod
    def load(cls, experiment: str = EXPERIMENT) -> BenchmarkClient:
        """From the shipped configuration of that name."""
        from experiments.compose import compose
        from sim.core.run import instantiate

        config = compose([f"experiment={experiment}"])
        made = {
            key: instantiate(key, config[key])
            for key in ("node", "model", "engine", "ordering", "batching", "routing")
        }
        return cls(
            node=made["node"],
            model=made["model"],
            limits=made["engine"],
            weight_dtype=config.weight_dtype,
            kv_dtype=config.kv_dtype,
            ratio=config.workload.prompt.ratio,
            requests_each=config.workload.count // config.concurrency,
            parts={key: made[key] for key in ("ordering", "batching", "routing")},
        )

    def refusal(self, row: ServingRow) -> str:
        """Why a row cannot be simulated under these settings; empty where it can."""
        name = self.model.name.lower()
        if not row.model.lower().endswith(name):
            return f"model {row.model}, not {self.model.name}"
        if row.system.replace("_", "-") != self._gpu:
            return f"system {row.system}, not {self._gpu}"
        if row.precision != self.weight_dtype:
            return f"precision {row.precision}, not {self.weight_dtype}"
        gpus = row.tensor_parallel * row.pipeline_parallel
        if gpus > self.node.gpus:
            return f"{gpus} GPUs, more than the {self.node.gpus} of {self.node.name}"
        return ""

    def mean_output(self, row: ServingRow) -> float:
        """Expected output tokens of a request."""
        lengths = UniformRatio(row.output_tokens, self.ratio)
        return 0.5 * (lengths.low_tokens + lengths.high_tokens)

    def run(self, row: ServingRow, efficiency: Efficiency, seeds: Sequence[int]) -> Figures:
        """Means over runs with these seeds. Raises ConfigError where a request is refused."""
        ttft_s = tpot_s = 0.0
        for seed in seeds:
            first, each = self._run(row, efficiency, seed)
            ttft_s += first / len(seeds)
            tpot_s += each / len(seeds)
        return Figures(ttft_s, tpot_s, throughput(row, ttft_s, tpot_s, self.mean_output(row)))

    @property
    def _gpu(self) -> str:
        return "" if self.node.gpu is None else self.node.gpu.name

    def _run(self, row: ServingRow, efficiency: Efficiency, seed: int) -> tuple[float, float]:
        simulation = Simulation(seed=seed, cluster=Cluster([NodeCount(self.node)]))
        workload = Synthetic(
            prompt=UniformRatio(row.prompt_tokens, self.ratio),
            output=UniformRatio(row.output_tokens, self.ratio),
            count=self.requests_each * row.concurrency,
        )
        serving = Serving(
            served=ServedTransformer(
                model=self.model,
                efficiency=efficiency,
                tensor_parallel=row.tensor_parallel,
                pipeline_parallel=row.pipeline_parallel,
                weight_dtype=self.weight_dtype,
                kv_dtype=self.kv_dtype,
            ),
            client=ClosedLoop(workload, row.concurrency),
            engine=replace(self.limits, max_sequences=row.concurrency),
            **self.parts,
        )
        simulation.add(serving)
        simulation.run()
        simulation.finish()
        result = simulation.results.close({}, {})
        refused = result.number("serving.requests_rejected")
        if refused:
            raise ConfigError(
                f"{refused:g} requests of {row.prompt_tokens}/{row.output_tokens} tokens do not "
                f"fit on {row.tensor_parallel} GPUs"
            )
        return result.number("serving.ttft_s.mean"), result.number("serving.tpot_s.mean")
