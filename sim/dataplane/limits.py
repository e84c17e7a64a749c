"""Places of the queues of a data path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from models.checks import whole
from models.hardware.sourced import check


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """Packets that wait, at most; what comes then is dropped and counted by place.

    wire: for the port's logic and the line. nic: for a thread of the NIC's cores. match: for its
    match tables. accelerator: for one of its accelerators. pcie: for PCIe, each way. ring: for a
    host core, from the start of a transfer to the end of the service.
    posted: operations that a memory engine queues before threads wait for it.
    inserts: entries that wait for the insertion channel.
    moving: of one flow while its entries change sides; moves: flows that change sides at a time.
    source: key -> document.
    """

    name: str
    wire: int
    nic: int
    match: int
    accelerator: int
    pcie: int
    ring: int
    posted: int
    inserts: int
    moving: int
    moves: int
    source: Mapping[str, str]

    def __post_init__(self) -> None:
        check("queue limits", self)
        for field in fields(self):
            if field.name not in ("name", "source"):
                key = f"queue limits {self.name}: {field.name}"
                object.__setattr__(self, field.name, whole(key, getattr(self, field.name)))
