"""Plans from a search over a family of plans: Cora's compiler and the ways it is compared with.

Each compiles once, for the profile estimated before the first packet, and keeps the plan.
"""

from __future__ import annotations

from models.errors import CapacityError
from models.network_functions.cost_model import CostModel
from models.network_functions.finding import Reach
from models.network_functions.plan import SPLIT
from models.network_functions.program import State
from policies.partition.contract import Decision, PartitionView
from policies.partition.goals import NO_SCORE, Goal, HighestRate
from policies.partition.search import BranchAndBound, Found, all_options, split_options


def reach_of(view: PartitionView, some: float = 1.0, everyone: float = 1.0) -> Reach:
    """What can be reached of what plans promise; some, everyone: as of `Reach`."""
    if view.finding is None:
        return Reach(view.profile, some, everyone)
    return view.finding.reach(view.profile, some, everyone)


def model_of(
    view: PartitionView,
    npu_model: str = "asymptotic",
    reach: Reach | None = None,
) -> CostModel:
    """The cost model of what a view shows."""
    return CostModel(
        program=view.program,
        profile=view.profile,
        nic=view.nic,
        cpu=view.cpu,
        stack=view.stack,
        cores=view.cores,
        npu_model=npu_model,
        reach=reach,
    )


class Compiled:
    """Cora without its runtime: the best of all plans for the goal, compiled once.

    Where no plan holds the rate, the plan with the highest rate. npu_model: as of the cost model.
    """

    #: A packet that needs the host is processed wholly there.
    whole = False
    keeps_plan = True

    def __init__(self, goal: Goal, npu_model: str = "asymptotic") -> None:
        self.goal = goal
        self.npu_model = npu_model

    def options(self, state: State) -> str:
        """Sides that the family lets a state be on."""
        return all_options(state)

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        if view.plan is not None:
            return Decision()
        found = self.search(view)
        assert found.cost is not None
        return Decision(plan=found.cost.plan, nodes=found.nodes)

    def model(self, view: PartitionView) -> CostModel:
        """What plans are priced by."""
        return model_of(view, self.npu_model, reach_of(view))

    def search(self, view: PartitionView) -> Found:
        """The best plan of the family for the view. Raises CapacityError if it has none."""
        model = self.model(view)
        found = BranchAndBound(model, self.goal, self.options, whole=self.whole).run()
        if found.cost is not None:
            return found
        fastest = BranchAndBound(model, HighestRate(), self.options, whole=self.whole).run()
        if fastest.cost is None:
            raise CapacityError(
                f"{type(self).__name__}: {view.program.name} has no plan of this family on "
                f"{view.nic.name}"
            )
        nodes = found.nodes + fastest.nodes
        return Found(fastest.cost, NO_SCORE, nodes, found.leaves + fastest.leaves)


class ByState(Compiled):
    """Each state wholly on one side, or copied; blocks follow their states."""

    def options(self, state: State) -> str:
        return state.options.replace(SPLIT, "")


class ByTraffic(Compiled):
    """Every state of flows is split by the same flows; shared states are at the host, or copied
    where they may be. `strict`: a packet is processed wholly on one side."""

    def __init__(self, goal: Goal, npu_model: str = "asymptotic", strict: bool = False) -> None:
        super().__init__(goal, npu_model)
        self.whole = strict

    def options(self, state: State) -> str:
        return split_options(state)


__all__ = ["ByState", "ByTraffic", "Compiled", "model_of", "reach_of"]
