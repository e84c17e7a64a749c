"""A packet on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.network_functions.traffic import CLASS_OF, PACKET_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.network_functions.legs import Leg, Segment
    from models.network_functions.trip import Trip

#: Positions in PACKET_TYPES: of an offloaded flow, of another, and by class.
HIT, MISS = PACKET_TYPES.index("EH"), PACKET_TYPES.index("EM")
KINDS = {CLASS_OF[kind]: i for i, kind in enumerate(PACKET_TYPES)}
NEW, LAST = KINDS["N"], KINDS["T"]


class Transit:
    """A packet (or a burst of like ones) on its way through the data path.

    kind: position in PACKET_TYPES. number: of its arrival. entered_s: when it had arrived whole.
    Then where it is: `legs` of the present visit of the NIC, the `segments` of the present leg, at
    `step`, on `core`. host_s, host_bytes: what its visit of the host takes. previous, follower:
    packets of the same flow around it, for their order.
    """

    __slots__ = (
        "afterwards",
        "back",
        "born_s",
        "core",
        "flow",
        "follower",
        "gone",
        "host_bytes",
        "host_s",
        "kind",
        "leg",
        "legs",
        "number",
        "previous",
        "queue",
        "rank",
        "segments",
        "served_s",
        "size_bytes",
        "step",
        "trip",
        "waits_s",
    )

    legs: tuple[Leg, ...]
    segments: tuple[Segment, ...]
    step: int
    core: int
    host_s: float
    host_bytes: float
    queue: tuple[int, list[int]]
    served_s: tuple[float, float]
    waits_s: float

    def __init__(
        self,
        number: int,
        flow: int,
        rank: int,
        kind: int,
        size_bytes: float,
        born_s: float,
        trip: Trip,
        previous: Transit | None,
    ) -> None:
        self.number = number
        self.flow = flow
        self.rank = rank
        self.kind = kind
        self.size_bytes = size_bytes
        self.born_s = born_s
        self.trip = trip
        self.previous = previous
        self.follower: Transit | None = None
        self.gone = False
        self.back = False
        self.leg = 0
        self.afterwards: Callable[[float], None] | None = None
