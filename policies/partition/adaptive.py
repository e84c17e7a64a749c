"""Cora with its runtime: the plan follows the traffic."""

from __future__ import annotations

from models.checks import at_least, between, positive, whole
from models.errors import ConfigError
from models.network_functions.cost_model import CostModel, NoPath, PlanCost
from models.network_functions.plan import SPLIT, Plan
from policies.partition.compiled import Compiled, model_of, reach_of
from policies.partition.contract import Decision, PartitionView
from policies.partition.goals import NO_SCORE, Goal, HighestRate, Score
from policies.partition.members import swaps
from policies.partition.search import BranchAndBound, Found


class Adaptive(Compiled):
    """Three answers to a change, the cheapest that serves.

    Swap single flows whose order changed, or offload another number of flows with the same sides,
    where that earns `margin` times the cost of moving their entries within `payback_s`. Search
    anew, and take the plan where it scores better by more than the share `saving` in `patience`
    decisions on end; at once where the plan in force does not serve, or where packets were dropped
    and the new one is better. Where no plan holds the rate, plans are judged by their highest rate.

    A plan is taken only where the change takes at most `most_change_s`: else the next best with the
    same sides, or none, until the traffic lets it.

    Plans that split states are priced by the packets of their flows that can be found in time, and
    of these by the share that was seen to hit. That is seen apart of plans for all flows, which
    need not be found, and of the others; it is forgotten by the share `recovery` at each decision
    where no such plan is in force.
    """

    keeps_plan = False

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
        most_change_s: float,
    ) -> None:
        super().__init__(goal, npu_model)
        if not at_least("partition: saving", saving, 0.0) < 1.0:
            raise ConfigError(f"partition: saving is {saving!r}; it must be in [0, 1), a share")
        self.saving = saving
        self.patience = whole("partition: patience", patience)
        self.margin = at_least("partition: margin", margin, 1.0)
        self.payback_s = positive("partition: payback_s", payback_s)
        self.recovery = between("partition: recovery", recovery, 0.0, 1.0)
        self.most_change_s = positive("partition: most_change_s", most_change_s)
        self._better = 0
        #: Of the hits that can be reached, those seen: of plans for some flows, and for all.
        self._seen = [1.0, 1.0]

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
        present = self._present(model, goal, cost)
        worth = offered[0] < present[0] * (1.0 - self.saving)
        self._better = self._better + 1 if worth else 0
        urgent = present == NO_SCORE or (view.overloaded and offered[0] < present[0])
        nodes = found.nodes + 1
        if (self._better >= self.patience or (urgent and offered < present)) and self._in_time(
            view, found.cost.plan
        ):
            self._better = 0
            return Decision(plan=found.cost.plan, nodes=nodes)
        if not plan.split or not isinstance(cost, PlanCost):
            return Decision(nodes=nodes)
        tuned = self._tuned(model, goal, plan)
        nodes += tuned.nodes
        if tuned.cost is not None:
            moved = abs(tuned.cost.plan.offloaded - plan.offloaded)
            earned_s = (present[0] - tuned.score[0]) * view.profile.rate_pps * self.payback_s
            if earned_s > self.margin * moved * self._move_s(model, plan) and self._in_time(
                view, tuned.cost.plan
            ):
                return Decision(plan=tuned.cost.plan, nodes=nodes)
        return Decision(swaps=self._swaps(view, model, cost), nodes=nodes)

    def model(self, view: PartitionView) -> CostModel:
        return model_of(view, self.npu_model, reach_of(view, *self._seen))

    def _look(self, view: PartitionView, plan: Plan) -> None:
        """See how much of what the plan can reach is reached."""
        kind = int(plan.offloaded >= view.profile.flows)
        for i, seen in enumerate(self._seen):
            if not plan.split or i != kind:
                self._seen[i] = seen + self.recovery * (1.0 - seen)
            elif view.hit_share is not None:
                promised = view.profile.head_share(plan.offloaded)
                promised *= reach_of(view).part(plan.offloaded)
                self._seen[i] = min(1.0, view.hit_share / promised)

    @staticmethod
    def _present(model: CostModel, goal: Goal, cost: PlanCost | NoPath) -> Score:
        """Score of the plan in force. A flow that finds no room in the insertion channel stays at
        the host: that is seen in the hits, and stops no packet."""
        if isinstance(cost, NoPath):
            return NO_SCORE
        moves_s = model.moves(cost.plan.sides, cost.plan.offloaded) / model.nic.inserts_per_s
        busiest_s = max(
            seconds - moves_s * (key == "inserts") for key, seconds in cost.nic.seconds.items()
        )
        return goal.score(model, cost.host_s, busiest_s)

    def _in_time(self, view: PartitionView, plan: Plan) -> bool:
        return view.change_s(plan) <= self.most_change_s

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

    keeps_plan = False

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        found = self.search(view)
        assert found.cost is not None
        changed = found.cost.plan != view.plan
        return Decision(plan=found.cost.plan if changed else None, nodes=found.nodes)


__all__ = ["Adaptive", "Oracle"]
