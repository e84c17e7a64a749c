"""An offloading plan: which side has each state, how many flows are offloaded, what runs where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import ConfigError
from models.network_functions.program import Program

#: Where a state's entries are: all at the host's CPU, all at the NIC, split by flow (those of the
#: offloaded flows at the NIC), or a copy at both.
CPU, NIC, SPLIT, BOTH = "C", "N", "S", "R"


@dataclass(frozen=True, slots=True, order=True)
class Plan:
    """sides: one letter for each state of the program, in its order. offloaded: flows whose
    entries of split states are at the NIC, the most popular ones; 0 where no state is split.
    on_nic: for each block, whether it runs on the NIC wherever its states permit.
    whole: a packet that needs the host is processed wholly there, not before and after on the NIC.
    """

    sides: str
    offloaded: float
    on_nic: tuple[bool, ...]
    whole: bool = False

    @property
    def split(self) -> bool:
        """Whether any state is split by flow."""
        return SPLIT in self.sides

    @property
    def label(self) -> str:
        """The sides, and the number of offloaded flows where a state is split."""
        return f"{self.sides} {self.offloaded:g}" if self.split else self.sides

    def counts_flows(self, program: Program) -> bool:
        """Whether the NIC has an entry for every flow, with a counter."""
        return any(
            state.per_flow and side in (NIC, BOTH)
            for state, side in zip(program.states, self.sides, strict=True)
        )

    def side(self, program: Program, state: str) -> str:
        """Letter of a state's side."""
        return self.sides[[known.name for known in program.states].index(state)]

    def check(self, program: Program) -> None:
        """Raise ConfigError where the plan is none for the program."""
        where = f"plan for {program.name}"
        if len(self.sides) != len(program.states):
            raise ConfigError(f"{where}: {self.sides!r} for {len(program.states)} states")
        if len(self.on_nic) != len(program.blocks):
            raise ConfigError(
                f"{where}: on_nic has {len(self.on_nic)} entries for {len(program.blocks)} blocks"
            )
        for side, state in zip(self.sides, program.states, strict=True):
            if side not in state.options:
                raise ConfigError(
                    f"{where}: state {state.name} on side {side!r}; it may be one of "
                    f"{', '.join(state.options)}"
                )
        if self.split != (self.offloaded > 0.0):
            raise ConfigError(
                f"{where}: {self.offloaded:g} flows offloaded with sides {self.sides!r}; a number "
                "above 0 goes with a split state, and 0 with none"
            )


def plan(
    program: Program, sides: str, offloaded: float = 0.0, off: Sequence[str] = (), **whole: bool
) -> Plan:
    """A checked plan in which all blocks but those named in `off` run on the NIC where they can.

    Raises ConfigError for an unknown block or a side that a state may not be on."""
    names = [block.name for block in program.blocks]
    for name in off:
        if name not in names:
            raise ConfigError(
                f"plan for {program.name}: no block {name}; there are {', '.join(names)}"
            )
    made = Plan(sides, offloaded, tuple(name not in off for name in names), **whole)
    made.check(program)
    return made
