"""The plans that are compared: the best of each way to cut a network function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments.reproduce.papers.cora.points import Case, parts, program
from models.network_functions.cost_model import PlanCost
from models.network_functions.plan import CPU, Plan
from models.network_functions.program import State
from models.network_functions.traffic import TrafficProfile, at_load
from policies.partition.compiled import ByState, ByTraffic
from policies.partition.goals import NO_SCORE, FewestCores, Goal
from policies.partition.search import BranchAndBound, all_options

PROGRAMS = (
    "nat",
    "load_balancer",
    "firewall",
    "flow_monitor",
    "heavy_hitter",
    "rate_limiter",
    "ipsec_gateway",
    "upf",
)
AGILIO, BLUEFIELD = NICS = ("agilio-cx", "bluefield-2")

CPU_ONLY, BY_STATE, BY_TRAFFIC, CORA = WAYS = ("CPU only", "by state", "by traffic", "Cora")
#: The naive ways to cut, CPU only among them: it is the plan of no cut.
NAIVE = (CPU_ONLY, BY_STATE, BY_TRAFFIC)
_OPTIONS: Mapping[str, Callable[[State], str]] = {
    BY_STATE: ByState(FewestCores()).options,
    BY_TRAFFIC: ByTraffic(FewestCores()).options,
    CORA: all_options,
}

#: Best plans by way; those without any are missing.
Plans = dict[str, PlanCost]


def traffic(
    nic: str,
    length: float = 80.0,
    exponent: float = 1.0,
    flows: float = 1e6,
    size: float = 256.0,
) -> TrafficProfile:
    """Traffic at 80 % of a port's line: packets of a flow, Zipf exponent, flows, bytes."""
    return at_load(
        load=0.8,
        line_bytes_per_s=parts(nic)["node"].smartnic.port_bandwidth_bytes_per_s,
        flows=flows,
        zipf_exponent=exponent,
        packets_per_flow=length,
        packet_bytes=size,
    )


def cpu_only(case: Case) -> PlanCost:
    """Everything at the host."""
    made = program(case.program)
    cost = case.model().cost(Plan(CPU * len(made.states), 0.0, (False,) * len(made.blocks)))
    assert isinstance(cost, PlanCost)
    return cost


def best_plans(case: Case, goal: Goal) -> Plans:
    """The best plan of each way that has one for the goal."""
    model = case.model()
    found = {}
    host = cpu_only(case)
    if goal.score(model, host.host_s, host.nic_s) != NO_SCORE:
        found[CPU_ONLY] = host
    for way, options in _OPTIONS.items():
        cost = BranchAndBound(model, goal, options).run().cost
        if cost is not None:
            found[way] = cost
    return found


def saving(case: Case, cost: PlanCost | None) -> float:
    """Percent of the host's cycles that a plan saves; none where there is no plan."""
    if cost is None:
        return 0.0
    return 100.0 * (1.0 - cost.host_cycles / cpu_only(case).host_cycles)
