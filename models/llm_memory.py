"""KV-cache capacity beside a model's weights."""

from __future__ import annotations

from math import floor

from models.errors import CapacityError, ConfigError
from models.gpu_spec import GpuSpec
from models.layer_operators import check_split, kv_heads_per_gpu
from models.transformer import Transformer, dtype_bytes


def weight_bytes_per_gpu(
    model: Transformer, weight_dtype: str, tensor_parallel: int = 1, pipeline_parallel: int = 1
) -> float:
    """Bytes of weights on each GPU: the model's, cut evenly over all GPUs of the group."""
    check_split(model, tensor_parallel, pipeline_parallel)
    return model.weight_bytes(weight_dtype) / (tensor_parallel * pipeline_parallel)


def kv_bytes_per_token_per_gpu(
    model: Transformer, kv_dtype: str, tensor_parallel: int = 1, pipeline_parallel: int = 1
) -> float:
    """Bytes of one token's keys and values on each GPU of the group.

    With more GPUs than KV heads every GPU keeps a copy of one head.
    """
    check_split(model, tensor_parallel, pipeline_parallel)
    layers = model.layers // pipeline_parallel
    heads = kv_heads_per_gpu(model, tensor_parallel)
    return 2 * layers * heads * model.head_size * dtype_bytes(kv_dtype)


def kv_block_bytes(
    model: Transformer,
    kv_dtype: str,
    block_tokens: int,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
) -> float:
    """Bytes of one KV block over all GPUs of the group."""
    if block_tokens < 1:
        raise ConfigError(f"block_tokens = {block_tokens!r} must be >= 1")
    gpus = tensor_parallel * pipeline_parallel
    per_gpu = kv_bytes_per_token_per_gpu(model, kv_dtype, tensor_parallel, pipeline_parallel)
    return block_tokens * gpus * per_gpu


def kv_blocks(
    model: Transformer,
    gpu: GpuSpec,
    *,
    block_tokens: int,
    memory_fraction: float,
    reserve_bytes: float,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    weight_dtype: str = "fp16",
    kv_dtype: str = "fp16",
) -> int:
    """KV blocks that fit on the group: floor((fraction memory - weights - reserve) / block).

    reserve_bytes: per GPU, for activations and the runtime. Raises CapacityError, with the
    numbers, when not a single block fits.
    """
    if not 0.0 < memory_fraction <= 1.0:
        raise ConfigError(f"memory_fraction = {memory_fraction!r} must be in (0, 1]")
    if not reserve_bytes >= 0.0:
        raise ConfigError(f"reserve_bytes = {reserve_bytes!r} must be >= 0")
    gpus = tensor_parallel * pipeline_parallel
    split = (tensor_parallel, pipeline_parallel)
    block = kv_block_bytes(model, kv_dtype, block_tokens, *split) / gpus
    weights = weight_bytes_per_gpu(model, weight_dtype, *split)
    usable = memory_fraction * gpu.memory_bytes
    blocks = floor((usable - weights - reserve_bytes) / block)
    if blocks < 1:
        raise CapacityError(
            f"{model.name} ({weight_dtype}) does not fit on {gpus} x {gpu.name}: each GPU needs "
            f"{weights / 1e9:.2f} GB of weights, {reserve_bytes / 1e9:.2f} GB of reserve and "
            f"{block / 1e9:.4f} GB for one KV block, and has {usable / 1e9:.2f} GB "
            f"({memory_fraction:g} of {gpu.memory_bytes / 1e9:.2f} GB); use more or larger GPUs "
            "or narrower weights"
        )
    return blocks
