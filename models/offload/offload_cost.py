"""Iterations of which the host computes a part of the decode attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from models.efficiency import Efficiency
from models.errors import ConfigError
from models.gpu_spec import GpuSpec
from models.llm_cost import TransformerCost
from models.offload.host_attention import HostAttention
from models.offload.sub_batch import SubBatch
from models.step_cost import StepCost
from models.transformer import Transformer, dtype_bytes

_WIDE = 4.0  # bytes; attention on the host accumulates and answers in 32 bits


class Stage(NamedTuple):
    """A part of an iteration, over when all that works in it is done.

    `gpu_s`: work on the GPUs' stream, `gpu_active` the same weighted by the dynamic power that it
    draws. On the host's thread, one after the other: `thread_s` of launching, calling and
    exchanging queries, keys, values and answers, then `read_bytes` of KV. `copy_bytes`: KV on its
    way to host memory beside all that.
    """

    name: str
    gpu_s: float
    gpu_active: float
    thread_s: float = 0.0
    read_bytes: float = 0.0
    copy_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Iteration:
    """The stages of an iteration: `opening`, then `pair` again and again, `turns` times, then
    `closing`. It lasts `least_s` at least, the host's own time where that runs beside."""

    opening: tuple[Stage, ...]
    pair: tuple[Stage, Stage]
    turns: int
    closing: tuple[Stage, ...]
    least_s: float

    def __iter__(self) -> Iterator[Stage]:
        yield from self.opening
        for _ in range(self.turns):
            yield from self.pair
        yield from self.closing


class Totals(NamedTuple):
    """Of an iteration in closed form: seconds, those of the GPUs' work weighted by power, seconds
    of the host's thread on one core, and then on all of its cores, and those in which the GPUs wait
    for host or link."""

    seconds: float
    gpu_active: float
    thread_s: float
    read_s: float
    waits_s: float


#: Of a layer of a sub-batch: what `OffloadCost._linear_cached` says of its width; attention on the
#: GPUs, in seconds and in those weighted by power; and what host and link do while the GPUs work on
#: the other sub-batch, in seconds of the thread and bytes read and copied. And its sequences.
_Part: TypeAlias = tuple[
    tuple[float, float, float, float], float, float, tuple[float, float, float], int
]


