"""A small cluster and a small serving system for tests, with figures that are easy to count with.

`simulate` runs one, `Outcome` holds what came of it. Nothing here is drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from models.carbon.power import CappedSpeed
from models.constant_cost import ConstantCost
from models.gpu_spec import GpuSpec
from models.hardware.cpu_spec import CpuSpec
from models.hardware.link_spec import LinkSpec
from models.hardware.node_spec import NodeSpec
from models.offload.offload_cost import OffloadCost
from models.prediction import Oracle
from models.served import ServedByFormula
from policies.batching.chunked_prefill import ChunkedPrefill
from policies.ordering.fcfs import Fcfs
from policies.routing.round_robin import RoundRobin
from policies.tools.always import Always
from sim.carbon.sites import Sites
from sim.core.result import Result
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, NodeCount
from sim.hardware.facts import DeviceChanged, TransferEnded
from sim.hardware.faults import Fault, Faults
from sim.serving.clients import Client, OpenLoop
from sim.serving.facts import (
    CallBegan,
    CallEnded,
    CallSwapped,
    Iterations,
    RequestArrived,
    RequestFinished,
    RequestPreempted,
    RequestRejected,
    Swapped,
)
from sim.serving.limits import EngineLimits
from sim.serving.serving import Serving
from workloads.arrivals import TraceTimes
from workloads.demand import Demand

#: Power of the test GPU and of what else draws power in a node.
IDLE_W, PEAK_W, NODE_W = 50.0, 400.0, 10.0

FACTS = (
    CallBegan,
    CallEnded,
    CallSwapped,
    RequestArrived,
    RequestRejected,
    RequestFinished,
    RequestPreempted,
    Iterations,
    Swapped,
    DeviceChanged,
    TransferEnded,
)


def _sourced(kind: type, **numbers: Any) -> Any:
    keys = [key for key, value in numbers.items() if not isinstance(value, str)]
    return kind(**numbers, source=dict.fromkeys(keys, "made up for tests"))


def gpu_spec(**changes: Any) -> GpuSpec:
    """A GPU with round figures."""
    figures: dict[str, Any] = {
        "name": "test-gpu",
        "memory_bytes": 1e9,
        "memory_bandwidth_bytes_per_s": 1e12,
        "flops_16bit": 1e14,
        "flops_8bit": None,
        "flops_32bit": 1e13,
        "idle_w": IDLE_W,
        "peak_w": PEAK_W,
        "link_bandwidth_bytes_per_s": 1e11,
        "host_link_bandwidth_bytes_per_s": 1e10,
    }
    return _sourced(GpuSpec, **figures | changes)


def link_spec(bytes_per_s: float, latency_s: float = 0.0) -> LinkSpec:
    """A link that draws no power."""
    return _sourced(
        LinkSpec,
        name="test-link",
        bandwidth_bytes_per_s=bytes_per_s,
        latency_s=latency_s,
        efficiency=1.0,
        idle_w=0.0,
        energy_j_per_byte=0.0,
    )


def node_spec(gpus: int, link_bytes_per_s: float = 1024.0, link_latency_s: float = 0.0) -> NodeSpec:
    """A node whose GPUs each have a path of that many bytes per second to the host."""
    cpu = _sourced(
        CpuSpec,
        name="test-cpu",
        cores=8,
        clock_hz=1e9,
        memory_channels=2,
        memory_bandwidth_bytes_per_s=1e10,
        memory_bytes=1e11,
        cores_per_chiplet=8,
        chiplet_bandwidth_bytes_per_s=None,
        idle_w=0.0,
        peak_w=0.0,
    )
    return NodeSpec(
        name="test-node",
        gpus=gpus,
        gpu=gpu_spec(),
        cpu=cpu,
        sockets=1,
        cores=8,
        host_memory_bytes=1e11,
        gpu_link=None,
        host_link=link_spec(link_bytes_per_s, link_latency_s),
        pcie_switches=0,
        nic_link=link_spec(1e9),
        nics=1,
        gpu_nics=0,
        base_w=NODE_W,
        source=dict.fromkeys(
            ("gpus", "sockets", "cores", "host_memory_bytes", "pcie_switches", "nics", "gpu_nics",
             "base_w"),
            "made up for tests",
        ),
    )  # fmt: skip


#: A power cap from a time on: seconds, GPU, share of peak power (None: no more).
Cap = tuple[float, str, float | None]
#: What caps leave of the speed of the tests' GPUs.
CAPPED_SPEED = CappedSpeed(0.4, 0.25)


class TroubledCluster(Cluster):
    """A cluster on which the given faults and caps happen."""

    def __init__(
        self, nodes: Sequence[NodeCount], faults: Sequence[Fault], caps: Sequence[Cap]
    ) -> None:
        super().__init__(nodes, capped_speed=CAPPED_SPEED)
        self._faults = faults
        self._caps = caps

    def build(self, simulation: Simulation) -> Cluster:
        super().build(simulation)
        Faults(self._faults).start(simulation, self.targets)
        gpus = {gpu.name: gpu for gpu in self.gpus}
        for time_s, name, share in self._caps:
            simulation.at(time_s, lambda _, gpu=gpus[name], share=share: gpu.cap(share))
        return self


class Listed:
    """A workload of given demands: lazily, or (`eager`) as a list made beforehand."""

    finite = True

    def __init__(self, demands: Sequence[Demand], *, eager: bool = False) -> None:
        self._demands = list(demands)
        self._eager = eager
        self.taken = 0

    @property
    def count(self) -> int:
        return len(self._demands)

    def demands(self, rng: np.random.Generator) -> Iterator[Demand]:
        return iter(list(self._demands)) if self._eager else self._lazily()

    def _lazily(self) -> Iterator[Demand]:
        for demand in self._demands:
            self.taken += 1
            yield demand


def trace(requests: Sequence[tuple[float, int, int]], *, eager: bool = False) -> OpenLoop:
    """A client that sends (time, prompt tokens, output tokens)."""
    demands = [Demand(prompt, output, at) for at, prompt, output in requests]
    return OpenLoop(Listed(demands, eager=eager), TraceTimes())


class FactLog:
    """Keeps every fact in order, and does what an observer may do but steer."""

    def __init__(self, kinds: Sequence[type] = FACTS) -> None:
        self.kinds = kinds
        self.facts: list[Any] = []

    def attach(self, simulation: Simulation) -> None:
        for kind in self.kinds:
            simulation.facts.subscribe(kind, self.facts.append)

    def finish(self, results: Any) -> None:
        results.figure("facts", len(self.facts))

    def of(self, kind: type) -> list[Any]:
        """The facts of one kind."""
        return [fact for fact in self.facts if type(fact) is kind]


@dataclass
class Outcome:
    """What came of a run."""

    result: Result
    simulation: Simulation
    serving: Serving
    log: FactLog | None
    _rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The requests table by id."""
        if not self._rows:
            self._rows = sorted(self.table("requests"), key=lambda row: row["id"])
        return self._rows

    def table(self, name: str) -> list[dict[str, Any]]:
        """Rows of a table in the order of writing."""
        rows: list[dict[str, Any]] = self.result._tables[name].to_pylist()
        return rows

    def column(self, name: str) -> list[Any]:
        """A column of the requests table, by id."""
        requests = self.result._tables["requests"].sort_by("id")
        column: list[Any] = requests.column(name).to_pylist()
        return column

    def __getitem__(self, metric: str) -> float:
        return self.result.number(f"serving.{metric}")


