"""The part of a NIC's link to its host that a data path takes."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from sim.hardware.link import Link
from sim.hardware.network import Network
from sim.hardware.sharing import Activity


class PcieShare:
    """Packets over PCIe as a standing flow in each direction, as large as it was of late: others
    that send there have their fair share of the link, and packets what these leave.

    changed(): called when that has changed.
    """

    def __init__(self, network: Network, nic: str, host: str, changed: Callable[[], None]) -> None:
        self._network = network
        self._changed = changed
        self.links = (network.links[f"{nic}->{host}"], network.links[f"{host}->{nic}"])
        self._flows = []
        for link in self.links:
            flow = Activity(inf, [(link.resource, 1.0)], cap=0.0, owner=self)
            network.sharing.begin(flow)
            link.resource.on_rate = changed
            link.on_change.append(lambda _: changed())
            self._flows.append(flow)

    def want(self, bytes_per_s: float) -> None:
        """Take so much each way from now on, or a fair share of the link."""
        for flow in self._flows:
            self._network.sharing.set_bounds(flow, cap=bytes_per_s)

    @property
    def speeds(self) -> tuple[float, float]:
        """What packets may have of the link up and down, relative to all of it."""
        up, down = (
            self._left(link, flow) for link, flow in zip(self.links, self._flows, strict=True)
        )
        return up, down

    def link_failed(self, link: Link) -> None:
        """The link carries nothing for now."""

    @staticmethod
    def _left(link: Link, flow: Activity) -> float:
        specified = link.spec.payload_bytes_per_s * link.width
        others = link.rate_bytes_per_s - flow.rate
        return max(0.0, link.capacity_bytes_per_s - others) / specified
