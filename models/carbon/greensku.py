"""GreenSKU's carbon model of a rack (Wang et al., ISCA 2024), corrected and as released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from models.carbon.units import G_PER_KG
from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`count` equal parts of a server. regulated: fed through voltage regulators (the CPU)."""

    name: str
    count: int
    power_w: float
    embodied_g: float
    regulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chassis:
    """A server without its parts: board and the rest, and fans that speed up with its power.

    fan_w at base_w of all else, and fan_slope for each watt above it. units: of the rack.
    """

    name: str
    units: int
    power_w: float
    embodied_g: float
    fan_w: float
    fan_embodied_g: float
    base_w: float
    fan_slope: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("chassis", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rack:
    """A rack and what is common to all servers in it.

    units_used: taken by what is no server. limit_w: provisioned. life_months, server_life_months
    of hours_per_month each. derating: share of thermal design power by SPEC load in percent, of
    which a cubic is fitted. operating_load, provisioning_load: such loads. regulator, psu: what
    voltage regulators and power supplies take on top, as factors. power_factor: observed over
    derated power. Raises ConfigError for numbers without a source.
    """

    name: str
    units: int
    units_used: int
    limit_w: float
    power_w: float
    embodied_g: float
    life_months: float
    server_life_months: float
    hours_per_month: float
    derating: Mapping[int, float]
    operating_load: float
    provisioning_load: float
    regulator: float
    psu: float
    pue: float
    power_factor: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("rack", self)

    def share_of_peak(self, load: float) -> float:
        """Share of thermal design power at a load: the cubic through the derating table."""
        loads = np.array(list(self.derating), dtype=np.float64)
        cubic = np.polynomial.Polynomial.fit(loads, list(self.derating.values()), 3)
        return float(cubic(load))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSku:
    """A kind of server. threads: virtual cores that one core is sold as."""

    name: str
    chassis: Chassis
    parts: Sequence[Part]
    cores: int
    threads: int
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("server", self, may_be_zero=("embodied_g", "power_w", "count"))


@dataclass(frozen=True, slots=True)
class SkuCarbon:
    """A rack of one kind over the servers' life, in kg for a virtual core sold."""

    servers: int
    operational_kg: float
    embodied_kg: float

    @property
    def total_kg(self) -> float:
        return self.operational_kg + self.embodied_kg


def rack_carbon(
    sku: ServerSku, rack: Rack, intensity_g_per_kwh: float, as_released: bool = False
) -> SkuCarbon:
    """Carbon of a full rack.

    `as_released`: embodied carbon of a server's parts times PUE and power factor (and the
    regulators' factor), as the released code has it and the published tables carry; else as it is.
    Raises ConfigError where no server fits.
    """
    operating = rack.share_of_peak(rack.operating_load)
    provisioning = rack.share_of_peak(rack.provisioning_load)
    fan_w = _fan_w(sku, rack, operating)
    servers = _servers(sku, rack, provisioning, fan_w)

    used = sum(_drawn(part, rack) for part in sku.parts) * operating
    used += sku.chassis.power_w + fan_w * operating
    hours = rack.server_life_months * rack.hours_per_month
    factor = rack.pue * rack.power_factor
    rack_w = rack.power_w + servers * used
    operational = rack_w / 1000.0 * hours * intensity_g_per_kwh * factor

    embodied = 0.0
    for part in sku.parts:
        distortion = 1.0
        if as_released:
            distortion = factor * (rack.regulator if part.regulated else 1.0)
        embodied += part.count * part.embodied_g * distortion
    embodied += sku.chassis.embodied_g + sku.chassis.fan_embodied_g
    embodied *= servers
    embodied += rack.embodied_g * rack.server_life_months / rack.life_months

    sold = servers * sku.cores * sku.threads * G_PER_KG
    return SkuCarbon(servers, operational / sold, embodied / sold)


def _drawn(part: Part, rack: Rack) -> float:
    return part.count * part.power_w * (rack.regulator if part.regulated else 1.0)


def _fan_w(sku: ServerSku, rack: Rack, operating: float) -> float:
    """Fans at the power that the rest of a server really draws; the first estimate of the fans'
    own power is inside the supplies' loss, as released."""
    chassis = sku.chassis
    parts = sum(_drawn(part, rack) for part in sku.parts) * operating
    used = (parts + chassis.power_w + chassis.fan_w) * rack.psu * rack.power_factor
    rest = used - chassis.fan_w * operating * rack.power_factor
    return chassis.fan_w + chassis.fan_slope * (rest - chassis.base_w)


def _servers(sku: ServerSku, rack: Rack, provisioning: float, fan_w: float) -> int:
    parts = sum(_drawn(part, rack) for part in sku.parts) * provisioning
    each = (parts + sku.chassis.power_w + fan_w) * rack.psu
    by_power = floor((rack.limit_w - rack.power_w) / each)
    by_space = (rack.units - rack.units_used) // sku.chassis.units
    servers = min(by_power, by_space)
    if servers < 1:
        raise ConfigError(
            f"rack {rack.name}: no server {sku.name} of {each:.0f} W and {sku.chassis.units} U fits"
        )
    return servers


def out_of_service(failures_per_100: Mapping[str, float], in_place: Mapping[str, float]) -> float:
    """Servers to have for one that works: 1 + yearly failures that take one out of service.

    failures_per_100: by part, a year; in_place: share of a part's failures that a server lives
    with."""
    out = sum(
        rate / 100.0 * (1.0 - in_place.get(part, 0.0)) for part, rate in failures_per_100.items()
    )
    return 1.0 + out
