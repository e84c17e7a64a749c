"""Random small serving systems in which much goes on: tiny KV pools, ties, faults, swaps.

The policies are those of `configs/`, so that a new one is covered as soon as it has its file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from carbon_kit import Given, site
from hydra.utils import get_class, instantiate
from hypothesis import strategies as st
from offload_kit import STEEP, times
from omegaconf import OmegaConf
from serving_kit import Cap, Listed, Outcome, simulate

from models.constant_cost import ConstantCost, LinearCost, ProportionalCost
from models.prediction import Asked, Oracle
from models.step_cost import StepCost
from sim.carbon.sites import Sites
from sim.hardware.faults import Fault
from sim.serving.clients import ClosedLoop, OpenLoop
from workloads.arrivals import TraceTimes
from workloads.demand import Call, Demand

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

Policy = Callable[[], Any]


def names(group: str) -> list[str]:
    """Choices of a group of `configs/`."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


@lru_cache
def policies(group: str) -> dict[str, Policy]:
    """The policies of a group by name; those that preempt, with each fate of the KV."""
    found: dict[str, Policy] = {}
    for name in names(group):
        settings = OmegaConf.load(CONFIGS / group / f"{name}.yaml")
        if "defaults" in settings:
            found |= offloading(name, settings)
        elif "preemption" in settings:
            for fate in ("recompute", "swap"):
                settings.preemption = fate
                found[f"{name}-{fate}"] = instantiate(settings)
        else:
            found[name] = instantiate(settings)
    return found


def offloading(name: str, settings: Any) -> dict[str, Policy]:
    """A policy that asks for times of the host, with those of the tests' small model."""
    kind = get_class(settings.pop("_target_"))
    del settings["defaults"], settings["_partial_"]
    if "saturation_tokens" in settings:
        settings.saturation_tokens = 4
    choices: list[dict[str, Any]] = [{}]
    if "halving" in settings:
        choices = [{"halving": each} for each in ("balanced", "symmetric", "none")]
    return {
        "-".join([name, *choice.values()]): partial(
            kind, times(STEEP, launch_s=0.0), **{**settings, **choice}
        )
        for choice in choices
    }


@lru_cache
def offloading_policies() -> list[str]:
    """Batching policies that let requests decode on the host."""
    found = policies("batching")
    return sorted(name for name in found if getattr(found[name](), "layer_buffer", False))


class Misled:
    """A predictor that is wrong by a factor that varies, now long, now short."""

    def predict(self, prompt_tokens: int, output_tokens: int, rng: Any) -> float:
        return output_tokens * (0.2 + 2.0 * float(rng.random()))


class Wavering(Misled):
    """One that changes its mind at every token."""

    def paths(self, asked: Sequence[Asked], seed: int) -> list[list[float]]:
        paths = []
        for each in asked:
            rng = np.random.default_rng([seed, each.number])
            left = each.output_tokens - np.arange(each.output_tokens)
            paths.append((left * rng.uniform(0.2, 2.2, each.output_tokens)).tolist())
        return paths


class HostBoundCost:
    """Iterations that a host keeps from being shorter than `floor_s`, at half their power."""

    def __init__(self, floor_s: float, per_token_s: float, per_context_token_s: float) -> None:
        self.figures = floor_s, per_token_s, per_context_token_s

    def step(
        self, decodes: int, context_tokens: int, chunks: Sequence[tuple[int, int]], sampled: int
    ) -> StepCost:
        floor_s, per_token_s, per_context_s = self.figures
        tokens, context = decodes, context_tokens
        for cached, size in chunks:
            tokens += size
            context += cached
        first, slope = per_token_s * tokens + per_context_s * context, per_context_s * tokens
        return StepCost(first, slope, floor_s, 0.5 * first, 0.5 * slope)


