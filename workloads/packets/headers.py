"""What a packet's headers say of its flow: Ethernet, VLAN tags, IPv4, IPv6, TCP, UDP."""

from __future__ import annotations

from typing import NamedTuple

_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN = (0x8100, 0x88A8)
_TCP, _UDP = 6, 17
#: Flags of TCP.
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
#: Least Ethernet frame without its check sequence (IEEE 802.3).
_LEAST_FRAME = 60


class Headers(NamedTuple):
    """key: of the packet's flow, the same for both directions. size_bytes: on the wire. flags: of
    TCP, 0 of all others. back: whether the sender is the second of the key's end points."""

    key: tuple[object, ...]
    size_bytes: float
    flags: int
    back: bool


def headers(frame: bytes, link_bytes: int) -> Headers:
    """What a frame's headers say. link_bytes: 14 for Ethernet, 0 for bare IP."""
    at = link_bytes
    kind = int.from_bytes(frame[at - 2 : at]) if link_bytes else 0
    while kind in _VLAN:
        kind = int.from_bytes(frame[at + 2 : at + 4])
        at += 4
    least = _LEAST_FRAME if link_bytes else 0
    version = frame[at] >> 4 if len(frame) > at else 0
    if version == 4 and kind in (0, _IPV4) and len(frame) >= at + 20:
        total = int.from_bytes(frame[at + 2 : at + 4])
        fragment = int.from_bytes(frame[at + 6 : at + 8]) & 0x1FFF
        ends = (frame[at + 12 : at + 16], frame[at + 16 : at + 20])
        protocol = -1 if fragment else frame[at + 9]
        body = at + 4 * (frame[at] & 0x0F)
        size = at + total
        label: object = frame[at + 9]
    elif version == 6 and kind in (0, _IPV6) and len(frame) >= at + 40:
        ends = (frame[at + 8 : at + 24], frame[at + 24 : at + 40])
        protocol = label = frame[at + 6]
        body = at + 40
        size = body + int.from_bytes(frame[at + 4 : at + 6])
    else:
        # Neither of the two: a flow for each frame type.
        return Headers(("frame", kind), float(max(least, len(frame))), 0, False)
    ports = (b"", b"")
    flags = 0
    if protocol in (_TCP, _UDP):
        ports = (frame[body : body + 2], frame[body + 2 : body + 4])
        if protocol == _TCP and len(frame) > body + 13:
            flags = frame[body + 13]
    sender, receiver = zip(ends, ports, strict=True)
    one, other = sorted((sender, receiver))
    return Headers(
        (label, one, other), float(max(least, size, len(frame))), flags, sender is not one
    )
