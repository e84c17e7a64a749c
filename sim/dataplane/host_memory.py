"""The bandwidth of a host's memory, as packets have it."""

from __future__ import annotations

from math import inf


class HostMemory:
    """Moves the bytes of packets in the order in which they come, `bytes_per_s` in all.

    A packet's bytes are wanted from its arrival at the host on, and its service does not end before
    they have been moved. Bytes are conserved: never more are moved than there is bandwidth for.
    """

    def __init__(self) -> None:
        self.bytes_per_s = inf
        self._asked = 0.0
        self._waiting = 0.0
        self._at_s = 0.0

    def provide(self, time_s: float, bytes_per_s: float) -> None:
        """Move so much a second from now on."""
        self._go_on(time_s)
        self.bytes_per_s = bytes_per_s

    def move(self, here_s: float, size_bytes: float) -> float:
        """Bytes of a packet that comes at `here_s`; returns when they have been moved."""
        if not size_bytes:
            return here_s
        self._go_on(here_s)
        self._asked += size_bytes
        self._waiting += size_bytes
        return self._at_s + self._waiting / self.bytes_per_s

    def moved(self, now_s: float) -> float:
        """Bytes moved until now."""
        self._go_on(now_s)
        return self._asked - self._waiting

    def _go_on(self, time_s: float) -> None:
        if time_s > self._at_s:
            self._waiting = max(0.0, self._waiting - self.bytes_per_s * (time_s - self._at_s))
            self._at_s = time_s
