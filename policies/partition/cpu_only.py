"""A baseline: everything on the host."""

from __future__ import annotations

from models.network_functions.plan import CPU, Plan
from policies.partition.contract import Decision, PartitionView


class CpuOnly:
    """All states and blocks at the host; the NIC forwards."""

    keeps_plan = True

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        if view.plan is not None:
            return Decision()
        program = view.program
        return Decision(plan=Plan(CPU * len(program.states), 0.0, (False,) * len(program.blocks)))
