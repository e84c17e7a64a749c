"""A small model of which a host may compute the decode attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from serving_kit import gpu_spec, link_spec, node_spec

from models.efficiency import Efficiency
from models.hardware.cpu_spec import CpuSpec
from models.hardware.link_spec import LinkSpec
from models.llm_cost import TransformerCost
from models.offload.host_attention import HostAttention
from models.offload.offload_cost import OffloadCost
from models.offload.profiled_times import ProfiledTimes
from models.transformer import Transformer


def _sourced(kind: type, **figures: Any) -> Any:
    return kind(**figures, source=dict.fromkeys(figures, "made up for tests"))


TINY: Transformer = _sourced(
    Transformer,
    name="tiny",
    layers=3,
    hidden=1024,
    heads=8,
    kv_heads=4,
    head_size=128,
    ffn=2048,
    vocab=1000,
    max_context_tokens=1 << 20,
)
ROUGH: Efficiency = _sourced(
    Efficiency,
    name="rough",
    gemm_compute=0.5,
    gemm_memory=0.5,
    roofline_exponent=1.0,
    prefill_attention_compute=0.5,
    decode_attention_memory=0.5,
    decode_attention_memory_8bit=0.5,
    elementwise_memory=0.5,
    kernel_s=1e-4,
    elementwise_kernel_s=0.0,
    attention_kernel_s=1e-4,
    layer_overhead_s=1e-4,
    link=1.0,
    collective_s=0.0,
    collective_hop_s=0.0,
    send_link=1.0,
    send_s=0.0,
    launch_per_layer_s=2e-4,
    host_s=1e-3,
    host_per_sequence_s=0.0,
    host_overlapped=False,
    frontend_s=0.0,
    frontend_per_token_s=0.0,
    power_compute=0.9,
    power_memory=0.5,
    power_link=0.1,
)


def host_attention(
    cpu: CpuSpec | None = None, link: LinkSpec | None = None, **changes: Any
) -> HostAttention:
    """A host that reads KV at 1 GB/s over a link of 1 GB/s."""
    figures: dict[str, Any] = {
        "cores": 8,
        "reach": 0.1,
        "socket_reach": 1.0,
        "call_s": 1e-4,
        "gpus": 1,
    }
    return HostAttention(
        name="test-host",
        cpu=cpu or node_spec(1).cpu,
        link=link or link_spec(1e9),
        source=dict.fromkeys(figures, "made up for tests"),
        **figures | changes,
    )


def offload_cost(host: HostAttention | None = None, **efficiency: Any) -> OffloadCost:
    """The tiny model with a part of its attention on the host."""
    cost = TransformerCost(TINY, gpu_spec(), replace(ROUGH, **efficiency))
    return OffloadCost(cost, host or host_attention())


OFFLOAD = offload_cost()
#: The same on GPUs whose time grows with every token, beside a host that reads KV at 10 GB/s and
#: costs no launches: almost any request there is worth its time.
STEEP = offload_cost(
    host_attention(reach=1.0), gemm_compute=2e-3, kernel_s=1e-6, launch_per_layer_s=0.0
)


def times(truth: Any = None, **changes: Any) -> ProfiledTimes:
    """A profile of it."""
    figures: dict[str, Any] = {
        "launch_s": 3e-4,
        "max_sequences": 256,
        "max_batch_tokens": 2048,
        "max_context_tokens": 1 << 14,
    }
    return ProfiledTimes(truth or OFFLOAD, **figures | changes)
