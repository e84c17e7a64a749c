"""Data sheet of an FPGA card, and of a design that is loaded into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import CapacityError, ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaDesign:
    """A bitstream: `units` equal compute units and what each takes of the fabric."""

    name: str
    units: int
    dsps: float
    luts: float
    on_chip_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaSpec:
    """An FPGA on its card.

    dsps: multiplier slices. luts: look-up tables. block_ram_bytes, ultra_ram_bytes: on the chip.
    clock_hz: clock of typical accelerator designs on it.
    memory_bytes, memory_bandwidth_bytes_per_s: DRAM or HBM of the card, peak.
    host_link_bandwidth_bytes_per_s: to the host, one direction.
    idle_w, peak_w: configured and waiting; the card's limit.
    reconfiguration_s: time to load a whole design.
    source: key -> document, for every number.
    """

    name: str
    dsps: int
    luts: int
    block_ram_bytes: float
    ultra_ram_bytes: float
    clock_hz: float
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    host_link_bandwidth_bytes_per_s: float
    idle_w: float
    peak_w: float
    reconfiguration_s: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("fpga", self, may_be_zero=("ultra_ram_bytes",))
        if self.idle_w > self.peak_w:
            raise ConfigError(
                f"fpga {self.name}: idle_w = {self.idle_w!r} exceeds peak_w = {self.peak_w!r}"
            )

    @property
    def on_chip_bytes(self) -> float:
        """Block and ultra RAM together."""
        return self.block_ram_bytes + self.ultra_ram_bytes

    def check_fits(self, design: FpgaDesign) -> None:
        """Raise CapacityError with the numbers if the design's units exceed the fabric."""
        if design.units < 1:
            raise ConfigError(f"design {design.name}: units = {design.units} must be >= 1")
        for what, each, total in (
            ("dsps", design.dsps, self.dsps),
            ("luts", design.luts, self.luts),
            ("on_chip_bytes", design.on_chip_bytes, self.on_chip_bytes),
        ):
            if design.units * each > total:
                raise CapacityError(
                    f"design {design.name} does not fit {self.name}: {design.units} units of "
                    f"{each:g} {what} need {design.units * each:g}, there are {total:g}"
                )
