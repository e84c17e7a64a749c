"""One plan in the simulator beside the cost model: its highest rate, and its use at a lower one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from models.hardware.node_spec import NodeSpec
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.plan import SPLIT, Plan, plan
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile
from policies.partition.contract import Partition
from policies.partition.fixed import Fixed
from sim.core.simulation import Simulation
from sim.dataplane.dataplane import DataPlane
from sim.hardware.cluster import Cluster, NodeCount
from workloads.packets.zipf_flows import ZipfFlows

#: Bursts that a run simulates, and the part of it that is not counted.
BURSTS = 20_000
WARM_UP = 0.4
#: Load of the run at which use is compared, as a share of the predicted highest rate.
LOAD = 0.7


@cache
def parts(nic: str) -> dict[str, Any]:
    """Node, stack, limits and monitor from the catalogue."""
    from experiments.compose import compose
    from sim.core.run import instantiate

    config = compose(["experiment=cora", f"smartnic={nic}"])
    keys = ("node", "stack", "queue_limits", "traffic_monitor")
    return {key: instantiate(key, config[key]) for key in keys}


@cache
def program(name: str) -> Program:
    """A program of the catalogue."""
    from experiments.compose import compose
    from sim.core.run import instantiate

    made = instantiate("program", compose(["experiment=cora", f"program={name}"])["program"])
    assert isinstance(made, Program)
    return made


@dataclass(frozen=True)
class Case:
    """A program under a traffic, on a NIC and a host of 32 cores."""

    program: str
    nic: str
    profile: TrafficProfile

    def model(self, npu_model: str = "asymptotic") -> CostModel:
        """The cost model."""
        found = parts(self.nic)
        return CostModel(
            program=program(self.program),
            profile=self.profile,
            nic=found["node"].smartnic,
            cpu=found["node"].host_cpu,
            stack=found["stack"],
            npu_model=npu_model,
        )

    def under(self, plan: Plan) -> Point:
        """The same with a plan."""
        blocks = program(self.program).blocks
        off = tuple(block.name for block, on in zip(blocks, plan.on_nic, strict=True) if not on)
        return Point(self.program, self.nic, self.profile, plan.sides, plan.offloaded, off)


@dataclass(frozen=True)
class Point(Case):
    """A case with a plan. at_host: blocks that do not run on the NIC where they could."""

    sides: str
    offloaded: float
    at_host: tuple[str, ...] = ()

    def cost(self, npu_model: str = "asymptotic") -> PlanCost:
        """What the plan costs."""
        made = plan(program(self.program), self.sides, self.offloaded, self.at_host)
        cost = self.model(npu_model).cost(made)
        assert isinstance(cost, PlanCost)
        return cost


def highest_pps(cost: PlanCost, cores: int = 32) -> float:
    """Highest rate with every resource used up, those cores of the host too."""
    return 1.0 / max(cost.nic_s, cost.host_s / cores)


def simulate(
    point: Point,
    rate_pps: float,
    *,
    window: int | None = None,
    burst: int = 8,
    bursts: int = BURSTS,
    seed: int = 1,
    **settings: Any,
) -> dict[str, float]:
    """Figures of a run at a rate, or with a window."""
    profile = replace(point.profile, rate_pps=rate_pps)
    return run_system(
        program(point.program),
        Fixed(point.sides, point.offloaded, point.at_host),
        profile,
        parts(point.nic)["node"],
        duration_s=bursts * burst / rate_pps,
        window=window,
        burst=burst,
        seed=seed,
        **settings,
    )


def run_system(
    made: Program,
    partition: Partition,
    profile: TrafficProfile,
    node: NodeSpec,
    *,
    duration_s: float,
    burst: int,
    window: int | None = None,
    seed: int = 1,
    **settings: Any,
) -> dict[str, float]:
    """Figures of a data path; 32 host cores in one pool unless `settings` say otherwise."""
    found = parts("agilio-cx")
    system = DataPlane(
        program=made,
        packets=ZipfFlows(profile, burst=burst),
        traffic=profile,
        partition=partition,
        stack=found["stack"],
        limits=found["queue_limits"],
        monitor=found["traffic_monitor"],
        burst=burst,
        window=window,
        warm_up_s=WARM_UP * duration_s,
        **{"fixed_cores": 32, "steering": "any", **settings},
    )
    simulation = Simulation(seed=seed, until_s=duration_s, cluster=Cluster([NodeCount(node)]))
    simulation.add(system)
    simulation.run()
    simulation.finish()
    prefix = f"{system.name}."
    return {
        key.removeprefix(prefix): float(value)
        for key, value in simulation.results.summary.items()
        if key.startswith(prefix) and isinstance(value, int | float)
    }


def window_of(point: Point) -> int:
    """Packets under way that keep every resource busy, but no more."""
    nic = parts(point.nic)["node"].smartnic
    return int(nic.cores * nic.threads_per_core + 256)


def random_plan(
    name: str, nic: str, profile: TrafficProfile, numbers: Sequence[float], seed: int
) -> Point:
    """A plan that can be, drawn at random."""
    rng = np.random.default_rng(seed)
    made = program(name)
    every = (True,) * len(made.blocks)
    for _ in range(1000):
        sides = "".join(
            state.options[int(rng.integers(len(state.options)))] for state in made.states
        )
        offloaded = 0.0
        if SPLIT in sides:
            offloaded = min(profile.flows, numbers[int(rng.integers(len(numbers)))])
        point = Point(name, nic, profile, sides, offloaded)
        if isinstance(point.model().cost(Plan(sides, offloaded, every)), PlanCost):
            return point
    raise AssertionError(f"no plan for {name} on {nic} in 1000 draws")
