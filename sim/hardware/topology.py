"""Fabrics between nodes."""

from __future__ import annotations

from typing import Protocol

from models.hardware.link_spec import LinkSpec
from sim.core.errors import ConfigError
from sim.hardware.network import Network


class Fabric(Protocol):
    """What the nodes' interfaces are plugged into."""

    def port(self, network: Network, node: int) -> str:
        """Endpoint for the interfaces of the node with this index; links behind it are made on
        first use."""
        ...


class Star:
    """One switch that never blocks."""

    def port(self, network: Network, node: int) -> str:
        """The switch."""
        return "switch"


class TwoTier:
    """Racks of `nodes_per_rack` nodes under a switch each, the switches joined by a core that
    never blocks over `uplinks` links of `uplink` a rack."""

    def __init__(self, nodes_per_rack: int, uplink: LinkSpec, uplinks: int = 1) -> None:
        if nodes_per_rack < 1 or uplinks < 1:
            raise ConfigError(
                f"two tiers: nodes_per_rack = {nodes_per_rack} and uplinks = {uplinks} must be >= 1"
            )
        self.nodes_per_rack = nodes_per_rack
        self.uplink = uplink
        self.uplinks = uplinks

    def port(self, network: Network, node: int) -> str:
        """The switch of the node's rack."""
        rack = f"rack{node // self.nodes_per_rack}"
        if f"{rack}->core" not in network.links:
            network.connect(rack, "core", self.uplink, self.uplinks)
        return rack
