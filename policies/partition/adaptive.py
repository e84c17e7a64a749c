"""Cora with its runtime: the plan follows the traffic."""

from __future__ import annotations

from models.checks import at_least, between, positive, whole
from models.errors import ConfigError
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import SPLIT, Plan
from policies.partition.compiled import Compiled, model_of
from policies.partition.contract import Decision, PartitionView
from policies.partition.goals import NO_SCORE, Goal, HighestRate
from policies.partition.members import swaps
from policies.partition.search import BranchAndBound, Found


class Adaptive(Compiled):
    """Three answers to a change, the cheapest that serves.

    Swap single flows whose order changed, or offload another number of flows with the same sides,
    where that earns `margin` times the cost of moving their entries within `payback_s`. Search
    anew, and take the plan where it scores better by more than the share `saving` in `patience`
    decisions on end; at once where the plan in force does not serve, or where packets were dropped
    and the new one is better. Where no plan holds the rate, plans are judged by their highest rate.

    Plans that split states are priced by the share of the packets of their flows that was seen to
    hit, since flows may end before they are found; what was seen of a plan that is no more in force
    is forgotten by the share `recovery` at each decision.
    """

    def __init__(
        self,
        goal: Goal,
        npu_model: str = "asymptotic",
        *,
        saving: float,
        patience: int,
        margin: float,
        payback_s: float,
        recovery: float,
    ) -> None:
        super().__init__(goal, npu_model)
        if not at_least("partition: saving", saving, 0.0) < 1.0:
            raise ConfigError(f"partition: saving is {saving!r}; it must be in [0, 1), a share")
        self.saving = saving
        self.patience = whole("partition: patience", patience)
        self.margin = at_least("partition: margin", margin, 1.0)
        self.payback_s = positive("partition: payback_s", payback_s)
        self.recovery = between("partition: recovery", recovery, 0.0, 1.0)
        self._better = 0
        self._reach = 1.0

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        plan = view.plan
        if plan is None:
            return super().decide(view, now_s)
        self._look(view, plan)
        model = self.model(view)
        found = self.search(view)
        assert found.cost is not None
        goal = self.goal if found.score != NO_SCORE else HighestRate()
        offered = goal.score(model, found.cost.host_s, found.cost.nic_s)
        cost = model.cost(plan)
        present = NO_SCORE
        if isinstance(cost, PlanCost):
            present = goal.score(model, cost.host_s, cost.nic_s)
        worth = offered[0] < present[0] * (1.0 - self.saving)
        self._better = self._better + 1 if worth else 0
        urgent = present == NO_SCORE or (view.overloaded and offered[0] < present[0])
        nodes = found.nodes + 1
        if self._better >= self.patience or (urgent and offered < present):
            self._better = 0
            return Decision(plan=found.cost.plan, nodes=nodes)
        if not plan.split or not isinstance(cost, PlanCost):
            return Decision(nodes=nodes)
        tuned = self._tuned(model, goal, plan)
        nodes += tuned.nodes
        if tuned.cost is not None:
            moved = abs(tuned.cost.plan.offloaded - plan.offloaded)
            earned_s = (present[0] - tuned.score[0]) * view.profile.rate_pps * self.payback_s
            if earned_s > self.margin * moved * self._move_s(model, plan):
                return Decision(plan=tuned.cost.plan, nodes=nodes)
        return Decision(swaps=self._swaps(view, model, cost), nodes=nodes)

    def model(self, view: PartitionView) -> CostModel:
        return model_of(view, self.npu_model, self._reach)

    def _look(self, view: PartitionView, plan: Plan) -> None:
        """See how much of what the plan promises is reached."""
        if not plan.split:
            self._reach += self.recovery * (1.0 - self._reach)
        elif view.hit_share is not None:
            self._reach = min(1.0, view.hit_share / view.profile.head_share(plan.offloaded))

    @staticmethod
    def _tuned(model: CostModel, goal: Goal, plan: Plan) -> Found:
        """The best plan with the same sides."""
        named = {
            state.name: side for state, side in zip(model.program.states, plan.sides, strict=True)
        }
        return BranchAndBound(model, goal, lambda state: named[state.name], whole=plan.whole).run()

    @staticmethod
    def _move_s(model: CostModel, plan: Plan) -> float:
        """Host time to move the entries of one flow."""
        entries = sum(
            state.entries_per_flow or 0.0
            for state, side in zip(model.program.states, plan.sides, strict=True)
            if side == SPLIT
        )
        return entries * model.stack.move_cycles / model.cpu.clock_hz

    def _swaps(
        self, view: PartitionView, model: CostModel, cost: PlanCost
    ) -> list[tuple[int, int]]:
        """Flows to exchange; a packet of an offloaded flow saves what it would cost the host."""
        sides = cost.plan.sides
        hit, miss = (model.host.path_cycles(cost.paths[packet], sides) for packet in ("EH", "EM"))
        return swaps(
            view.member_rates(),
            view.candidate_rates(),
            saved_s=(miss - hit) / view.cpu.clock_hz,
            cost_s=2.0 * self._move_s(model, cost.plan),
            horizon_s=self.payback_s,
            margin=self.margin,
        )


class Oracle(Compiled):
    """The best plan for the profile at every decision, taken at once: an upper bound where the
    system gives it the true profile and moves entries for free."""

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        found = self.search(view)
        assert found.cost is not None
        changed = found.cost.plan != view.plan
        return Decision(plan=found.cost.plan if changed else None, nodes=found.nodes)


__all__ = ["Adaptive", "Oracle"]
