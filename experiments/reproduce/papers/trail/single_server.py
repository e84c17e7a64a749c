"""M/G/1 with limited preemption, on the serving engine.

One slot, prompts of one token and a constant step make the engine a single server: a request of
`n` output tokens is served for exactly `n` steps, preempted between two, and its KV is its age
(its prompt's token stands for the token it made last). Sizes are geometric with MEAN tokens; one
mean service lasts a second. Against the continuous law an arrival waits for a step's end, a size is
at least a step, and KV is counted at its step's end: each is about 1 / (2 MEAN) of a service.
"""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.constant_cost import ConstantCost
from models.hardware.node_spec import NodeSpec
from models.length_prediction import Exponential
from models.prediction import Oracle
from models.served import ServedByFormula
from policies.batching.chunked_prefill import ChunkedPrefill
from policies.ordering.trail import Trail
from policies.routing.round_robin import RoundRobin
from sim.core.run import instantiate
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.serving.clients import OpenLoop
from sim.serving.limits import EngineLimits
from sim.serving.serving import Serving
from workloads.arrivals import Poisson
from workloads.lengths import Fixed, Geometric
from workloads.synthetic import Synthetic

#: Tokens of a mean service, and steps of a second.
MEAN = 500
#: Share of the requests whose responses and preemptions are left out, the first to arrive.
WARM_UP = 0.1
#: Seconds between looks at the KV.
SAMPLED_S = 2.5

PREDICTORS = {"perfect": Oracle, "exponential": Exponential}


class Cell(NamedTuple):
    """A cell of the table: load, the lock share C, and whose predictions."""

    load: float
    lock: float
    predictor: str


class Means(NamedTuple):
    """Of one run, in mean services: mean response, mean sum of ages, preemptions of a request. Of
    its arrivals and sizes, which no policy changes: the mean work that an arrival finds, and half
    the squared sizes by time (the mean sum of ages were nobody displaced)."""

    response: float
    ages: float
    preemptions: float
    work: float
    squares: float


def serve(cell: Cell, jobs: int, seed: int) -> Means:
    """One run. The same seed gives the same arrivals (in mean gaps) and sizes to all cells."""
    kv_tokens = 1 << 30
    simulation = Simulation(seed=seed, cluster=Cluster([NodeCount(_node(), 1)]))
    serving = Serving(
        served=ServedByFormula(
            cost_model=ConstantCost(1.0 / MEAN), kv_tokens=kv_tokens, context_tokens=kv_tokens
        ),
        client=OpenLoop(Synthetic(Fixed(1), Geometric(MEAN), count=jobs), Poisson(cell.load)),
        ordering=partial(Trail, cell.lock),
        batching=ChunkedPrefill,
        routing=RoundRobin,
        predictor=PREDICTORS[cell.predictor](),
        engine=EngineLimits(
            max_sequences=1, max_batch_tokens=1 << 20, block_tokens=1, watermark=0.0
        ),
        series_interval_s=SAMPLED_S,
    )
    simulation.add(serving)
    simulation.run()
    simulation.finish()
    result = simulation.results.close({}, {})
    requests = result.table("requests").sort_values("id")
    kept = slice(int(WARM_UP * jobs), None)
    arrivals = requests["arrival_s"].to_numpy()
    series = result.table("series")
    steady = series["time_s"].between(arrivals[kept][0], arrivals[-1])
    ages = float(series["kv_blocks"][steady].mean()) / MEAN
    sizes = requests["output_tokens"].to_numpy() / MEAN
    return Means(
        float(requests["e2e_latency_s"].to_numpy()[kept].mean()),
        ages,
        float(requests["preemptions"].to_numpy()[kept].mean()),
        float(work_found(arrivals, sizes)[kept].mean()),
        float(0.5 * np.sum(sizes[kept][:-1] ** 2) / (arrivals[-1] - arrivals[kept][0])),
    )


def work_found(arrivals: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Work in the system as each request arrives (Lindley's recursion): the same under every
    policy that never idles."""
    steps = np.concatenate(([0.0], np.cumsum(sizes[:-1] - np.diff(arrivals))))
    return np.asarray(steps - np.minimum.accumulate(steps))


@cache
def _node() -> NodeSpec:
    """A node of one GPU, whose figures nothing here depends on."""
    from experiments.compose import compose

    node: NodeSpec = instantiate("node", compose().node)
    return node
