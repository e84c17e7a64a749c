"""A baseline: everything on the NIC."""

from __future__ import annotations

from itertools import product

from models.errors import CapacityError
from models.network_functions.cost_model import PlanCost
from models.network_functions.plan import BOTH, NIC, Plan
from policies.partition.compiled import model_of
from policies.partition.contract import Decision, PartitionView


class NicOnly:
    """All states at the NIC, or copied; only first and last packets of flows, which insert and
    remove entries, may go to the host. Where the rate is too high for it, packets are dropped.

    npu_model: as of the cost model.
    """

    keeps_plan = True

    def __init__(self, npu_model: str = "asymptotic") -> None:
        self.npu_model = npu_model

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        if view.plan is not None:
            return Decision()
        model = model_of(view, self.npu_model)
        program = view.program
        every = (True,) * len(program.blocks)
        served: list[tuple[float, float, Plan]] = []
        nodes = 0
        options = (NIC + (BOTH if state.replicable else "") for state in program.states)
        for sides in product(*options):
            nodes += 1
            cost = model.cost(Plan("".join(sides), 0.0, every))
            if isinstance(cost, PlanCost) and not cost.paths["EM"].crosses:
                served.append((cost.nic_s, cost.host_s, cost.plan))
        if not served:
            raise CapacityError(
                f"NicOnly: {program.name} has a block that {view.nic.name} cannot run, or a state "
                "that does not fit; some of it must be on the host"
            )
        return Decision(plan=min(served)[2], nodes=nodes)
