"""How much of the data sheet a serving stack reaches: the constants of the cost model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite

from models.errors import ConfigError

_SHARES = (
    "gemm_compute",
    "gemm_memory",
    "prefill_attention_compute",
    "decode_attention_memory",
    "decode_attention_memory_8bit",
    "elementwise_memory",
    "link",
    "send_link",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Constants of one serving stack. Shares are fractions of the data sheet, in (0, 1].

    gemm_compute, gemm_memory: matrix products, of the peak rate and of the memory bandwidth.
    roofline_exponent: p of the p-norm that joins compute and memory time (1: they add up,
      large: the longer one counts).
    prefill_attention_compute: of the 16-bit peak. decode_attention_memory: of the bandwidth,
      for reading 16-bit keys and values; decode_attention_memory_8bit: for 8-bit ones.
    elementwise_memory: of the bandwidth, for norms, activations, rotary embedding, additions.
    kernel_s, attention_kernel_s: what each matrix product and attention kernel takes beside its
      work. elementwise_kernel_s: the least that an element-wise kernel takes.
    layer_overhead_s: GPU time per layer that belongs to no operator.
    link: of the link bandwidth, in collectives. collective_s: fixed time of a collective,
      collective_hop_s: more for each of its ring steps. send_link, send_s: the same for a
      message from one GPU to another.
    launch_per_layer_s: host time to launch a layer; an iteration lasts at least that per layer.
    host_s, host_per_sequence_s: host time per iteration and per sequence in it.
    host_overlapped: whether that host time runs beside the GPU's work (it is then a floor) or
      after it (added).
    frontend_s, frontend_per_token_s: per request and per prompt token, before the queue.
    power_compute, power_memory, power_link: share of the dynamic power range drawn per second
      of compute, of memory traffic, of communication (all clipped to 1 together).
    source: key -> document, fit or assumption, for every number above.

    The cost model uses all but `frontend_*`, which are the serving system's. Raises ConfigError
    with key and value.
    """

    name: str
    gemm_compute: float
    gemm_memory: float
    roofline_exponent: float
    prefill_attention_compute: float
    decode_attention_memory: float
    decode_attention_memory_8bit: float
    elementwise_memory: float
    kernel_s: float
    elementwise_kernel_s: float
    attention_kernel_s: float
    layer_overhead_s: float
    link: float
    collective_s: float
    collective_hop_s: float
    send_link: float
    send_s: float
    launch_per_layer_s: float
    host_s: float
    host_per_sequence_s: float
    host_overlapped: bool
    frontend_s: float
    frontend_per_token_s: float
    power_compute: float
    power_memory: float
    power_link: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        for field in fields(self):
            key = field.name
            value = getattr(self, key)
            if key in ("name", "source", "host_overlapped"):
                continue
            where = f"efficiency {self.name}: {key} = {value!r}"
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f"{where} is not a number")
            if not (isfinite(value) and value >= 0.0):
                raise ConfigError(f"{where} must be finite and >= 0")
            if key in _SHARES and not 0.0 < value <= 1.0:
                raise ConfigError(f"{where} must be in (0, 1]")
            if not self.source.get(key):
                raise ConfigError(f"{where} has no entry in `source`")
        if self.roofline_exponent < 1.0:
            raise ConfigError(
                f"efficiency {self.name}: roofline_exponent = {self.roofline_exponent!r} "
                "must be >= 1"
            )
        if not isinstance(self.host_overlapped, bool):
            raise ConfigError(
                f"efficiency {self.name}: host_overlapped = {self.host_overlapped!r} "
                "must be true or false"
            )
