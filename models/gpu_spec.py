"""Data sheet of a GPU: memory, speeds, power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite

from models.errors import ConfigError

_NON_NUMERIC = ("name", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """What a GPU's data sheet says; efficiencies are not part of it.

    memory_bytes: device memory, as a driver reports it (80 GiB cards: 80 * 2**30).
    memory_bandwidth_bytes_per_s: peak of the device memory.
    flops_16bit: dense FP16/BF16 matrix rate (no sparsity), FLOP/s.
    flops_8bit: dense FP8 or INT8 matrix rate; None where there is no such path.
    flops_32bit: FP32 rate outside the matrix units.
    idle_w, peak_w: power when idle and at full load (the board's limit).
    link_bandwidth_bytes_per_s: to other GPUs of the node, one direction (NVLink; else PCIe).
    host_link_bandwidth_bytes_per_s: to the host, one direction (PCIe).
    source: key -> document, for every number above.

    Raises ConfigError with key and value where a number is impossible or has no source.
    """

    name: str
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    flops_16bit: float
    flops_8bit: float | None
    flops_32bit: float
    idle_w: float
    peak_w: float
    link_bandwidth_bytes_per_s: float
    host_link_bandwidth_bytes_per_s: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("gpu: name is empty; give the card's name")
        for field in fields(self):
            key = field.name
            if key in _NON_NUMERIC:
                continue
            value = getattr(self, key)
            if value is None and key == "flops_8bit":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ConfigError(f"gpu {self.name}: {key} = {value!r} is not a number")
            if not (isfinite(value) and (value > 0.0 or (key == "idle_w" and value == 0.0))):
                raise ConfigError(f"gpu {self.name}: {key} = {value!r} must be finite and > 0")
            if key not in self.source:
                raise ConfigError(f"gpu {self.name}: {key} = {value!r} has no entry in `source`")
        if self.idle_w > self.peak_w:
            raise ConfigError(
                f"gpu {self.name}: idle_w = {self.idle_w!r} exceeds peak_w = {self.peak_w!r}"
            )
