"""Cora with its runtime: the plan follows the traffic."""

from __future__ import annotations

from models.errors import ConfigError
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import SPLIT, Plan
from policies.partition.compiled import Compiled, model_of
from policies.partition.contract import Decision, PartitionView
from policies.partition.goals import NO_SCORE, Goal, Score
from policies.partition.members import swaps
from policies.partition.search import BranchAndBound, Found


class Adaptive(Compiled):
    """Three answers to a change, the cheapest that serves.

    Swap single flows whose order changed, where that saves more than `swap_margin` times its cost
    until the next decision; offload another number of flows with the same sides; search anew, and
    take the plan where it scores better by more than the share `saving` in `patience` decisions on
    end, or at once when packets were dropped. Moving a few flows is worth less than `retune` as a
    share of the score, and is left.

    interval_s: between decisions.
    """

    def __init__(
        self,
        goal: Goal,
        npu_model: str = "asymptotic",
        *,
        saving: float,
        patience: int,
        retune: float,
        swap_margin: float,
        interval_s: float,
    ) -> None:
        super().__init__(goal, npu_model)
        for key, value in (("saving", saving), ("retune", retune)):
            if not 0.0 <= value < 1.0:
                raise ConfigError(f"partition: {key} is {value!r}; it must be in [0, 1), a share")
        if patience < 1:
            raise ConfigError(f"partition: patience is {patience!r}; it must be at least 1")
        if not swap_margin >= 1.0:
            raise ConfigError(f"partition: swap_margin is {swap_margin!r}; it must be at least 1")
        if not interval_s > 0.0:
            raise ConfigError(f"partition: interval_s is {interval_s!r}; it must be above 0")
        self.saving = saving
        self.patience = patience
        self.retune = retune
        self.swap_margin = swap_margin
        self.interval_s = interval_s
        self._better = 0

    def decide(self, view: PartitionView, now_s: float) -> Decision:
        plan = view.plan
        if plan is None:
            return super().decide(view, now_s)
        model = model_of(view, self.npu_model)
        present = self._score(model, plan)
        found = self.search(view)
        assert found.cost is not None
        nodes = found.nodes + 1
        worth = self._worth(present, found.score, self.saving)
        self._better = self._better + 1 if worth else 0
        differs = found.cost.plan != plan
        if differs and (self._better >= self.patience or view.overloaded or present == NO_SCORE):
            self._better = 0
            return Decision(plan=found.cost.plan, nodes=nodes)
        if plan.split:
            tuned = self._tuned(model, plan)
            nodes += tuned.nodes
            if tuned.cost is not None and self._worth(present, tuned.score, self.retune):
                return Decision(plan=tuned.cost.plan, nodes=nodes)
            return Decision(swaps=self._swaps(view, model, plan), nodes=nodes)
        return Decision(nodes=nodes)

    def _score(self, model: CostModel, plan: Plan) -> Score:
        cost = model.cost(plan)
        if not isinstance(cost, PlanCost):
            return NO_SCORE
        return self.goal.score(model, cost.host_s, cost.nic_s)

    @staticmethod
    def _worth(present: Score, offered: Score, share: float) -> bool:
        return offered < present and offered[0] < present[0] * (1.0 - share)

    def _tuned(self, model: CostModel, plan: Plan) -> Found:
        """The best plan with the same sides."""
        named = {
            state.name: side for state, side in zip(model.program.states, plan.sides, strict=True)
        }
        return BranchAndBound(
            model, self.goal, lambda state: named[state.name], whole=plan.whole
        ).run()

    def _swaps(self, view: PartitionView, model: CostModel, plan: Plan) -> list[tuple[int, int]]:
        """Flows to exchange. A packet saves what one of its flow costs the host else."""
        cost = model.cost(plan)
        assert isinstance(cost, PlanCost)
        hit, miss = (model.host.path_cycles(cost.paths[kind], plan.sides) for kind in ("EH", "EM"))
        entries = sum(
            state.entries_per_flow or 0.0
            for state, side in zip(model.program.states, plan.sides, strict=True)
            if side == SPLIT
        )
        cycle_s = 1.0 / view.cpu.clock_hz
        return swaps(
            view.member_rates(),
            view.candidate_rates(),
            saved_s=(miss - hit) * cycle_s,
            cost_s=2.0 * entries * view.stack.move_cycles * cycle_s,
            horizon_s=self.interval_s,
            margin=self.swap_margin,
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
