"""The traffic that a network function meets, by its few statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from models.errors import ConfigError
from models.network_functions.zipf import head_share

#: Bytes that a frame takes on the wire beyond its own: preamble and gap (IEEE 802.3).
WIRE_BYTES = 20.0

#: Types of packet: of an offloaded established flow, of another established flow, the first and
#: the last of a flow. The last letter is the class of blocks that they execute.
PACKET_TYPES = ("EH", "EM", "N", "T")
CLASS_OF = {"EH": "E", "EM": "E", "N": "N", "T": "T"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficProfile:
    """Statistics of a traffic mix; true or estimated.

    flows: active at a time. zipf_exponent: of their popularity; 0 is even.
    packets_per_flow: mean over a flow's life, at least 2 (a first and a last packet).
    packet_bytes: mean frame. rate_pps: packets offered a second.
    """

    flows: float
    zipf_exponent: float
    packets_per_flow: float
    packet_bytes: float
    rate_pps: float

    def __post_init__(self) -> None:
        for key, least in (
            ("flows", 1.0),
            ("zipf_exponent", 0.0),
            ("packets_per_flow", 2.0),
            ("packet_bytes", 1.0),
            ("rate_pps", 0.0),
        ):
            value = getattr(self, key)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not isfinite(value) or value < least:
                raise ConfigError(
                    f"traffic profile: {key} is {value!r}; it must be a number of at least "
                    f"{least:g}"
                )
        if not self.rate_pps > 0.0:
            raise ConfigError(f"traffic profile: rate_pps is {self.rate_pps!r}; it must be above 0")

    @property
    def new_flows_per_s(self) -> float:
        """Flows that begin in a second."""
        return self.rate_pps / self.packets_per_flow

    def head_share(self, head: float) -> float:
        """Share of established packets that belong to the `head` most popular flows."""
        return head_share(head, self.flows, self.zipf_exponent)

    def share_within(self, packet: str, head: float, offloaded: float) -> float:
        """Share of a type's packets that belong to the `head` most popular flows, when so many are
        offloaded. A first or a last packet is as likely of any flow as of any other."""
        if packet in ("N", "T"):
            return min(1.0, head / self.flows)
        hit, found = self.head_share(offloaded), self.head_share(head)
        if packet == "EH":
            return min(1.0, found / hit) if hit else 0.0
        return max(0.0, found - hit) / (1.0 - hit) if hit < 1.0 else 0.0

    def weights(self, offloaded: float, reach: float = 1.0) -> Mapping[str, float]:
        """Share of each packet type (they add up to 1) when so many flows are offloaded, and the
        share `reach` of their packets hits.

        A first packet is not known to belong to a popular flow, and a last one runs the removal,
        so neither ever hits the offloaded set."""
        edge = 1.0 / self.packets_per_flow
        established = 1.0 - 2.0 * edge
        hit = reach * self.head_share(offloaded) if offloaded > 0.0 else 0.0
        return {"EH": established * hit, "EM": established * (1.0 - hit), "N": edge, "T": edge}


def line_rate_pps(bandwidth_bytes_per_s: float, packet_bytes: float) -> float:
    """Frames of that size that a line carries in a second."""
    return bandwidth_bytes_per_s / (packet_bytes + WIRE_BYTES)


def at_load(
    *,
    load: float,
    line_bytes_per_s: float,
    flows: float,
    zipf_exponent: float,
    packets_per_flow: float,
    packet_bytes: float,
) -> TrafficProfile:
    """A profile that offers the share `load` of a line. Raises ConfigError outside (0, 1]."""
    if not 0.0 < load <= 1.0:
        raise ConfigError(f"traffic profile: load is {load!r}; it must be in (0, 1], of the line")
    if not line_bytes_per_s > 0.0:
        raise ConfigError(
            f"traffic profile: line_bytes_per_s is {line_bytes_per_s!r}; it must be above 0"
        )
    return TrafficProfile(
        flows=flows,
        zipf_exponent=zipf_exponent,
        packets_per_flow=packets_per_flow,
        packet_bytes=packet_bytes,
        rate_pps=load * line_rate_pps(line_bytes_per_s, packet_bytes),
    )
