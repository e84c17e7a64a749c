"""Parts of the catalogue for tests of network functions, and a view for partition policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from models.hardware import CpuSpec, SmartNicSpec
from models.network_functions.cost_model import CostModel, PlanCost
from models.network_functions.finding import Finding
from models.network_functions.packet_stack import PacketStack
from models.network_functions.plan import Plan
from models.network_functions.program import Program
from models.network_functions.traffic import TrafficProfile

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
FUNCTIONS = (
    "nat",
    "load_balancer",
    "firewall",
    "flow_monitor",
    "heavy_hitter",
    "rate_limiter",
    "ipsec_gateway",
    "upf",
)


@cache
def part(group: str, name: str) -> Any:
    """A part as Hydra composes and makes it."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(overrides=[f"+{group}={name}"])
    for key in group.split("/"):
        config = config[key]
    return instantiate(config, _convert_="all")


def function(name: str) -> Program:
    return part("network_function", name)


def agilio() -> SmartNicSpec:
    return part("hardware/smartnic", "agilio-cx")


def bluefield() -> SmartNicSpec:
    return part("hardware/smartnic", "bluefield-2")


def traffic(name: str = "reference", **changes: float) -> TrafficProfile:
    return replace(part("traffic", name), **changes)


def model(
    program: str | Program,
    profile: TrafficProfile | None = None,
    nic: SmartNicSpec | None = None,
    **settings: Any,
) -> CostModel:
    return CostModel(
        program=function(program) if isinstance(program, str) else program,
        profile=profile or traffic(),
        nic=nic or agilio(),
        cpu=part("hardware/cpu", "server-32"),
        stack=part("packet_stack", "poll_mode"),
        **settings,
    )


def cpu_only(of: CostModel) -> PlanCost:
    program = of.program
    cost = of.cost(Plan("C" * len(program.states), 0.0, (False,) * len(program.blocks)))
    assert isinstance(cost, PlanCost)
    return cost


@dataclass
class View:
    """What a policy sees, by hand."""

    program: Program
    profile: TrafficProfile = field(default_factory=traffic)
    nic: SmartNicSpec = field(default_factory=agilio)
    cpu: CpuSpec = field(default_factory=lambda: part("hardware/cpu", "server-32"))
    stack: PacketStack = field(default_factory=lambda: part("packet_stack", "poll_mode"))
    cores: float = 32.0
    plan: Plan | None = None
    overloaded: bool = False
    hit_share: float | None = None
    finding: Finding | None = None
    lasts_s: float = 0.0
    members: Mapping[int, float] = field(default_factory=dict)
    candidates: Mapping[int, float] = field(default_factory=dict)

    def change_s(self, plan: Plan) -> float:
        return self.lasts_s

    def member_rates(self) -> Mapping[int, float]:
        return self.members

    def candidate_rates(self) -> Mapping[int, float]:
        return self.candidates
