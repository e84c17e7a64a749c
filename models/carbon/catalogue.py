"""Embodied carbon of catalogue parts, and of servers made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.carbon.estimate import Level, Spread
from models.carbon.lifetime import Life
from models.errors import ConfigError

if TYPE_CHECKING:
    from models.hardware.node_spec import NodeSpec

_BYTES_PER_GB = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Grams to make a part, within bounds, and the life over which they are written off."""

    low_g: float
    mid_g: float
    high_g: float
    life_s: float
    source: str

    def __post_init__(self) -> None:
        Spread(self.low_g, self.mid_g, self.high_g)
        if not self.life_s > 0.0:
            raise ConfigError(f"embodied: life_s = {self.life_s!r} must be > 0")
        if not self.source:
            raise ConfigError("embodied: a part has no `source`")

    def life(self, level: Level, amount: float = 1.0) -> Life:
        """So much of it, deployed."""
        grams = Spread(self.low_g, self.mid_g, self.high_g).at(level)
        return Life(amount * grams, self.life_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodiedCatalogue:
    """What parts cost to make.

    devices: by the name of the spec of a GPU, processor (a socket), SmartNIC or FPGA; `dram`: a GB
    of host memory; `drives`: a TB; `nic`: a plain interface; `host`: chassis, board and power
    supplies. drives_tb: of a server whose spec names none. hosts: chassis of a kind of node by its
    name, where it is not a server's. level: low, mid or high of all figures.
    """

    devices: Mapping[str, Made]
    dram: Made
    drives: Made
    nic: Made
    host: Made
    drives_tb: float
    source: Mapping[str, str]
    hosts: Mapping[str, Made]
    level: Level = "mid"

    def __post_init__(self) -> None:
        if self.level not in ("low", "mid", "high"):
            raise ConfigError(f"embodied.level is {self.level!r}; it is low, mid or high")
        if not self.drives_tb >= 0.0:
            raise ConfigError(f"embodied.drives_tb is {self.drives_tb!r}; it must be >= 0")

    def device(self, name: str, amount: float = 1.0) -> Life:
        """A device. Raises ConfigError where nobody has counted it."""
        if name not in self.devices:
            raise ConfigError(
                f"carbon.embodied.devices: has no {name!r}; give its low_g, mid_g, high_g, life_s "
                "and source, or run with carbon=none"
            )
        return self.devices[name].life(self.level, amount)

    def node(self, spec: NodeSpec) -> dict[str, Life]:
        """All of a node but its GPUs, by component. A node that has a part of its sockets' cores
        (a cloud instance) has that part of processors, chassis and drives."""
        share = spec.cores / (spec.sockets * spec.cpu.cores)
        chassis = self.hosts.get(spec.name, self.host)
        found = {
            "cpu": self.device(spec.cpu.name, spec.cores / spec.cpu.cores),
            "dram": self.dram.life(self.level, spec.host_memory_bytes / _BYTES_PER_GB),
            "drives": self.drives.life(self.level, share * self.drives_tb),
            "host": chassis.life(self.level, share),
        }
        plain = spec.gpu_nics + (0 if spec.smartnic is not None else spec.nics)
        if plain:
            found["nic"] = self.nic.life(self.level, plain)
        if spec.smartnic is not None:
            found["smartnic"] = self.device(spec.smartnic.name)
        if spec.fpga is not None:
            found["fpga"] = self.device(spec.fpga.name)
        return found
