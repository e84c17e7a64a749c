"""LLM serving as a system: replicas, a gateway and a client."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.charged_cost import ChargedCost
from models.gpu_spec import GpuSpec
from models.offload.offload_cost import OffloadCost
from models.prediction import Predictor, Refining
from models.served import Served
from models.step_cost import IterationCost
from models.tool_calls.durations import DurationPredictor, OracleDuration
from policies.batching.contract import Batching
from policies.ordering.contract import Ordering
from policies.routing.contract import Routing
from policies.tools.contract import Tools
from sim.core.errors import CapacityError, ConfigError
from sim.core.result import Draft, Value
from sim.core.simulation import Simulation
from sim.hardware.cluster import Cluster, Node
from sim.hardware.device import DeviceGroup
from sim.hardware.gpu import Gpu
from sim.hardware.memory import BlockPool
from sim.hardware.metering import MeterOpened
from sim.serving.clients import Client
from sim.serving.gateway import Gateway
from sim.serving.limits import EngineLimits
from sim.serving.predictions import Predictions
from sim.serving.recorder import Recorder
from sim.serving.replica import Replica
from sim.serving.request import Request
from sim.serving.series import Series
from sim.serving.swap import PcieChannel, SwapSpace
from sim.serving.use_meter import RequestUse


class Serving:
    """`replicas` copies of a served model behind a gateway, with a client that sends requests.

    Policies are given as callables, called once for each replica (`ordering`, `batching`) or once
    (`routing`), since a policy may keep state. `predictor`: predicts output lengths on arrival,
    for policies that ask. `series_interval_s`: spacing of the series (None: no series).
    `slo_ttft_s`, `slo_tpot_s`: the objective of `goodput_rps`. `gpu`: model of the GPUs to take,
    by its spec's name (None: any).
    """

    def __init__(
        self,
        *,
        served: Served,
        client: Client,
        ordering: Callable[[], Ordering],
        batching: Callable[[], Batching],
        routing: Callable[[], Routing],
        engine: EngineLimits,
        replicas: int = 1,
        tools: Callable[[], Tools] | None = None,
        predictor: Predictor | None = None,
        call_predictor: DurationPredictor | None = None,
        series_interval_s: float | None = None,
        slo_ttft_s: float | None = None,
        slo_tpot_s: float | None = None,
        gpu: str | None = None,
        name: str = "serving",
    ) -> None:
        if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
            raise ConfigError(f"replicas: {replicas!r} is not a whole number >= 1")
        self.name = name
        self.served = served
        self.client = client
        self.engine = engine
        self.count = replicas
        self.replicas: list[Replica] = []
        self._costs: dict[str, tuple[IterationCost, OffloadCost | None]] = {}
        self._ordering = ordering
        self._batching = batching
        self._routing = routing
        self._tools = tools
        self._predictor = predictor
        self._call_predictor = call_predictor or OracleDuration()
        self._series_interval_s = series_interval_s
        self._gpu = gpu
        for key, limit_s in (("slo_ttft_s", slo_ttft_s), ("slo_tpot_s", slo_tpot_s)):
            if limit_s is not None and not limit_s > 0.0:
                raise ConfigError(f"{key}: {limit_s!r} s is no objective that can be met; > 0")
        self._slo = (slo_ttft_s, slo_tpot_s)

    def start(self, simulation: Simulation) -> None:
        """Take GPUs, build the replicas and let the client begin.

        Raises CapacityError when there are too few GPUs or the model does not fit.
        """
        cluster = simulation.cluster
        if cluster is None:
            raise ConfigError(f"{self.name}: needs a cluster")
        self._simulation = simulation
        sites = simulation.sites
        regions = sites is not None and sites.round_trips_s is not None
        self.recorder = Recorder(simulation.results, self.name, *self._slo, regions)
        predictions = None
        if isinstance(self._predictor, Refining):
            seed = simulation.stream(f"{self.name}.predictions").integers(2**63)
            rng = simulation.stream(f"{self.name}.prediction")
            predictions = Predictions(self._predictor, int(seed), rng)
        for index in range(self.count):
            gpus = self._take_gpus(cluster, index)
            self.replicas.append(self._replica(simulation, index, gpus, cluster))
        self.gateway = Gateway(
            simulation,
            self.name,
            self.replicas,
            self._routing(),
            self._predictor,
            predictions,
            self._call_predictor,
            self.engine,
            self.served.context_tokens,
            self.served.frontend,
            self._ended,
        )
        self._series: Series | None = None
        if self._series_interval_s is not None:
            self._series = Series(simulation, self.name, self.replicas, self._series_interval_s)
        if simulation.listeners(MeterOpened):
            for replica in self.replicas:
                meter = RequestUse(replica)
                opened = MeterOpened(simulation.now, self.name, replica.group, meter)
                simulation.facts.emit(opened)
        self.client.start(simulation, self.gateway, self.name)

    def _take_gpus(self, cluster: Cluster, index: int) -> list[Gpu]:
        """GPUs of one site for a replica, where there are several: of each in turn that has them
        free."""
        sites = self._simulation.sites
        places = sites.nodes if sites is not None else []
        if len(places) > 1:
            for turn in range(len(places)):
                nodes = places[(index + turn) % len(places)]
                try:
                    return cluster.allocate(self.served.gpus, self._gpu, self.name, nodes)
                except CapacityError:
                    continue
        return cluster.allocate(self.served.gpus, self._gpu, self.name)

    def _replica(
        self, simulation: Simulation, index: int, gpus: Sequence[Gpu], cluster: Cluster
    ) -> Replica:
        engine = self.engine
        served = self.served
        gpu = gpus[0].spec
        batching = self._batching()
        blocks = engine.kv_blocks
        if blocks is None:
            blocks = served.kv_blocks(
                gpu, engine.block_tokens, engine.memory_fraction, engine.activation_bytes
            )
        elif blocks > (most := served.kv_blocks(gpu, engine.block_tokens, 1.0, 0.0)):
            raise CapacityError(
                f"engine.kv_blocks = {blocks}: {served.gpus} x {gpu.name} have room for {most} "
                "beside the weights; null takes what there is"
            )
        if getattr(batching, "layer_buffer", False):
            blocks = blocks * served.layers // (served.layers + 1)
            if not blocks:
                raise CapacityError(
                    "engine.kv_blocks: one block holds no buffer for KV on its way to the host"
                )
            self._check_one_host(gpus, cluster)
        cost, offload = self._cost(gpu)
        node = cluster.node_of(gpus[0])
        self._reserve(node, engine.host_swap_bytes)
        block_bytes = served.block_bytes(engine.block_tokens)
        host_blocks = int(engine.host_swap_bytes // block_bytes) if block_bytes else 0
        replica = Replica(
            simulation,
            index,
            DeviceGroup(gpus, index, self.name),
            cost,
            BlockPool(blocks),
            self._ordering(),
            batching,
            engine,
            SwapSpace(BlockPool(host_blocks), block_bytes, PcieChannel(cluster, gpus)),
            self._tools() if self._tools else None,
        )
        if offload is not None:
            shared = self._host_is_shared(simulation)
            replica.host.equip(offload, node.cpu, f"{self.name} {index}", shared)
        return replica

    def _check_one_host(self, gpus: Sequence[Gpu], cluster: Cluster) -> None:
        """The host that computes attention is that of all of a replica's GPUs."""
        nodes = {cluster.node_of(gpu).name for gpu in gpus}
        if len(nodes) > 1:
            raise ConfigError(
                f"{self.name}: the {len(gpus)} GPUs of a replica are on {len(nodes)} nodes, but "
                "the batching policy computes attention on the host of one; choose "
                "batching=swiftllm, fewer GPUs a replica, or a node with as many"
            )

    def _host_is_shared(self, simulation: Simulation) -> bool:
        """Whether others may want a replica's host: another system, or another replica there."""
        engine = self.engine
        if engine.stage_events is not None:
            return engine.stage_events
        return len(simulation.systems) > 1 or self.count > 1

    def _reserve(self, node: Node, size_bytes: float) -> None:
        """Host memory for a replica's KV."""
        try:
            node.memory.take(self.name, size_bytes)
        except CapacityError as error:
            raise CapacityError(
                f"engine.host_swap_bytes: {error}; give the KV of a replica less of the host"
            ) from None

    def _cost(self, gpu: GpuSpec) -> tuple[IterationCost, OffloadCost | None]:
        """The cost models on such GPUs: one for all replicas, which so share what it remembers."""
        if gpu.name not in self._costs:
            cost = self.served.cost(gpu)
            per_token_s = getattr(self._predictor, "per_token_s", 0.0)
            offload = self.served.offload(gpu, per_token_s)
            if per_token_s:
                cost = ChargedCost(cost, per_token_s)
            self._costs[gpu.name] = cost, offload
        return self._costs[gpu.name]

    def _ended(self, request: Request) -> None:
        self.recorder.end(request)
        self.client.ended(request)
        if self.client.exhausted and self.done():
            self._simulation.check_done()

    def done(self) -> bool:
        """Whether the client has sent all and all have ended."""
        return self.client.exhausted and self.gateway.unfinished() == 0

    def snapshot(self) -> dict[str, object]:
        """Who waits where."""
        return self.gateway.snapshot()

    def finish(self, results: Draft) -> None:
        """Figures of the run."""
        now = self._simulation.now
        gateway = self.gateway
        if self._series is not None:
            self._series.close(now)
        for replica in self.replicas:
            replica.close()
        in_flight = sorted(gateway.in_flight(), key=lambda request: request.id)
        self.recorder.unfinished(in_flight, now)
        results.figures(self.name, self.recorder.close(now))
        results.figures(self.name, self.client.figures())
        results.figures(self.name, self._counts())
        results.figures(self.name, self._use(now))

    def _counts(self) -> dict[str, Value]:
        gateway = self.gateway
        tallies = [replica.tally for replica in self.replicas]
        figures: dict[str, Value] = {
            "requests_arrived": gateway.arrived,
            "requests_finished": gateway.finished,
            "requests_rejected": gateway.rejected,
            "requests_truncated": gateway.truncated,
            "requests_rerouted": gateway.rerouted,
            "requests_unfinished": gateway.unfinished(),
        }
        for key in (
            "output_tokens",
            "prefill_tokens",
            "recomputed_tokens",
            "preemptions",
        ):
            figures[key] = sum(getattr(tally, key) for tally in tallies)
        figures["iterations"] = sum(replica.iterations for replica in self.replicas)
        return figures

    def _use(self, now_s: float) -> dict[str, Value]:
        """GPU time by phase, KV occupancy, energy."""
        replicas = self.replicas
        figures: dict[str, Value] = {}
        capacity_s = now_s * len(replicas)
        busy_s = 0.0
        for phase in ("prefill", "mixed", "decode"):
            spent = sum(replica.tally.phase_s[phase] for replica in replicas)
            busy_s += spent
            figures[f"gpu_time_share.{phase}"] = spent / capacity_s if capacity_s else None
        figures["gpu_busy_share"] = busy_s / capacity_s if capacity_s else None
        blocks = sum(replica.pool.total_blocks for replica in replicas)
        tokens = blocks * self.engine.block_tokens
        held_token_s = sum(replica.held.area(now_s) for replica in replicas)
        kv_token_s = held_token_s + sum(replica.tally.kv_token_s for replica in replicas)
        figures["kv_tokens_waiting.mean"] = held_token_s / now_s if now_s else None
        figures["kv_tokens_waiting.peak"] = max(replica.held.peak for replica in replicas)
        calls = [replica.calls for replica in replicas]
        if any(sum(each.handled.values()) for each in calls):
            paused_token_s = sum(each.held.area(now_s) for each in calls)
            kv_token_s += paused_token_s
            figures["kv_tokens_in_calls.mean"] = paused_token_s / now_s if now_s else None
            figures["kv_tokens_in_calls.peak"] = max(each.held.peak for each in calls)
            for handling in ("preserve", "discard", "swap"):
                figures[f"calls.{handling}"] = sum(each.handled[handling] for each in calls)
        figures["kv_blocks"] = blocks
        figures["kv_occupancy.mean"] = kv_token_s / (tokens * now_s) if now_s else None
        figures["kv_occupancy.peak"] = max(
            1.0 - replica.pool.least_free / replica.pool.total_blocks for replica in replicas
        )
        if any(replica.host.iterations or replica.host.stalled for replica in replicas):
            for key in ("iterations", "tokens", "stalled", "busy_s"):
                figures[f"offload.{key}"] = sum(getattr(replica.host, key) for replica in replicas)
            waits_s = sum(replica.tally.waits_s for replica in replicas)
            figures["offload.gpu_wait_share"] = waits_s / capacity_s if capacity_s else None
        energy_j = sum(replica.group.energy_j(now_s) for replica in replicas)
        figures["energy_j"] = energy_j
        finished = self.gateway.finished
        made = sum(replica.tally.output_tokens for replica in replicas)
        figures["energy_per_request_j"] = energy_j / finished if finished else None
        figures["energy_per_output_token_j"] = energy_j / made if made else None
        return figures