COSTS: dict[str, Any] = {
    "constant, dyadic": ConstantCost(0.125),
    "constant, decimal": ConstantCost(0.1),
    "linear, dyadic": LinearCost(1 / 64, 1 / 256, 1 / 2048),
    "linear, decimal": LinearCost(0.01, 0.003, 0.0007),
    "proportional": ProportionalCost(0.01),
    "host bound": HostBoundCost(0.05, 0.004, 0.0005),
}
PREDICTORS: dict[str, Any] = {
    "oracle": Oracle(),
    "misled": Misled(),
    "wavering": Wavering(),
}


def two_sites(replicas: int) -> Sites:
    """Sites with a replica each in turn (or one for all), a round trip of a quarter and of half a
    second to the other's region, on grids of which now one, now the other is cleaner."""
    edges = [0.0, 1.5, 2.0, 3.3, 7.0, 1e9]
    found = {
        "west": site(Given(edges, [100.0, 300.0, 50.0, 400.0, 200.0]), nodes=["node[02]"]),
        "east": site(Given(edges, [200.0, 200.0, 300.0, 100.0, 200.0]), nodes=["node1"]),
    }
    trips = {"west": {"west": 0.0, "east": 0.25}, "east": {"west": 0.5, "east": 0.0}}
    if replicas == 1:
        del found["east"], trips["west"]["east"], trips["east"]["east"]
    return Sites(found, trips)


