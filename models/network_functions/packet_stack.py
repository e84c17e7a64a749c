"""What software costs at the host of a network function, and the margins of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.checks import between
from models.errors import ConfigError
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketStack:
    """Cycles of a host core, beyond those of the program's blocks.

    io_cycles: receive and transmit of a packet. insert_cycles: an entry into a table at the host,
    before its memory latency; nic_insert_cycles: what it takes more where the table is at the NIC.
    move_cycles: an entry moved into or out of the offloaded set. change_share: part of a read's
    latency that a write or an addition costs. packet_memory_share: part of the packets' bytes that
    goes through memory between the NIC and the cores, not through a cache alone.
    table_slack: bytes of a table for each byte of its entries. crossing_bytes: what crosses PCIe
    with each packet, each way. most_utilisation: of any resource, in a plan for a given rate.
    search_node_cycles: one node of the search for a plan.
    source: key -> document, for every number.
    """

    name: str
    io_cycles: float
    insert_cycles: float
    nic_insert_cycles: float
    move_cycles: float
    change_share: float
    packet_memory_share: float
    table_slack: float
    crossing_bytes: float
    most_utilisation: float
    search_node_cycles: float
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        zero = ("crossing_bytes", "search_node_cycles", "packet_memory_share")
        check("packet stack", self, may_be_zero=zero)
        between(
            f"packet stack {self.name}: packet_memory_share", self.packet_memory_share, 0.0, 1.0
        )
        if self.most_utilisation > 1.0:
            raise ConfigError(
                f"packet stack {self.name}: most_utilisation is {self.most_utilisation!r}; it must "
                "be at most 1"
            )
        if self.table_slack < 1.0:
            raise ConfigError(
                f"packet stack {self.name}: table_slack is {self.table_slack!r}; it must be at "
                "least 1"
            )
