"""A model as one replica serves it: what its iterations cost and how much KV cache it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from models.efficiency import Efficiency
from models.errors import ConfigError
from models.gpu_spec import GpuSpec
from models.llm_cost import TransformerCost
from models.llm_memory import kv_block_bytes, kv_blocks
from models.offload.host_attention import HostAttention
from models.offload.offload_cost import OffloadCost, offload_cost
from models.step_cost import IterationCost
from models.transformer import Transformer


class Served(Protocol):
    """What a serving system must know of the model on its replicas."""

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        ...

    @property
    def context_tokens(self) -> int:
        """Longest prompt + output."""
        ...

    @property
    def frontend(self) -> tuple[float, float]:
        """Seconds, and seconds per prompt token, before a request reaches a replica's queue."""
        ...

    def cost(self, gpu: GpuSpec) -> IterationCost:
        """What iterations cost on such GPUs."""
        ...

    def offload(self, gpu: GpuSpec, per_sequence_s: float) -> OffloadCost | None:
        """What iterations cost on such GPUs where the host computes a part of the attention; None
        where it computes none."""
        ...

    @property
    def layers(self) -> int:
        """Layers of the model, each with an equal part of a token's KV."""
        ...

    def block_bytes(self, block_tokens: int) -> float:
        """Bytes of one KV block over all GPUs of a replica."""
        ...

    def kv_blocks(
        self, gpu: GpuSpec, block_tokens: int, memory_fraction: float, activation_bytes: float
    ) -> int:
        """KV blocks that fit beside the weights. Raises CapacityError when none do."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTransformer:
    """A transformer on a tensor- and pipeline-parallel group of GPUs.

    `max_context_tokens`: where it is to be shorter than the model's own limit. `host`: what the
    host computes of the attention, if the batching policy wants it to.
    """

    model: Transformer
    efficiency: Efficiency
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    weight_dtype: str = "fp16"
    kv_dtype: str = "fp16"
    max_context_tokens: int | None = None
    host: HostAttention | None = None

    @property
    def gpus(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def context_tokens(self) -> int:
        if self.max_context_tokens is None:
            return self.model.max_context_tokens
        return min(self.max_context_tokens, self.model.max_context_tokens)

    @property
    def frontend(self) -> tuple[float, float]:
        return self.efficiency.frontend_s, self.efficiency.frontend_per_token_s

    def cost(self, gpu: GpuSpec) -> IterationCost:
        return TransformerCost(
            self.model,
            gpu,
            self.efficiency,
            tensor_parallel=self.tensor_parallel,
            pipeline_parallel=self.pipeline_parallel,
            weight_dtype=self.weight_dtype,
            kv_dtype=self.kv_dtype,
        )

    def offload(self, gpu: GpuSpec, per_sequence_s: float) -> OffloadCost | None:
        if self.host is None:
            return None
        return offload_cost(
            self.model,
            gpu,
            self.efficiency,
            self.host,
            tensor_parallel=self.tensor_parallel,
            pipeline_parallel=self.pipeline_parallel,
            weight_dtype=self.weight_dtype,
            kv_dtype=self.kv_dtype,
            per_sequence_s=per_sequence_s,
        )

    @property
    def layers(self) -> int:
        return self.model.layers

    def block_bytes(self, block_tokens: int) -> float:
        return kv_block_bytes(
            self.model, self.kv_dtype, block_tokens, self.tensor_parallel, self.pipeline_parallel
        )

    def kv_blocks(
        self, gpu: GpuSpec, block_tokens: int, memory_fraction: float, activation_bytes: float
    ) -> int:
        return kv_blocks(
            self.model,
            gpu,
            block_tokens=block_tokens,
            memory_fraction=memory_fraction,
            reserve_bytes=activation_bytes,
            tensor_parallel=self.tensor_parallel,
            pipeline_parallel=self.pipeline_parallel,
            weight_dtype=self.weight_dtype,
            kv_dtype=self.kv_dtype,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedByFormula:
    """A replica whose iterations follow a given cost model, whatever the GPU: a profiled line, or
    the constant step of queueing theory. `kv_tokens`: size of its KV cache. `offload_model`: what
    iterations cost in which the host has a part."""

    cost_model: IterationCost
    kv_tokens: int
    context_tokens: int
    gpus: int = 1
    kv_bytes_per_token: float = 0.0
    frontend: tuple[float, float] = (0.0, 0.0)
    layers: int = 1
    offload_model: OffloadCost | None = None

    def __post_init__(self) -> None:
        for key in ("kv_tokens", "context_tokens", "gpus"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"served.{key}: {value!r} is not a whole number >= 1")

    def cost(self, gpu: GpuSpec) -> IterationCost:
        return self.cost_model

    def offload(self, gpu: GpuSpec, per_sequence_s: float) -> OffloadCost | None:
        return self.offload_model

    def block_bytes(self, block_tokens: int) -> float:
        return self.kv_bytes_per_token * block_tokens

    def kv_blocks(
        self, gpu: GpuSpec, block_tokens: int, memory_fraction: float, activation_bytes: float
    ) -> int:
        return self.kv_tokens // block_tokens
