"""A plan given by hand."""

from __future__ import annotations

from collections.abc import Sequence

from models.checks import at_least
from models.errors import ConfigError
from models.network_functions.plan import CPU, plan
from policies.partition.contract import Decision, PartitionView


class Fixed:
    """The plan with these sides (a letter for each state, see `models.network_functions.plan`;
    None for all at the host), so many offloaded flows where one is split, and all blocks but those
    of `at_host` on the NIC."""

    def __init__(
        self, sides: str | None = None, offloaded: float = 0.0, at_host: Sequence[str] = ()
    ) -> None:
        if not (sides is None or isinstance(sides, str)):
            raise ConfigError(
                f"partition: sides is {sides!r}; it must be letters, one for each state, or null"
            )
        if isinstance(at_host, str) or not all(isinstance(each, str) for each in at_host):
            raise ConfigError(
                f"partition: at_host is {at_host!r}; it must be a list of blocks, such as [parse]"
            )
        self.sides = sides
        self.offloaded = at_least("partition: offloaded", offloaded, 0.0)
        self.at_host = tuple(at_host)

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        if view.plan is not None:
            return Decision()
        sides = CPU * len(view.program.states) if self.sides is None else self.sides
        return Decision(plan=plan(view.program, sides, self.offloaded, self.at_host))
