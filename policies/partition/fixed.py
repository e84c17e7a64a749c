"""A plan given by hand."""

from __future__ import annotations

from collections.abc import Sequence

from models.checks import at_least
from models.errors import ConfigError
from models.network_functions.plan import plan
from policies.partition.contract import Decision, PartitionView


class Fixed:
    """The plan with these sides (a letter for each state, see `models.network_functions.plan`), so
    many offloaded flows where one is split, and all blocks but those of `at_host` on the NIC."""

    keeps_plan = True

    def __init__(
        self, sides: str | None = None, offloaded: float = 0.0, at_host: Sequence[str] = ()
    ) -> None:
        if not isinstance(sides, str):
            raise ConfigError(
                f"partition: sides is {sides!r}; give a letter for each state of the program, such "
                "as partition.sides=SCS for nat (partition=cpu_only has all at the host)"
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
        if self.offloaded > view.profile.flows:
            raise ConfigError(
                f"partition: offloaded is {self.offloaded:g}; the traffic has "
                f"{view.profile.flows:g} flows, give at most so many"
            )
        return Decision(plan=plan(view.program, self.sides, self.offloaded, self.at_host))
