"""A network function as data: blocks in order, and the states that they read and change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.network_functions.traffic import TrafficProfile

#: Classes of packets: the first of a flow, established, the last of a flow.
CLASSES = "NET"
#: How a state may be shared: read-only on the data path; additions that commute;
#: read-modify-write, which needs one owner of each entry at any time.
CONSISTENCIES = ("ro", "add", "rmw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """What one packet does to one state in one block: so many of each."""

    reads: float = 0.0
    writes: float = 0.0
    adds: float = 0.0
    inserts: float = 0.0

    @property
    def only_inserts(self) -> bool:
        """Whether it needs nothing but the insertion of entries, which a control path can do."""
        return self.inserts > 0.0 and self.reads == self.writes == self.adds == 0.0

    @property
    def count(self) -> float:
        """Operations in all."""
        return self.reads + self.writes + self.adds + self.inserts


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A table or an array of counters.

    entry_bytes: one entry, key included. One of `entries` (a fixed number) and
    `entries_per_flow` (the key contains the flow's key) is given. consistency: see CONSISTENCIES.
    """

    name: str
    entry_bytes: float
    consistency: str
    entries: float | None = None
    entries_per_flow: float | None = None

    @property
    def per_flow(self) -> bool:
        """Whether each entry belongs to one flow, so that entries may be split by flow."""
        return self.entries_per_flow is not None

    @property
    def replicable(self) -> bool:
        """Whether both sides may keep a copy."""
        return self.consistency != "rmw"

    def entries_of(self, profile: TrafficProfile) -> float:
        """Entries with that traffic."""
        if self.entries_per_flow is not None:
            return self.entries_per_flow * profile.flows
        assert self.entries is not None
        return self.entries

    @property
    def options(self) -> str:
        """Letters of the sides that it may be on, see `plan.Side`, in the order of a search."""
        return "N" + ("S" if self.per_flow else "") + ("R" if self.replicable else "") + "C"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A step of the program, executed by the packets of `classes`.

    cpu_cycles: on a host core; npu_cycles: issue cycles on a network processor's core, None where
    it cannot run on one. cycles_per_byte: of the packet, on either. accelerator: the NIC's engine
    that it needs on a NIC. match_action: an exact match on headers that rewrites, counts, meters,
    encapsulates or forwards, so that a NIC's match tables can do it.
    uses: state -> operations of a packet.
    """

    name: str
    classes: str
    cpu_cycles: float
    npu_cycles: float | None = None
    cycles_per_byte: float = 0.0
    accelerator: str | None = None
    match_action: bool = False
    uses: Mapping[str, Operations] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A network function; blocks are in topological order, each depending on the one before.

    `program_text.program` makes one from plain data and checks it; `chain.chain` joins several.
    """

    name: str
    states: tuple[State, ...]
    blocks: tuple[Block, ...]

    def state(self, name: str) -> State:
        """The state of that name. Raises KeyError if there is none."""
        for state in self.states:
            if state.name == name:
                return state
        raise KeyError(name)

    def executed(self, packet_class: str) -> tuple[int, ...]:
        """Positions of the blocks that a packet of a class executes, in order."""
        return tuple(i for i, block in enumerate(self.blocks) if packet_class in block.classes)
