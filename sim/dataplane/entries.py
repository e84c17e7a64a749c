"""Who owns the entries of flows, and what they hold."""

from __future__ import annotations

from sim.core.errors import LawBroken


class Entries:
    """Entries of split states: each flow's are at the NIC (`at_nic`) or at the host, never both.

    `counts` holds, for each side (0 host, 1 NIC), packets that have updated a flow's entries; a
    move takes the number with it. `updates`: in all; `misrouted`: where
    the entries were not. `changed`: packets that have ended, by flow
    and type, while somebody wants to know what they updated."""

    def __init__(self) -> None:
        self.at_nic: set[int] = set()
        self.counts: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.updates = self.misrouted = 0
        self.changed: dict[tuple[int, int], int] | None = None
        #: Additions at the host and at the NIC since the last merge, and those merged.
        self.added = [0.0, 0.0]
        self.merged = 0.0

    def update(self, flow: int, on_nic: bool, by: int) -> None:
        """A packet updates its flow's entries on a side. Raises LawBroken if they are not there."""
        if (flow in self.at_nic) is not on_nic:
            self.misrouted += by
            here, there = ("NIC", "host") if on_nic else ("host", "NIC")
            raise LawBroken(
                f"flow {flow}: a packet updates its entries at the {here}, they are at the {there}"
            )
        counts = self.counts[on_nic]
        counts[flow] = counts.get(flow, 0) + by
        self.updates += by

    def read(self, flow: int) -> int:
        """What the flow's entries hold, where they are."""
        return self.counts[flow in self.at_nic].get(flow, 0)

    def hand_over(self, flow: int, to_nic: bool, copied: int) -> None:
        """The copy taken before becomes the entries, on the other side. Raises LawBroken where an
        update came in between, or the entries are there already."""
        if (flow in self.at_nic) is to_nic:
            raise LawBroken(f"flow {flow}: its entries move to where they are")
        held = self.counts[not to_nic].pop(flow, 0)
        if held != copied:
            raise LawBroken(f"flow {flow}: {held - copied} updates are lost in a move")
        if copied:
            self.counts[to_nic][flow] = copied
        if to_nic:
            self.at_nic.add(flow)
        else:
            self.at_nic.discard(flow)

    def merge(self) -> None:
        """Both copies of replicated counters become their sum; each side counts from zero."""
        self.merged += self.added[0] + self.added[1]
        self.added = [0.0, 0.0]

    def end(self, flow: int) -> None:
        """The flow is over; its entries at the host go."""
        self.counts[0].pop(flow, None)

    def redeal(self, at_nic: set[int]) -> None:
        """Other flows have their entries at the NIC from now on; each takes its count along."""
        host, nic = self.counts
        for flow in self.at_nic - at_nic:
            if flow in nic:
                host[flow] = nic.pop(flow)
        for flow in at_nic - self.at_nic:
            if flow in host:
                nic[flow] = host.pop(flow)
        self.at_nic = at_nic
