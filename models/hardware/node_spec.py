"""Template of a server: the parts and how they hang together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import ConfigError
from models.gpu_spec import GpuSpec
from models.hardware.cpu_spec import CpuSpec
from models.hardware.fpga_spec import FpgaSpec
from models.hardware.link_spec import LinkSpec
from models.hardware.smartnic_spec import SmartNicSpec
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One server.

    gpus, gpu: how many GPUs of which kind (0 and None for none).
    cpu, sockets, cores: processors; `cores` of them belong to this node (a cloud instance has a
    part of a socket). host_memory_bytes: memory of the node.
    gpu_link: from each GPU to the node's GPU switch (NVLink); None: GPUs meet over PCIe.
    host_link: PCIe of each GPU (and FPGA) to the host, or to its PCIe switch.
    pcie_switches: GPUs in equal groups share a switch and its one `host_link` to the host;
    0: each GPU has a path of its own.
    nic_link, nics: interfaces at the host; gpu_nics: interfaces of the same kind at the PCIe
    switches, spread evenly, for traffic from GPU to GPU.
    base_w: constant draw of board, fans, memory and drives.
    smartnic: takes the place of the host's plain interfaces where given. fpga: a card at the host.
    source: key -> document, for every number of the node itself; its parts bring theirs.
    """

    name: str
    gpus: int
    gpu: GpuSpec | None
    cpu: CpuSpec
    sockets: int
    cores: int
    host_memory_bytes: float
    gpu_link: LinkSpec | None
    host_link: LinkSpec
    pcie_switches: int
    nic_link: LinkSpec
    nics: int
    gpu_nics: int
    base_w: float
    source: Mapping[str, str]
    smartnic: SmartNicSpec | None = None
    fpga: FpgaSpec | None = None

    def __post_init__(self) -> None:
        check("node", self, may_be_zero=("gpus", "pcie_switches", "gpu_nics", "base_w"))
        where = f"node {self.name}:"
        if (self.gpu is None) != (self.gpus == 0):
            raise ConfigError(f"{where} gpus = {self.gpus} but gpu = {self.gpu and self.gpu.name}")
        if self.cores > self.sockets * self.cpu.cores:
            raise ConfigError(
                f"{where} cores = {self.cores}, {self.sockets} x {self.cpu.name} have "
                f"{self.sockets * self.cpu.cores}"
            )
        if self.pcie_switches == 0:
            if self.gpu_nics:
                raise ConfigError(f"{where} gpu_nics = {self.gpu_nics} needs pcie_switches > 0")
        elif self.gpus % self.pcie_switches or self.gpu_nics % self.pcie_switches:
            raise ConfigError(
                f"{where} gpus = {self.gpus} and gpu_nics = {self.gpu_nics} must be multiples of "
                f"pcie_switches = {self.pcie_switches}"
            )

    @property
    def host_cpu(self) -> CpuSpec:
        """The node's processors as one."""
        return self.cpu.part(self.cores, self.host_memory_bytes, self.sockets)
