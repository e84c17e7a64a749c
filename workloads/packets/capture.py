"""Packets of a network capture, as tcpdump writes it."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from models.errors import TraceError
from workloads.checks import positive, whole_or_none
from workloads.demand import Packet
from workloads.packets.headers import headers

#: Link types and the bytes before the network's header: Ethernet, and IP without a link.
_LINKS = {1: 14, 12: 0, 14: 0, 101: 0}


class Capture:
    """Packets of a pcap or pcapng file of Ethernet or bare IP, in the order and at the times of the
    file; read as they are needed, never held whole.

    A flow is a pair of end points (address, port, protocol), both directions together. Its first
    packet is "N"; one with TCP's FIN or RST ends it ("T"), and so does a silence of `idle_s`: what
    comes then is the first of a new flow. Packets that are not of TCP or UDP are a flow for each
    pair of addresses and protocol. size_bytes is the length on the wire by the header of IP, so
    that captures of the first bytes of each packet serve; without the frame's check sequence.
    `limit` reads that many packets at most.

    Needs dpkt (`pip install 'orrery-sim[pcap]'`). TraceError for a file that is no capture, one of
    another link type, or a time that decreases, when it is reached.
    """

    finite = True

    def __init__(
        self, path: str | PathLike[str], idle_s: float = 60.0, limit: int | None = None
    ) -> None:
        self.path = Path(path)
        self.idle_s = positive("idle_s", idle_s)
        self.limit = whole_or_none("limit", limit)

    def packets(self, rng: np.random.Generator) -> Iterator[Packet]:
        """The packets in order; nothing is drawn."""
        #: Number of each flow and the time of its last packet.
        flows: dict[tuple[object, ...], tuple[int, float]] = {}
        first_s = before_s = swept_s = None
        unborn = 0
        for number, (stamp_s, frame, link_bytes) in enumerate(self._frames(), start=1):
            if before_s is None or first_s is None or swept_s is None:
                first_s = swept_s = stamp_s
            elif stamp_s < before_s:
                raise TraceError(
                    f"{self.path}: packet {number}: time {stamp_s!r} is before the {before_s!r} of "
                    "the packet before; sort the file by time, as reordercap does"
                )
            before_s = stamp_s
            if stamp_s - swept_s > self.idle_s:
                oldest_s = stamp_s - self.idle_s
                flows = {key: flow for key, flow in flows.items() if flow[1] >= oldest_s}
                swept_s = stamp_s
            key, size_bytes, ends = headers(frame, link_bytes)
            known = flows.get(key)
            kind = "T" if ends else "E"
            if known is None or stamp_s - known[1] > self.idle_s:
                known = (unborn, stamp_s)
                unborn += 1
                kind = "N"
            if ends:
                flows.pop(key, None)
            else:
                flows[key] = (known[0], stamp_s)
            yield Packet(stamp_s - first_s, known[0], size_bytes, kind)
            if number == self.limit:
                return
        if before_s is None:
            raise TraceError(f"{self.path}: holds no packet")

    def _frames(self) -> Iterator[tuple[float, bytes, int]]:
        """Time and captured bytes of each packet, and how many of them are the link's header."""
        try:
            import dpkt
        except ImportError as error:
            raise TraceError(
                f"{self.path}: reading a capture needs dpkt; pip install 'orrery-sim[pcap]'"
            ) from error
        try:
            with self.path.open("rb") as file:
                reader = dpkt.pcap.UniversalReader(file)
                link = reader.datalink()
                if link not in _LINKS:
                    raise TraceError(
                        f"{self.path}: link type {link}; it must be Ethernet (1) or IP (101)"
                    )
                for stamp, frame in reader:
                    yield float(stamp), frame, _LINKS[link]
        except OSError as error:
            raise TraceError(f"{self.path}: {error.strerror}") from error
        except (ValueError, dpkt.Error) as error:
            raise TraceError(f"{self.path}: no pcap or pcapng file, or cut off: {error}") from error
