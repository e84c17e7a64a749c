"""Data sheet of a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """A full-duplex link; every figure is for one direction.

    bandwidth_bytes_per_s: signalling rate less line coding.
    latency_s: from the last byte sent to the last byte received.
    efficiency: share of the bandwidth that payload reaches (headers, flow control).
    idle_w: standing draw of both ends' interfaces. energy_j_per_byte: on top, per byte sent.
    source: key -> document, for every number.
    """

    name: str
    bandwidth_bytes_per_s: float
    latency_s: float
    efficiency: float
    idle_w: float
    energy_j_per_byte: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("link", self, may_be_zero=("latency_s", "idle_w", "energy_j_per_byte"))
        if self.efficiency > 1.0:
            raise ConfigError(f"link {self.name}: efficiency = {self.efficiency!r} exceeds 1")

    @property
    def payload_bytes_per_s(self) -> float:
        """Payload that one direction carries per second."""
        return self.bandwidth_bytes_per_s * self.efficiency
