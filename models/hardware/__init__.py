"""Data sheets of hardware: what a part holds, how fast it is, what it draws, and who says so."""

from models.hardware.cache_level import CacheLevel
from models.hardware.cpu_spec import CpuSpec
from models.hardware.fpga_spec import FpgaDesign, FpgaSpec
from models.hardware.link_spec import LinkSpec
from models.hardware.node_spec import NodeSpec
from models.hardware.smartnic_spec import MatchTables, MemoryLevel, SmartNicSpec

__all__ = [
    "CacheLevel",
    "CpuSpec",
    "FpgaDesign",
    "FpgaSpec",
    "LinkSpec",
    "MatchTables",
    "MemoryLevel",
    "NodeSpec",
    "SmartNicSpec",
]