@dataclass(frozen=True)
class Scenario:
    """A small system and what it is asked; `run` runs it."""

    requests: tuple[tuple[float, int, int], ...]
    cost: str = "constant, dyadic"
    ordering: str = "fcfs"
    batching: str = "chunked_prefill-recompute"
    routing: str = "round_robin"
    predictor: str = "oracle"
    concurrency: int = 0
    think_s: float = 0.0
    replicas: int = 1
    gpus: int = 1
    max_sequences: int = 4
    max_batch_tokens: int = 16
    block_tokens: int = 4
    kv_blocks: int = 12
    host_blocks: int = 0
    watermark: float = 0.0
    async_scheduling: bool = False
    over_context: str = "reject"
    frontend: tuple[float, float] = (0.0, 0.0)
    faults: tuple[Fault, ...] = ()
    caps: tuple[Cap, ...] = ()
    until_s: float | None = None
    series_interval_s: float | None = 0.25
    tools: str = "preserve"
    # Two sites, round trips between them, and signals that change now and then.
    regions: bool = False
    # Seed of random tool calls; 0: none.
    calls: int = 0
    call_scale: float = 1.0

    def client(self, *, eager: bool = False) -> Any:
        """A new client."""
        if not self.concurrency:
            return OpenLoop(Listed(self.demands(), eager=eager), TraceTimes())
        demands = [demand._replace(arrival_s=None) for demand in self.demands()]
        return ClosedLoop(Listed(demands, eager=eager), self.concurrency, self.think_s)

    def demands(self) -> list[Demand]:
        """What is asked."""
        return [
            Demand(
                prompt,
                output,
                at,
                f"kind {n % 2}",
                self._calls(n, output),
                ("west", "east")[n % 3 % 2] if self.regions else "",
            )
            for n, (at, prompt, output) in enumerate(self.requests)
        ]

    def _calls(self, number: int, output: int) -> tuple[Call, ...]:
        if not self.calls:
            return ()
        draw = Random(f"{self.calls} {number}")
        points = draw.sample(range(1, output + 1), min(output, draw.choice([0, 0, 1, 1, 2, 4])))
        durations = [0.0, 0.125, 0.5, 2.0, draw.randint(0, 56) / 8]
        return tuple(
            Call(point, self.call_scale * draw.choice(durations), draw.choice([0, 0, 1, 3, 9]))
            for point in sorted(points)
        )

    def settings(self) -> dict[str, Any]:
        """Keywords for `simulate`."""
        kv_blocks, host_blocks = self.kv_blocks, self.host_blocks
        if self.batching in offloading_policies():
            # Without any they refuse; the buffer comes on top.
            host_blocks = max(1, host_blocks)
            kv_blocks = -(-kv_blocks * (STEEP.layers + 1) // STEEP.layers)
        return {
            "client": self.client(),
            "cost": COSTS[self.cost],
            "ordering": policies("ordering")[self.ordering],
            "batching": policies("batching")[self.batching],
            "routing": policies("routing")[self.routing],
            "tools": policies("tools")[self.tools],
            "predictor": PREDICTORS[self.predictor],
            "engine": {
                "max_sequences": self.max_sequences,
                "max_batch_tokens": self.max_batch_tokens,
                "block_tokens": self.block_tokens,
                "kv_blocks": kv_blocks,
                "host_swap_bytes": float(host_blocks * self.block_tokens),
                "watermark": self.watermark,
                "async_scheduling": self.async_scheduling,
                "over_context": self.over_context,
            },
            "frontend": self.frontend,
            "offload": STEEP,
            "replicas": self.replicas,
            "gpus": self.gpus,
            "faults": self.faults,
            "sites": two_sites(self.replicas) if self.regions else None,
            "caps": self.caps,
            "until_s": self.until_s,
            "series_interval_s": self.series_interval_s,
            # A block goes to the host in block_tokens / 64 seconds.
            "link_bytes_per_s": 64.0,
        }

    def run(self, mode: str = "jump", **changes: Any) -> Outcome:
        """Run it."""
        return simulate(mode=mode, **self.settings() | changes)

    def but(self, **changes: Any) -> Scenario:
        """The same with some settings changed."""
        return replace(self, **changes)


def routings(sites: bool) -> list[str]:
    """Routing policies, with those that choose between sites or without."""
    found = policies("routing")
    among = [name for name in found if getattr(found[name](), "among_sites", False)]
    return [name for name in sorted(found) if sites or name not in among]


def _times(most_s: float) -> st.SearchStrategy[float]:
    """Times on boundaries of the constant steps, and others."""
    eighths = st.integers(0, int(most_s * 8)).map(lambda n: n / 8)
    tenths = st.integers(0, int(most_s * 10)).map(lambda n: n / 10)
    return eighths | tenths | st.floats(0.0, most_s, allow_subnormal=False)


@st.composite
def _traces(draw: st.DrawFn) -> tuple[tuple[float, int, int], ...]:
    number = draw(st.integers(1, 16))
    span_s = draw(st.sampled_from([0.0, 2.0, 8.0, 20.0]))
    times = sorted(draw(st.lists(_times(span_s), min_size=number, max_size=number)))
    longest = draw(st.sampled_from([3, 12, 40]))
    lengths = st.integers(1, longest)
    if draw(st.sampled_from([False, False, True])):
        # Equal requests: ties between replicas wherever they can be.
        lengths = st.just(draw(lengths))
    return tuple((at, draw(lengths), draw(lengths)) for at in times)


@st.composite
def _faults(draw: st.DrawFn, replicas: int, gpus: int) -> tuple[Fault, ...]:
    faults = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["slow", "fail"]))
        node, gpu = draw(st.integers(0, replicas - 1)), draw(st.integers(0, gpus - 1))
        faults.append(
            Fault(
                time_s=draw(_times(10.0)),
                target=f"node{node}/gpu{gpu}",
                kind=kind,
                speed=draw(st.sampled_from([0.25, 0.3, 0.5, 0.9, 2.0])) if kind == "slow" else None,
                duration_s=draw(_times(4.0).filter(lambda x: x > 1e-3)),
            )
        )
    return tuple(faults)


@st.composite
def _caps(draw: st.DrawFn, replicas: int, gpus: int) -> tuple[Cap, ...]:
    number = draw(st.sampled_from([0, 0, 1, 2, 4]))
    return tuple(
        (
            draw(_times(6.0)),
            f"node{draw(st.integers(0, replicas - 1))}/gpu{draw(st.integers(0, gpus - 1))}",
            draw(st.sampled_from([None, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0])),
        )
        for _ in range(number)
    )


