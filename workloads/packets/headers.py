"""What a packet's headers say of its flow: Ethernet, VLAN tags, IPv4, IPv6, TCP, UDP."""

from __future__ import annotations

_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN = (0x8100, 0x88A8)
_TCP, _UDP = 6, 17
#: Flags of TCP after which a flow has ended: FIN and RST.
_ENDS = 0x01 | 0x04
#: Least Ethernet frame without its check sequence (IEEE 802.3).
_LEAST_FRAME = 60


def headers(frame: bytes, link_bytes: int) -> tuple[tuple[object, ...], float, bool]:
    """Key of the packet's flow, the same for both directions; its bytes on the wire; and whether
    it ends the flow. link_bytes: 14 for Ethernet, 0 for bare IP."""
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
        return ("frame", kind), float(max(least, len(frame))), False
    ports = (b"", b"")
    over = False
    if protocol in (_TCP, _UDP):
        ports = (frame[body : body + 2], frame[body + 2 : body + 4])
        over = protocol == _TCP and len(frame) > body + 13 and bool(frame[body + 13] & _ENDS)
    one, other = sorted(zip(ends, ports, strict=True))
    return (label, one, other), float(max(least, size, len(frame))), over