def build(
    requests: Sequence[tuple[float, int, int]] = (),
    *,
    client: Client | None = None,
    cost: Any = None,
    seed: int = 0,
    mode: str = "jump",
    until_s: float | None = None,
    idle_until_s: float | None = None,
    ordering: Callable[[], Any] = Fcfs,
    batching: Callable[[], Any] = ChunkedPrefill,
    routing: Callable[[], Any] = RoundRobin,
    tools: Callable[[], Any] | None = None,
    predictor: Any = None,
    call_predictor: Any = None,
    engine: dict[str, Any] | None = None,
    replicas: int = 1,
    gpus: int = 1,
    kv_tokens: int = 1 << 30,
    kv_bytes_per_token: float = 1.0,
    context_tokens: int = 1 << 30,
    frontend: tuple[float, float] = (0.0, 0.0),
    offload: OffloadCost | None = None,
    link_bytes_per_s: float = 1024.0,
    link_latency_s: float = 0.0,
    faults: Sequence[Fault] = (),
    caps: Sequence[Cap] = (),
    series_interval_s: float | None = None,
    slo_ttft_s: float | None = None,
    slo_tpot_s: float | None = None,
    log: bool | Sequence[type] = True,
    observers: Sequence[Any] = (),
    sites: Sites | None = None,
) -> tuple[Simulation, Serving, FactLog | None]:
    """A simulation with one serving system, not yet run.

    Without more: one replica that takes all in, a step of one second, FCFS, chunked prefill.
    """
    nodes = [NodeCount(node_spec(gpus, link_bytes_per_s, link_latency_s), replicas)]
    cluster = TroubledCluster(nodes, faults, caps) if faults or caps else Cluster(nodes)
    simulation = Simulation(
        seed=seed,
        mode=mode,  # type: ignore[arg-type]
        until_s=until_s,
        idle_until_s=idle_until_s,
        cluster=cluster,
        sites=sites,
    )
    limits: dict[str, Any] = {"watermark": 0.0} | (engine or {})
    serving = Serving(
        served=ServedByFormula(
            cost_model=cost or ConstantCost(1.0),
            kv_tokens=kv_tokens,
            context_tokens=context_tokens,
            gpus=gpus,
            kv_bytes_per_token=kv_bytes_per_token,
            frontend=frontend,
            layers=offload.layers if offload else 1,
            offload_model=offload,
        ),
        client=client if client is not None else trace(requests),
        ordering=ordering,
        batching=batching,
        routing=routing,
        tools=tools or partial(Always, "preserve"),
        predictor=predictor if predictor is not None else Oracle(),
        call_predictor=call_predictor,
        engine=EngineLimits(**limits),
        replicas=replicas,
        series_interval_s=series_interval_s,
        slo_ttft_s=slo_ttft_s,
        slo_tpot_s=slo_tpot_s,
    )
    simulation.add(serving)
    facts = None
    if log:
        facts = FactLog(FACTS if log is True else log)
        simulation.observe(facts)
    for observer in observers:
        simulation.observe(observer)
    return simulation, serving, facts


def simulate(
    requests: Sequence[tuple[float, int, int]] = (),
    *,
    after_event: Callable[[Simulation, Serving], None] | None = None,
    before_event: Callable[[Simulation, Serving, float], None] | None = None,
    **settings: Any,
) -> Outcome:
    """Run `build(...)`. `before_event` is called before each event with the time of the next one,
    `after_event` after it."""
    simulation, serving, log = build(requests, **settings)
    if after_event is not None or before_event is not None:
        watch = partial(_run_watched, simulation, serving, before_event, after_event)
        simulation.env.run_until = watch  # type: ignore[method-assign]
    simulation.run()
    simulation.finish()
    return Outcome(simulation.results.close({}, {}), simulation, serving, log)


def _run_watched(
    simulation: Simulation,
    serving: Serving,
    before_event: Callable[[Simulation, Serving, float], None] | None,
    after_event: Callable[[Simulation, Serving], None] | None,
    ended: Any,
) -> bool:
    """`Environment.run_until`, one event at a time."""
    env = simulation.env
    while env.scheduled:
        if before_event is not None:
            before_event(simulation, serving, env.peek())
        env.step()
        if after_event is not None:
            after_event(simulation, serving)
        if ended.callbacks is None:
            return True
    return False
