"""The runtime: watches the traffic, asks the policy, has its decisions carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import inf

import simpy

from models.hardware.cpu_spec import CpuSpec
from models.hardware.smartnic_spec import SmartNicSpec
from models.network_functions.cost_model import CostModel, NoPath, PlanCost
from models.network_functions.finding import Finding
from models.network_functions.packet_stack import PacketStack
from models.network_functions.plan import Plan
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile
from policies.partition.contract import Decision, Partition
from sim.core.errors import CapacityError
from sim.core.result import Value
from sim.core.simulation import Simulation
from sim.dataplane.carrier import Carrier, Totals
from sim.dataplane.change_time import change_s
from sim.dataplane.facts import EpochEnded, PlanCarriedOut, PlanDecided
from sim.dataplane.limits import QueueLimits
from sim.dataplane.monitor import Monitor
from sim.dataplane.pcie import PcieShare
from sim.dataplane.provision import Provision
from sim.dataplane.transition import PricedStage, Stage, stages


class Runtime:
    """What a partition policy sees (`PartitionView`), and the loop around it.

    Every epoch the counters are read, the estimate of the traffic and the cores that poll follow;
    each `interval_s` the policy decides (None: never after the start), and the search takes its
    time on a host core before the decision counts. learn: flows take the places of those that
    ended at the NIC as the sketch finds them; else the data path knows the popular ones by rank.
    """

    def __init__(
        self,
        simulation: Simulation,
        name: str,
        *,
        program: Program,
        nic: SmartNicSpec,
        cpu: CpuSpec,
        stack: PacketStack,
        limits: QueueLimits,
        policy: Partition,
        monitor: Monitor,
        cores: int,
        interval_s: float | None,
        learn: bool,
        npu_model: str,
    ) -> None:
        self.program = program
        self.nic = nic
        self.cpu = cpu
        self.stack = stack
        self._limits = limits
        self.cores: float = float(cores)
        self.plan: Plan | None = None
        #: What sets the plan's highest rate, as it was decided.
        self.bound_by = ""
        self.overloaded = False
        self.hit_share: float | None = None
        self.decisions = 0
        self.plans = 0
        self.nodes = 0
        self.search_s = 0.0
        self._simulation = simulation
        self._name = name
        self._policy = policy
        self._monitor = monitor
        self._interval_s = interval_s
        self._learn = learn
        settings = monitor.settings
        # What was counted is looked at when the epoch is over.
        self.finding = Finding(settings.sample, 0.5 * settings.interval_s) if learn else None
        self._npu_model = npu_model
        self._told_epochs = simulation.listeners(EpochEnded)
        self._told_plans = simulation.listeners(PlanDecided)
        self._told_changes = simulation.listeners(PlanCarriedOut)
        self._epochs = 0
        self._dropped = 0.0
        self._deciding = False
        self._true_profile: Callable[[], TrafficProfile] | None = None

    # What the policy sees

    @property
    def profile(self) -> TrafficProfile:
        """The traffic as estimated; as it is, for an oracle."""
        return self._monitor.profile if self._true_profile is None else self._true_profile()

    def change_s(self, plan: Plan) -> float:
        """Estimated seconds from the plan in force to this one; see `change_time`."""
        assert self.plan is not None
        if self._true_profile is not None:
            return 0.0
        return self._way(self.plan, plan)[1]

    def _way(self, before: Plan, plan: Plan) -> tuple[list[Stage], float]:
        """Stages from a plan to another, and the seconds that they take: flow by flow; where that
        would not end, all at once, if that does."""
        model, cost = self._model(), self.price(before)
        held = float(self._carrier.offloaded)

        def way(possible: Callable[[Plan], bool]) -> tuple[list[Stage], float]:
            found = stages(self.program, self.profile, before, plan, possible)
            return found, change_s(model, cost, found, held, self._limits, found=self._learn)

        by_flow = way(self._possible)
        if by_flow[1] < inf:
            return by_flow
        at_once = way(lambda _: False)
        return at_once if at_once[1] < inf else by_flow

    def member_rates(self) -> Mapping[int, float]:
        """Estimated packets a second of the slowest offloaded flows."""
        return self._monitor.rates(
            self._carrier.slowest(self._monitor.candidates), self._simulation.now
        )

    def candidate_rates(self) -> Mapping[int, float]:
        """Estimated packets a second of the heaviest flows that are not offloaded."""
        return self._monitor.candidate_rates(self._carrier, self._simulation.now)

    # The loop

    def first(self) -> PlanCost:
        """The plan before the first packet."""
        decision = self._policy.decide(self, self._simulation.now)
        if decision.plan is None:
            raise CapacityError(f"{self._name}: the policy gives no plan to begin with")
        self.nodes += decision.nodes
        cost = self._follow(decision.plan)
        now = self._simulation.now
        self._tell(PlanDecided(now, now, decision.plan, decision.nodes, self.bound_by, self._name))
        return cost

    def start(
        self,
        carrier: Carrier,
        provision: Provision,
        fixed: bool,
        pcie: PcieShare,
        true_profile: Callable[[], TrafficProfile] | None = None,
    ) -> None:
        """Watch this path from now on. fixed: the cores that poll stay as they are. true_profile:
        for an oracle, which sees the traffic as it is."""
        self._true_profile = true_profile
        self._pcie = pcie
        self._fixed = fixed
        self._carrier = carrier
        self._provision = provision
        self._before = self._seen = carrier.totals(self._simulation.now)
        self._monitor.decided(self._simulation.now, self._offloaded)
        self._start_s = self._simulation.now
        self._next(1)
        if self._interval_s is not None:
            self._simulation.at(self._start_s + self._interval_s, self._decide)

    def price(self, plan: Plan) -> PlanCost:
        """What a plan costs under the present estimate. Raises CapacityError where it cannot be."""
        plan.check(self.program)
        cost = self._model().cost(plan)
        if isinstance(cost, NoPath):
            lacks = (
                f"; {self.nic.name} has no accelerator {name} for block {block}"
                for block, name in self._model().lacking.items()
            )
            raise CapacityError(f"{self._name}: plan {plan}: {cost.reason}{''.join(lacks)}")
        return cost

    def _possible(self, plan: Plan) -> bool:
        return not isinstance(self._model().cost(plan), NoPath)

    def _model(self) -> CostModel:
        return CostModel(
            program=self.program,
            profile=self.profile,
            nic=self.nic,
            cpu=self.cpu,
            stack=self.stack,
            cores=self.cores,
            npu_model=self._npu_model,
        )

    def figures(self) -> dict[str, Value]:
        """Figures at the end of a run."""
        assert self.plan is not None
        figures: dict[str, Value] = {
            "plan": self.plan.label,
            "bound_by": self.bound_by,
            "offloaded_flows": self._carrier.offloaded,
            "decisions": self.decisions,
            "plans": self.plans,
            "search_nodes": self.nodes,
            "search_s": self.search_s,
        }
        lacking = self._model().lacking
        if lacking:
            figures["no_accelerator"] = ", ".join(f"{b} ({name})" for b, name in lacking.items())
        return figures

    def _next(self, number: int) -> None:
        self._epochs = number
        at_s = self._start_s + number * self._monitor.settings.interval_s
        self._simulation.at(at_s, self._epoch)

    def _epoch(self, _: simpy.Event) -> None:
        now = self._simulation.now
        before, totals = self._before, self._carrier.totals(now)
        self._before = totals
        lasted_s = self._monitor.settings.interval_s
        self._monitor.epoch(now, totals, self._carrier)
        self._carrier.merge(now)
        busy = (totals.work_s - before.work_s) / lasted_s
        if self._told_epochs:
            fact = EpochEnded(
                now - lasted_s,
                now,
                (totals.arrived - before.arrived) / lasted_s,
                (totals.left - before.left) / lasted_s,
                (totals.all_dropped - before.all_dropped) / lasted_s,
                busy,
                self._provision.count,
                self._carrier.offloaded,
                self._name,
            )
            for listener in self._told_epochs:
                listener(fact)
        self._pcie.want((totals.crossing_bytes - before.crossing_bytes) / lasted_s)
        lost = totals.dropped["ring"] - before.dropped["ring"]
        pressure = self._pressure(before, totals, lost)
        moved = (totals.memory_bytes - before.memory_bytes) / lasted_s
        self._provision.fetch(moved, busy, pressure)
        if not self._fixed:
            self._provision.adjust(busy * pressure, lost > 0.0)
        if self._learn:
            self._refill(now)
            if self._interval_s is None:
                # Nobody decides, so that what was counted would never be forgotten.
                self._monitor.decided(now, self._offloaded)
                self._carrier.forget_hits(now)
        if not self._carrier.idle:
            self._next(self._epochs + 1)

    @staticmethod
    def _pressure(before: Totals, totals: Totals, lost: float) -> float:
        """Packets for the host, those lost at its rings among them, for each that came there."""
        packets = totals.arrived - before.arrived
        if not lost or not packets:
            return 1.0
        mean_bytes = (totals.arrived_bytes - before.arrived_bytes) / packets
        came = (totals.crossed_bytes - before.crossed_bytes) / mean_bytes
        return (came + lost) / came if came else 2.0

    def _refill(self, now: float) -> None:
        """Flows for free places at the NIC, the heaviest first."""
        plan = self.plan
        if plan is None or not plan.split or self._carrier.changing:
            return
        free = int(min(plan.offloaded, self.profile.flows)) - self._carrier.offloaded
        if free > 0:
            coming = self._monitor.heaviest(self._carrier, free, now)
            self._carrier.move(now, dict.fromkeys(coming, True))

    def _decide(self, _: simpy.Event) -> None:
        assert self._interval_s is not None
        now = self._simulation.now
        if self._carrier.idle:
            return
        self._simulation.at(now + self._interval_s, self._decide)
        if self._deciding or self._carrier.changing:
            return
        totals = self._carrier.totals(now)
        self.overloaded = totals.all_dropped > self._dropped
        self._dropped = totals.all_dropped
        established = totals.established - self._seen.established
        hits = totals.hits - self._seen.hits
        self.hit_share = hits / established if established else None
        decision = self._policy.decide(self, now)
        self.decisions += 1
        self.nodes += decision.nodes
        core_s = decision.nodes * self.stack.search_node_cycles / self.cpu.clock_hz
        if core_s == 0.0:
            self._carry_out(now, decision)
            return
        self._deciding = True
        search = self._provision.cpu.task(core_seconds=core_s, tenant=f"{self._name} search")

        def found(event: simpy.Event) -> None:
            self._deciding = False
            if event.ok:
                self.search_s += self._simulation.now - now
                self._carry_out(now, decision)
            else:
                event.defused = True

        assert search.callbacks is not None
        search.callbacks.append(found)

    def _carry_out(self, asked_s: float, decision: Decision) -> None:
        now = self._simulation.now
        before, plan = self.plan, decision.plan
        if plan is not None and plan != before:
            assert before is not None
            way, _ = self._way(before, plan)
            cost = self._follow(plan)
            self._tell(PlanDecided(asked_s, now, plan, decision.nodes, self.bound_by, self._name))
            carried_out = partial(self._carried_out, now, plan)
            if plan.sides == before.sides and plan.split and plan.on_nic == before.on_nic:
                self._carrier.retune(now, cost)
                carried_out(now)
            else:
                priced = [PricedStage(self.price(each.plan), *each[1:]) for each in way]
                self._carrier.change(now, priced, carried_out)
            if not self._fixed and not self._provision.count:
                self._provision.take(1)
        elif decision.swaps:
            moves: dict[int, bool] = {}
            for out, into in decision.swaps:
                moves[out], moves[into] = False, True
            self._carrier.move(now, moves)
        self._monitor.decided(now, self._offloaded)
        self._carrier.forget_hits(now)
        self._seen = self._carrier.totals(now)

    @property
    def _offloaded(self) -> float:
        return 0.0 if self.plan is None else self.plan.offloaded

    def _carried_out(self, start_s: float, plan: Plan, end_s: float) -> None:
        self._seen = self._carrier.totals(end_s)
        for listener in self._told_changes:
            listener(PlanCarriedOut(start_s, end_s, plan, self._name))

    def _tell(self, fact: PlanDecided) -> None:
        for listener in self._told_plans:
            listener(fact)

    def _follow(self, plan: Plan) -> PlanCost:
        cost = self.price(plan)
        self.plan = plan
        self.bound_by = cost.bound_by(self.cores)
        self.plans += 1
        return cost
