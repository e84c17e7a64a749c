"""Embodied carbon of catalogue parts, and of servers made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.carbon.estimate import Level, Spread
from models.carbon.lifetime import Life
from models.errors import ConfigError

if TYPE_CHECKING:
    from models.hardware.node_spec import NodeSpec

_BYTES_PER_GB = 1e9
_PARTS = ("dram", "drives", "nic", "host")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodiedCatalogue:
    """What parts cost to make: grams, low, mid and high, and the life in seconds over which they
    are written off.

    devices: by the name of the spec of a GPU, processor (a socket), SmartNIC or FPGA. parts: `dram`
    (a GB of host memory), `drives` (a TB), `nic` (a plain interface), `host` (chassis, board and
    power supplies of a server). hosts: the latter of a kind of node by its name, where it is no
    server. drives_tb: in a server. level: low, mid or high of all figures. source: key -> document.
    """

    devices: Mapping[str, Sequence[float]]
    parts: Mapping[str, Sequence[float]]
    hosts: Mapping[str, Sequence[float]]
    drives_tb: float
    source: Mapping[str, str]
    level: Level = "mid"

    def __post_init__(self) -> None:
        if self.level not in ("low", "mid", "high"):
            raise ConfigError(f"carbon.embodied.level is {self.level!r}; it is low, mid or high")
        if not self.drives_tb >= 0.0:
            raise ConfigError(f"carbon.embodied.drives_tb is {self.drives_tb!r}; it must be >= 0")
        for group in ("devices", "parts", "hosts", "drives_tb"):
            if not self.source.get(group):
                raise ConfigError(f"carbon.embodied: {group} has no entry in `source`")
        for group in ("devices", "parts", "hosts"):
            for name in getattr(self, group):
                self._life(group, name, 1.0)

    def device(self, name: str, amount: float = 1.0) -> Life:
        """So much of a device. Raises ConfigError where nobody has counted it."""
        if name not in self.devices:
            raise ConfigError(
                f"carbon.embodied.devices: has no {name}; give its [low_g, mid_g, high_g, life_s] "
                f"(carbon.embodied.devices.{name}=...), or run with carbon=none"
            )
        return self._life("devices", name, amount)

    def node(self, spec: NodeSpec) -> dict[str, Life]:
        """All of a node but its GPUs, by component. A node that has a part of its sockets' cores
        (a cloud instance) has that part of processors, chassis and drives."""
        share = spec.cores / (spec.sockets * spec.cpu.cores)
        chassis = ("hosts", spec.name) if spec.name in self.hosts else ("parts", "host")
        found = {
            "cpu": self.device(spec.cpu.name, spec.cores / spec.cpu.cores),
            "dram": self._life("parts", "dram", spec.host_memory_bytes / _BYTES_PER_GB),
            "drives": self._life("parts", "drives", share * self.drives_tb),
            "host": self._life(*chassis, share),
        }
        plain = spec.gpu_nics + (0 if spec.smartnic is not None else spec.nics)
        if plain:
            found["nic"] = self._life("parts", "nic", plain)
        if spec.smartnic is not None:
            found["smartnic"] = self.device(spec.smartnic.name)
        if spec.fpga is not None:
            found["fpga"] = self.device(spec.fpga.name)
        return found

    def _life(self, group: str, name: str, amount: float) -> Life:
        row = getattr(self, group).get(name)
        where = f"carbon.embodied.{group}.{name}"
        if row is None or len(row) != 4:
            raise ConfigError(f"{where} is {row!r}; it must be [low_g, mid_g, high_g, life_s]")
        try:
            grams = Spread(*row[:3]).at(self.level)
            return Life(amount * grams, row[3])
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"{where}: {error}") from None
