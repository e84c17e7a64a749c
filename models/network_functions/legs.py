"""Work of one thread of a NIC's core for a packet: segments of issue and wait, in legs."""

from __future__ import annotations

from typing import NamedTuple


class Segment(NamedTuple):
    """Work of a NIC's core, then a wait of its thread.

    uses: engine, its service time, and the backlog of the engine that the thread need not wait for
    (0 for reads; writes and additions are posted). issue_s_per_byte: of the packet, more.
    """

    issue_s: float
    wait_s: float
    uses: tuple[tuple[int, float, float], ...]
    issue_s_per_byte: float = 0.0


class Leg(NamedTuple):
    """Work of one thread of a core, then of an accelerator (an engine; -1 for none)."""

    segments: tuple[Segment, ...]
    accelerator: int
    accelerator_s_per_byte: float


class Draft:
    """Legs in the making."""

    def __init__(self, cycle_s: float, posted: int, burst: int) -> None:
        self.issue = self.byte_cycles = 0.0
        self._cycle_s = cycle_s
        self._posted = posted
        self._burst = burst
        self._uses: dict[int, list[float]] = {}
        self._segments: list[Segment] = []
        self._legs: list[Leg] = []

    def use(self, engine: int, service_s: float, waited: bool, operation_s: float) -> None:
        """Operations of an engine by the end of the present segment."""
        if service_s > 0.0:
            slack = self._posted * operation_s * self._burst
            entry = self._uses.setdefault(engine, [0.0, slack])
            entry[0] += service_s * self._burst
            entry[1] = 0.0 if waited else min(entry[1], slack)

    def wait(self, cycles: float) -> None:
        """The segment ends with a wait."""
        uses = tuple((engine, *entry) for engine, entry in self._uses.items())
        issue_s, byte_s = self.issue * self._cycle_s, self.byte_cycles * self._cycle_s
        self._segments.append(Segment(issue_s, cycles * self._cycle_s, uses, byte_s))  # type: ignore[arg-type]
        self.issue = self.byte_cycles = 0.0
        self._uses = {}

    def accelerate(self, engine: int, s_per_byte: float) -> None:
        """The leg ends at an accelerator."""
        self._close(engine, s_per_byte)

    def legs(self) -> tuple[Leg, ...]:
        """All legs."""
        if self.issue or self.byte_cycles or self._uses or self._segments:
            self._close(-1, 0.0)
        return tuple(self._legs)

    def _close(self, engine: int, s_per_byte: float) -> None:
        if self.issue or self.byte_cycles or self._uses:
            self.wait(0.0)
        self._legs.append(Leg(tuple(self._segments), engine, s_per_byte))
        self._segments = []