class OffloadCost:
    """Iterations of two sub-batches that swap their roles twice a layer, as NEO's engine runs them
    (arXiv 2411.01142, section 3.1).

    The GPUs compute linear operators of one sub-batch while the host computes decode attention of
    the other. In stage A of a layer the GPUs end this layer's linear work of the first sub-batch,
    begin the next one's, and attend for the second, whose host attention runs meanwhile; stage B is
    the same with the two exchanged. The first and last stages are parts of such. The host's thread
    launches kernels before it computes, so launching is serial with host attention; exchanges with
    the GPUs are small copies that it waits for, whatever else the link carries. KV of prompts
    that goes to host memory leaves layer by layer beside the stages of its sub-batch's attention.

    `per_sequence_s`: what looks at each sequence of an iteration takes besides (see `ChargedCost`).

    Raises ConfigError for pipeline parallelism, which this order of stages does not have.
    """

    def __init__(
        self,
        cost: TransformerCost,
        host: HostAttention,
        kv_dtype: str = "fp16",
        per_sequence_s: float = 0.0,
    ) -> None:
        if cost.pipeline_parallel > 1:
            raise ConfigError(
                f"pipeline_parallel = {cost.pipeline_parallel}: offload to the host needs 1"
            )
        model = cost.model
        self.cost = cost
        self.host = host
        self.per_sequence_s = per_sequence_s
        self.layers = model.layers
        self._efficiency = cost.efficiency
        self._overlapped = cost.efficiency.host_overlapped
        self.launch_s = cost.efficiency.launch_per_layer_s
        width = dtype_bytes(kv_dtype)
        #: Bytes of a token's keys and values in one layer.
        self.kv_bytes = 2.0 * model.kv_heads * model.head_size * width
        #: Bytes that a decode exchanges with the host in one layer.
        self.exchanged_bytes = model.head_size * (
            width * (model.heads + 2 * model.kv_heads) + _WIDE * model.heads
        )
        self._read_bytes_per_s = host.read_bytes_per_s
        self._link_bytes_per_s = host.link_bytes_per_s
        self._exchange_s = self.exchanged_bytes / self._link_bytes_per_s
        self._link_latency_s = host.link.latency_s
        self._call_s = host.call_s
        # Decode attention of a layer: fixed seconds, and per KV token seconds and those weighted.
        self._fixed_s, (self._per_s, self._per_active) = cost.operators.decode()
        self._heads: dict[int, tuple[float, float]] = {}
        self._linear: dict[int, tuple[float, float, float, float]] = {}
        self._prompts: dict[int, tuple[float, float, float, float]] = {}

    # Operators of a layer, in seconds; those of nothing take no time.

    def linear_s(self, tokens: int) -> float:
        """Linear operators for `tokens` tokens."""
        before_s, after_s, _, _ = self._linear_cached(tokens)
        return before_s + after_s

    def prefill_s(self, tokens: int, cached: int = 0) -> float:
        """Attention of a prompt's `tokens` after `cached` ones."""
        own_s, cached_s, _, _ = self._prompt_cached(tokens)
        return own_s + cached_s * cached

    def attention_s(self, tokens: int) -> float:
        """Decode attention on the GPUs over `tokens` KV tokens."""
        if not tokens:
            return 0.0
        return self._fixed_s + self._per_s * tokens

    def host_attention_s(self, sequences: int, tokens: int) -> float:
        """Decode attention on the host, for `sequences` that read `tokens` KV tokens in all."""
        if not sequences:
            return 0.0
        host = self.host
        return (
            host.call_s
            + tokens * self.kv_bytes / host.read_bytes_per_s
            + sequences * self.exchanged_bytes / host.link_bytes_per_s
        )

    # Iterations

    def ends_s(self, stage: Stage) -> tuple[float, float, float]:
        """Seconds from a stage's start to when the GPUs, the host's thread and the link are done,
        where nobody else uses host and link."""
        thread_s = stage.thread_s + stage.read_bytes / self.host.read_bytes_per_s
        return stage.gpu_s, thread_s, self._copy_s(stage.copy_bytes)

    def totals(self, first: SubBatch, second: SubBatch) -> Totals:
        """An iteration in closed form: what its stages come to, without making them."""
        linear_0, attention_0, attention_0a, beside_0, requests_0 = self._part(first)
        linear_1, attention_1, attention_1a, beside_1, requests_1 = self._part(second)
        before_0, after_0, linear_0a, _ = linear_0
        before_1, after_1, linear_1a, _ = linear_1
        thread_0, read_0, copied_0 = beside_0
        thread_1, read_1, copied_1 = beside_1
        read_0 /= self._read_bytes_per_s
        read_1 /= self._read_bytes_per_s
        # What the GPUs wait for while they work on the other sub-batch.
        wait_0, wait_1 = thread_0 + read_0, thread_1 + read_1
        if copied_0:
            wait_0 = max(wait_0, self._copy_s(copied_0))
        if copied_1:
            wait_1 = max(wait_1, self._copy_s(copied_1))
        begin_s, end_0_s = before_1 + attention_0, after_0 + attention_1
        turn_1_s, turn_0_s = after_0 + before_0 + attention_1, after_1 + before_1 + attention_0
        layers = self.layers
        turns = layers - 1
        sampled = first.sampled + second.sampled
        end_s, head_active, least_s = self._outside(requests_0 + requests_1, sampled)
        waits_s = 0.0
        if wait_0 > begin_s:
            waits_s = wait_0 - begin_s
            begin_s = wait_0
        if wait_1 > turn_1_s:
            waits_s += turns * (wait_1 - turn_1_s)
            turn_1_s = wait_1
        if wait_0 > turn_0_s:
            waits_s += turns * (wait_0 - turn_0_s)
            turn_0_s = wait_0
        if wait_1 > end_0_s:
            waits_s += wait_1 - end_0_s
            end_0_s = wait_1
        seconds = (
            before_0 + begin_s + turns * turn_1_s + turns * turn_0_s + end_0_s + after_1 + end_s
        )
        return Totals(
            seconds if seconds > least_s else least_s,
            layers * (linear_0a + linear_1a + attention_0a + attention_1a) + head_active,
            layers * (thread_0 + thread_1),
            layers * (read_0 + read_1),
            waits_s,
        )

    def step_on_gpus(self, batch: SubBatch) -> StepCost:
        """An iteration of one batch all of whose attention is on the GPUs, in order; KV of its
        prompts may go to host memory, layer by layer beside the layers."""
        cost = self.cost.step(batch.decodes, batch.context_tokens, batch.prompts, batch.sampled)
        more_s = self.per_sequence_s * batch.requests
        copying_s = self.layers * self._copy_s(batch.out_tokens * self.kv_bytes)
        head_s, _ = self._head(batch.sampled)
        rest_s = head_s + (0.0 if self._overlapped else self._host_s(batch.requests))
        seconds = more_s + max(cost.step(0), copying_s + rest_s)
        return StepCost(seconds, active_first=cost.active_first)

    def iteration(self, first: SubBatch, second: SubBatch) -> Iteration:
        """The stages of an iteration, in order."""
        linear_0, attention_0, attention_0a, beside_0, requests_0 = self._part(first)
        linear_1, attention_1, attention_1a, beside_1, requests_1 = self._part(second)
        before_0, after_0, linear_0a, before_0a = linear_0
        before_1, after_1, linear_1a, before_1a = linear_1
        sampled = first.sampled + second.sampled
        end_s, head_active, least_s = self._outside(requests_0 + requests_1, sampled)
        return Iteration(
            (
                Stage("first layer", before_0, before_0a),
                Stage("begin", before_1 + attention_0, before_1a + attention_0a, *beside_0),
            ),
            (
                Stage(
                    "A",
                    after_0 + before_0 + attention_1,
                    linear_0a + attention_1a,
                    *beside_1,
                ),
                Stage(
                    "B",
                    after_1 + before_1 + attention_0,
                    linear_1a + attention_0a,
                    *beside_0,
                ),
            ),
            self.layers - 1,
            (
                Stage(
                    "end", after_0 + attention_1, linear_0a - before_0a + attention_1a, *beside_1
                ),
                Stage("last layer", after_1 + end_s, linear_1a - before_1a + head_active),
            ),
            least_s,
        )

    def _outside(self, requests: int, sampled: int) -> tuple[float, float, float]:
        """What follows the layers: seconds, and those of the head weighted by power; and the
        shortest that the host lets an iteration be."""
        head_s, head_active = self._heads.get(sampled) or self._head(sampled)
        host_s = self._host_s(requests)
        head_s += self.per_sequence_s * requests
        if self._overlapped:
            return head_s, head_active, host_s
        return head_s + host_s, head_active, 0.0

    def _part(self, batch: SubBatch) -> _Part:
        prompts, decodes, context_tokens, host_decodes, host_tokens, out_tokens, _ = batch
        width = requests = decodes + host_decodes
        seconds = active = 0.0
        for cached, size in prompts:
            width += size
            requests += 1
            own_s, cached_s, own_active, cached_active = self._prompt_cached(size)
            seconds += own_s + cached_s * cached
            active += own_active + cached_active * cached
        if decodes:
            seconds += self._fixed_s + self._per_s * context_tokens
            active += self._per_active * context_tokens
        thread_s = self.launch_s
        if host_decodes:
            thread_s += self._call_s + host_decodes * self._exchange_s
        beside = thread_s, host_tokens * self.kv_bytes, out_tokens * self.kv_bytes
        linear = self._linear.get(width) or self._linear_cached(width)
        return linear, seconds, active, beside, requests

    def _copy_s(self, copied_bytes: float) -> float:
        """As `HostAttention.copy_s`."""
        if not copied_bytes:
            return 0.0
        return copied_bytes / self._link_bytes_per_s + self._link_latency_s

    def _host_s(self, requests: int) -> float:
        """The host's time for an iteration of so many requests, outside its layers."""
        efficiency = self._efficiency
        return efficiency.host_s + efficiency.host_per_sequence_s * requests

    def _head(self, sampled: int) -> tuple[float, float]:
        found = self._heads.get(sampled)
        if found is None:
            found = self._heads[sampled] = self.cost.operators.head(sampled)
        return found

    def _linear_cached(self, tokens: int) -> tuple[float, float, float, float]:
        """Linear operators: seconds before attention and after it, all of these weighted by power,
        and those before attention."""
        found = self._linear.get(tokens)
        if found is None:
            found = (0.0, 0.0, 0.0, 0.0)
            if tokens:
                before, (seconds, active) = self.cost.operators.linear_parts(tokens)
                before_s, before_active = before
                found = (before_s, seconds - before_s, active, before_active)
            self._linear[tokens] = found
        return found

    def _prompt_cached(self, size: int) -> tuple[float, float, float, float]:
        found = self._prompts.get(size)
        if found is None:
            if size:
                (own_s, own_active), (cached_s, cached_active) = self.cost.operators.chunk(size)
                found = (own_s, cached_s, own_active, cached_active)
            else:
                found = (0.0, 0.0, 0.0, 0.0)
            self._prompts[size] = found
        return found


def offload_cost(
    model: Transformer,
    gpu: GpuSpec,
    efficiency: Efficiency,
    host: HostAttention | None,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    weight_dtype: str = "fp16",
    kv_dtype: str = "fp16",
    per_sequence_s: float = 0.0,
) -> OffloadCost:
    """The cost of a model on such GPUs with such a host. Raises ConfigError without a host, and for
    a published profile, which says nothing of operators."""
    if not isinstance(model, Transformer):
        raise ConfigError(
            "model: a profile of whole iterations, but the batching policy asks for the times of a "
            "model's operators; choose batching=chunked_prefill, or a model, as model=llama2-7b, "
            "and its efficiency"
        )
    if host is None:
        raise ConfigError(
            "host_attention: none, but the batching policy computes attention on the host; "
            "choose host_attention=cpu"
        )
    cost = TransformerCost(
        model,
        gpu,
        efficiency,
        tensor_parallel=tensor_parallel,
        pipeline_parallel=pipeline_parallel,
        weight_dtype=weight_dtype,
        kv_dtype=kv_dtype,
    )
    return OffloadCost(cost, host, kv_dtype, per_sequence_s)