@st.composite
def scenarios(
    draw: st.DrawFn,
    *,
    faults: bool = True,
    until: bool = True,
    closed: bool = True,
    regions: bool = True,
) -> Scenario:
    """Random scenarios; the keywords leave something out (power caps along with faults)."""
    requests = draw(_traces())
    replicas = draw(st.integers(1, 3))
    if regions:
        regions = draw(st.sampled_from([False, False, True]))
    # Those that choose between sites need some.
    routing = draw(st.sampled_from(routings(regions and replicas > 1)))
    gpus = draw(st.sampled_from([1, 1, 2]))
    block_tokens = draw(st.sampled_from([1, 2, 4, 16]))
    calls = draw(st.sampled_from([0, 0, 1, 2, 3]))
    asked = Scenario(requests=requests, calls=calls).demands()
    longest = max(demand.total_tokens for demand in asked)
    enough = -(-longest // block_tokens)
    return Scenario(
        requests=requests,
        calls=calls,
        tools=draw(st.sampled_from(sorted(policies("tools")))),
        cost=draw(st.sampled_from(sorted(COSTS))),
        ordering=draw(st.sampled_from(sorted(policies("ordering")))),
        batching=draw(st.sampled_from(sorted(policies("batching")))),
        routing=routing,
        regions=regions,
        predictor=draw(st.sampled_from(sorted(PREDICTORS))),
        concurrency=draw(st.sampled_from([0, 0, 1, 3, 6])) if closed else 0,
        think_s=draw(st.sampled_from([0.0, 0.125, 0.3])),
        replicas=replicas,
        gpus=gpus,
        max_sequences=draw(st.integers(1, 6)),
        max_batch_tokens=draw(st.sampled_from([1, 2, 5, 16, 64])),
        block_tokens=block_tokens,
        kv_blocks=draw(st.integers(max(1, enough - 1), 3 * enough + 1)),
        host_blocks=draw(st.sampled_from([0, enough, 100])),
        watermark=draw(st.sampled_from([0.0, 0.01, 0.2])),
        async_scheduling=draw(st.booleans()),
        over_context=draw(st.sampled_from(["reject", "truncate"])),
        frontend=draw(st.sampled_from([(0.0, 0.0), (0.05, 0.01)])),
        faults=draw(_faults(replicas, gpus)) if faults else (),
        caps=draw(_caps(replicas, gpus)) if faults else (),
        until_s=draw(st.none() | _times(6.0).filter(lambda x: x > 0.0)) if until else None,
    )


@st.composite
def crowds(draw: st.DrawFn) -> Scenario:
    """Scenarios in which more is asked than GPUs hold, with host memory for several times that."""
    scenario = draw(scenarios())
    blocks = [-(-demand.total_tokens // scenario.block_tokens) for demand in scenario.demands()]
    kv_blocks = max(blocks) + draw(st.integers(0, 3))
    requests = [(0.01 * at, prompt, output) for at, prompt, output in scenario.requests]
    return scenario.but(
        requests=tuple(requests),
        batching=draw(st.sampled_from([*offloading_policies(), "swiftllm"])),
        kv_blocks=kv_blocks,
        host_blocks=kv_blocks + 4 * max(blocks),
        max_sequences=draw(st.integers(2, 12)),
        max_batch_tokens=draw(st.sampled_from([5, 64, 200])),
        call_scale=0.01,
        series_interval_s=1.25,
    )


#: A scenario in which a pool of KV blocks for little more than one request is fought over.
TIGHT = Scenario(
    series_interval_s=2.5,
    requests=(
        (0.0, 9, 14),
        (0.0, 3, 22),
        (0.125, 17, 6),
        (0.3, 2, 25),
        (0.5, 11, 9),
        (0.5, 11, 9),
        (1.7, 5, 3),
        (4.0, 1, 17),
    ),
    max_batch_tokens=6,
    kv_blocks=9,
    block_tokens=3,
    host_blocks=30,
    max_sequences=3,
)
