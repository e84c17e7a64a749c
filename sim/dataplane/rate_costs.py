"""Shares of packets and demands on resources, as rates need them."""

from __future__ import annotations

from collections.abc import Mapping

from models.network_functions.traffic import TrafficProfile

#: Where packets are dropped for want of a resource of the NIC; elsewhere in the queue of its cores.
_PLACE_OF = {"mac": "wire", "line": "wire", "match tables": "match tables"}


def type_weights(profile: TrafficProfile, hit: float) -> dict[str, float]:
    """Share of each packet type; `hit`: of established packets, those of flows at the NIC."""
    edge = 1.0 / profile.packets_per_flow
    established = 1.0 - 2.0 * edge
    return {"EH": established * hit, "EM": established * (1.0 - hit), "N": edge, "T": edge}


def drop_place(resource: str) -> str:
    """Where packets are dropped that a resource of the NIC cannot serve."""
    return _PLACE_OF.get(resource, "nic")


def by_station(seconds: Mapping[str, float]) -> dict[str, float]:
    """Times for each packet by station; port and PCIe serve bytes and packets at once."""
    found = dict(seconds)
    found["wire"] = max(found.pop("mac"), found.pop("line"))
    found["pcie up"] = max(found.pop("pcie bytes"), found.pop("pcie packets"))
    return found


class NicLoad:
    """The cores of a NIC at work, as one server, for its power. Reading it changes nothing: between
    two steps the last share goes on."""

    def __init__(self, now_s: float) -> None:
        self.count = 1
        self.busy = 0.0
        self._busy_s = 0.0
        self._at_s = now_s

    def go_on(self, busy_s: float, lasts_s: float) -> None:
        """A step is over, with so many seconds of work."""
        self._busy_s += busy_s
        self._at_s += lasts_s
        self.busy = busy_s / lasts_s

    def busy_s(self, now_s: float) -> float:
        """Seconds of work until now."""
        return self._busy_s + self.busy * (now_s - self._at_s)
