"""What is run: systems, the three machines, loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

#: Batching policies by the name that they have here.
SYSTEMS: dict[str, tuple[str, ...]] = {
    "NEO": ("batching=neo",),
    "NEO by work": ("batching=neo_by_work",),
    "GPU only": ("batching=swiftllm",),
    "full offload": ("batching=full_offload",),
    "full offload, symmetric": ("batching=full_offload", "batching.halving=symmetric"),
    "full offload, one batch": ("batching=full_offload", "batching.halving=none"),
    "vLLM, chunks of 256": ("batching=chunked_prefill", "engine.max_batch_tokens=256"),
    "vLLM, chunks of 512": ("batching=chunked_prefill", "engine.max_batch_tokens=512"),
    # As many as the T4 has room for.
    "vLLM, chunks of 864": ("batching=chunked_prefill", "engine.max_batch_tokens=864"),
}
#: SwiftLLM's swap space, as a share of NEO's memory on the host (its release).
GPU_ONLY_SWAP = 1.0 / 8.0


class Host(NamedTuple):
    """A g5 instance: `cpu_kv_gb` of its memory hold KV; `reach`: the kernel's share of the
    bandwidth, None for the default."""

    node: str
    cpu_kv_gb: float
    reach: float | None = None


#: Of the two hosts that the paper's figure shows, bandwidth is fitted: 28 and 50 GB/s.
HOSTS: dict[str, Host] = {
    "2xlarge": Host("g5.2xlarge", 14.0, 0.6667),
    "4xlarge": Host("g5.4xlarge", 30.0),
    "8xlarge": Host("g5.8xlarge", 60.0),
    "16xlarge": Host("g5.16xlarge", 120.0),
}
T4_KV_BYTES = 20 * 2.0**30
H100_KV_BYTES = 80e9

#: Copies between GPU and host take no time, but for their latency.
FAST_LINK: tuple[str, ...] = ("node.host_link.bandwidth_bytes_per_s=1e18",)
#: The GPU computes as fast as one likes, and reads as before: prompts cost nothing.
FREE_PREFILL: tuple[str, ...] = ("node.gpu.flops_16bit=1e18",)
#: About 4 GB/s between GPU and host.
SLOW_LINK: tuple[str, ...] = ("node.host_link.efficiency=0.127",)
#: Scheduling, Python and sampling take no time.
NO_ITERATION: tuple[str, ...] = ("efficiency.host_s=0.0",)
#: Launching takes no time, and NEO knows it.
NO_LAUNCH: tuple[str, ...] = ("efficiency.launch_per_layer_s=0.0", "batching.times.launch_s=0.0")


def bandwidth(gb_per_s: float) -> tuple[str, ...]:
    """The host reads KV at this rate."""
    return (
        f"node.cpu.memory_bandwidth_bytes_per_s={gb_per_s * 1e9}",
        "node.cpu.chiplet_bandwidth_bytes_per_s=null",
        "host_attention.reach=1.0",
        "host_attention.socket_reach=1.0",
    )


def memory(gb: float) -> tuple[str, ...]:
    """So much KV fits on the host."""
    return (f"engine.host_swap_bytes={gb * 1e9}",)


def bias(factors: Mapping[str, float]) -> tuple[str, ...]:
    """NEO's profile is off by these factors."""
    return tuple(f"+batching.times.bias.{name}={factor}" for name, factor in factors.items())


def t4_online(system: str, rate_rps: float, path: str = "", count: int = 2000) -> list[str]:
    """Summaries that arrive by chance on the T4. `path`: of the release's lengths, in the order of
    the file; otherwise they are generated."""
    lengths = ["workload=request_lengths", f"workload.path={path}", f"workload.limit={count}"]
    words = [*lengths, "~workload.count"] if path else [f"workload.count={count}"]
    return [
        "experiment=neo_t4",
        *words,
        f"arrivals.rate_rps={rate_rps}",
        *_system(system, T4_KV_BYTES),
    ]


def t4_burst(system: str, li: int, lo: int, count: int) -> list[str]:
    """Prompts of about `li` and outputs of about `lo` tokens at once on the T4."""
    return [
        "experiment=neo_t4",
        "workload=about",
        "arrivals=burst",
        "~arrivals.rate_rps",
        f"workload.count={count}",
        f"workload.prompt.nominal_tokens={li}",
        f"workload.output.nominal_tokens={lo}",
        *_system(system, T4_KV_BYTES),
    ]


def a10g(
    system: str, host: str, lo: int, li: int = 1000, count: int = 2000, extra: tuple[str, ...] = ()
) -> list[str]:
    """Prompts of about `li` and outputs of about `lo` tokens at once on an A10G."""
    node, cpu_kv_gb, reach = HOSTS[host]
    return [
        "experiment=neo_a10g",
        f"hardware/node@node={node}",
        *_burst(li, lo, count),
        *_system(system, cpu_kv_gb * 1e9),
        *([] if reach is None else [f"host_attention.reach={reach}"]),
        *extra,
    ]


def a10g_online(system: str, lengths: str, rate_rps: float, count: int = 2000) -> list[str]:
    """Requests of such generated lengths that arrive by chance on the largest A10G instance."""
    node, cpu_kv_gb, _ = HOSTS["16xlarge"]
    return [
        "experiment=neo_a10g",
        f"hardware/node@node={node}",
        f"workload={lengths}",
        *(f"~workload.{part}.nominal_tokens" for part in ("prompt", "output")),
        "arrivals=poisson",
        f"arrivals.rate_rps={rate_rps}",
        f"workload.count={count}",
        *_system(system, cpu_kv_gb * 1e9),
    ]


def h100(system: str, lo: int, li: int = 1000, count: int = 2000) -> list[str]:
    """Prompts of about `li` and outputs of about `lo` tokens at once on the pair of H100."""
    return [
        "experiment=neo_h100",
        *_burst(li, lo, count),
        *_system(system, H100_KV_BYTES),
    ]


def a10g_code(system: str, host: str, path: str, count: int) -> list[str]:
    """Lengths of code completions in production, at once on an A10G."""
    node, cpu_kv_gb, reach = HOSTS[host]
    return [
        "experiment=neo_a10g",
        f"hardware/node@node={node}",
        "workload=azure",
        "~workload.count",
        "~workload.prompt",
        "~workload.output",
        f"workload.path={path}",
        f"workload.limit={count}",
        *_system(system, cpu_kv_gb * 1e9),
        *([] if reach is None else [f"host_attention.reach={reach}"]),
    ]


def _burst(li: int, lo: int, count: int) -> list[str]:
    return [f"prompt_tokens={li}", f"output_tokens={lo}", f"workload.count={count}"]


def _system(system: str, cpu_kv_bytes: float) -> list[str]:
    if system.startswith("vLLM"):
        cpu_kv_bytes = 0.0
    elif system == "GPU only":
        cpu_kv_bytes *= GPU_ONLY_SWAP
    return [*SYSTEMS[system], f"engine.host_swap_bytes={cpu_kv_bytes}", "series_interval_s=null"]
