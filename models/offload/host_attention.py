"""Decode attention on a host's processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import ConfigError
from models.hardware.cpu_spec import CpuSpec
from models.hardware.link_spec import LinkSpec
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAttention:
    """The kernel that reads KV in host memory, and the link over which its queries come.

    Reading is bound by memory bandwidth: time is nearly proportional to the KV tokens read, with a
    fixed time a call, however they are spread over requests (NEO, arXiv 2411.01142, section 4).

    cores: that work on it. reach: share of the bandwidth of those cores, chiplet by chiplet, that
    the kernel attains; socket_reach: the most of the whole socket's. call_s: fixed time of a call.
    link: to each of the replica's GPUs; gpus: their number, each of which carries an equal share.
    source: key -> document, for every number of its own.
    """

    name: str
    cpu: CpuSpec
    cores: int
    reach: float
    socket_reach: float
    call_s: float
    link: LinkSpec
    gpus: int
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("host_attention", self, may_be_zero=("call_s",))
        for key in ("reach", "socket_reach"):
            value = getattr(self, key)
            if value > 1.0:
                raise ConfigError(f"host_attention {self.name}: {key} = {value!r} exceeds 1")
        if self.cores > self.cpu.cores:
            raise ConfigError(
                f"host_attention {self.name}: cores = {self.cores} of {self.cpu.name}, which has "
                f"{self.cpu.cores}"
            )

    @property
    def read_bytes_per_s(self) -> float:
        """KV bytes read a second, where nobody else uses the host."""
        cpu = self.cpu
        return min(
            self.reach * cpu.reachable_bandwidth_bytes_per_s(self.cores),
            self.socket_reach * cpu.memory_bandwidth_bytes_per_s,
        )

    @property
    def link_bytes_per_s(self) -> float:
        """Payload of one direction of all links together."""
        return self.gpus * self.link.payload_bytes_per_s

    def copy_s(self, copied_bytes: float) -> float:
        """Seconds until so many bytes have arrived at the other end, where nobody else sends."""
        if not copied_bytes:
            return 0.0
        return copied_bytes / self.link_bytes_per_s + self.link.latency_s


def no_host_attention(**_: object) -> None:
    """All attention is computed on the GPUs. What an experiment says of the host's kernel is then
    of no account."""
    return
