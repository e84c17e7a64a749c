"""Packets of a network capture, as tcpdump writes it."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from models.errors import TraceError
from workloads.checks import positive, whole_or_none
from workloads.demand import Packet
from workloads.packets.headers import ACK, FIN, RST, SYN, Headers, headers

#: Link types and the bytes before the network's header: Ethernet, and IP without a link.
_LINKS = {1: 14, 12: 0, 14: 0, 101: 0}


#: Both directions of a flow.
_BOTH = 3


class _Flow:
    """One on its way. closed: directions that TCP has closed (1, 2, or both). ended: its last
    packet was seen."""

    __slots__ = ("closed", "ended", "last_s", "number")

    def __init__(self, number: int, last_s: float) -> None:
        self.number = number
        self.last_s = last_s
        self.closed = 0
        self.ended = False


class _Flows:
    """Flows by key: those open, and those that TCP has closed, each in order of their last packet.

    Feed it packets in order of time."""

    def __init__(self, idle_s: float, closing_s: float) -> None:
        self._kept: tuple[tuple[dict[tuple[object, ...], _Flow], float], ...]
        self._kept = (({}, idle_s), ({}, closing_s))
        self._unborn = 0

    def see(self, now_s: float, seen: Headers) -> tuple[int, str, tuple[int, ...]]:
        """Flow and kind of a packet, and flows that have ended without a last one until now."""
        over = [flow.number for flow in self._silent(now_s) if not flow.ended]
        flow = None
        for kept, _ in self._kept:
            flow = kept.pop(seen.key, flow)
        flags = seen.flags
        if flow is not None and flow.closed and flags & (SYN | ACK) == SYN:
            # The end points meet again.
            if not flow.ended:
                over.append(flow.number)
            flow = None
        kind = "E"
        if flow is None:
            flow, kind = _Flow(self._unborn, now_s), "N"
            self._unborn += 1
        last = flags & RST or (flow.closed == _BOTH and flags & (ACK | FIN) == ACK)
        if last and not flow.ended and kind == "E":
            kind, flow.ended = "T", True
        if flags & RST:
            flow.closed = _BOTH
        elif flags & FIN:
            flow.closed |= 1 + seen.back
        flow.last_s = now_s
        self._kept[flow.closed == _BOTH][0][seen.key] = flow
        return flow.number, kind, tuple(over)

    def _silent(self, now_s: float) -> Iterator[_Flow]:
        for kept, most_s in self._kept:
            while kept:
                key = next(iter(kept))
                if now_s - kept[key].last_s <= most_s:
                    break
                yield kept.pop(key)


class Capture:
    """Packets of a pcap or pcapng file of Ethernet or bare IP, in the order and at the times of the
    file; read as they are needed, never held whole.

    A flow is a pair of end points (address, port, protocol), both directions together. Its first
    packet is "N". One of TCP ends with the acknowledgement after FIN in both directions, or with
    RST ("T"); what comes later of the same end points is still of that flow, until a SYN or a
    silence of `closing_s`. Any flow ends with a silence of `idle_s`, or a closing one of
    `closing_s`, without a last packet; what comes then is the first of a new flow. Packets that are
    not of TCP or UDP are a flow for each pair of addresses and protocol. size_bytes is the length
    on the wire by the header of IP, so that captures of the first bytes of each packet serve;
    without the frame's check sequence. `limit` reads that many packets at most.

    Needs dpkt (`pip install 'orrery-sim[pcap]'`). TraceError for a file that is no capture, one of
    another link type, or a time that decreases, when it is reached.
    """

    finite = True

    def __init__(
        self,
        path: str | PathLike[str],
        idle_s: float = 60.0,
        closing_s: float = 10.0,
        limit: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.idle_s = positive("idle_s", idle_s)
        self.closing_s = positive("closing_s", closing_s)
        self.limit = whole_or_none("limit", limit)

    def packets(self, rng: np.random.Generator) -> Iterator[Packet]:
        """The packets in order; nothing is drawn."""
        flows = _Flows(self.idle_s, self.closing_s)
        first_s = before_s = None
        for number, (stamp_s, frame, link_bytes) in enumerate(self._frames(), start=1):
            if before_s is None or first_s is None:
                first_s = stamp_s
            elif stamp_s < before_s:
                raise TraceError(
                    f"{self.path}: packet {number}: time {stamp_s!r} is before the {before_s!r} of "
                    "the packet before; sort the file by time, as reordercap does"
                )
            before_s = stamp_s
            seen = headers(frame, link_bytes)
            flow, kind, over = flows.see(stamp_s, seen)
            yield Packet(stamp_s - first_s, flow, seen.size_bytes, kind, over=over)
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
