"""A served language model: carbon of a thousand tokens by GPU and load, and under power caps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experiments.reproduce.accepted import Band, Finding, Order, Trend
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.runs import mean_interval, sweep
from experiments.reproduce.workers import Workers

GPUS = {"T4": "t4", "A100": "a100-80-sxm", "H100": "h100-sxm"}
#: Share of the highest rate of requests that a GPU serves.
LOADS = (0.1, 0.4, 0.8)
#: Requests that keep each GPU full.
FULL = {"T4": 64, "A100": 256, "H100": 256}
CAPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
#: Grids of the caps' sweep in g/kWh.
CAP_GRIDS = (5.0, 10.0, 20.0, 40.0, 100.0, 400.0)
#: The grids in g/kWh of the runs by load (mean of Great Britain's 2020) and of those under caps,
#: whose operation is proportional to it.
_HOME, _GRID = 213.0, 100.0
_MODEL = ("model=llama3-8b", "workload=chat", "series_interval_s=null", "sites=constant")
_INTENSITY = "sites.sites.home.intensity.value"
_PHASES = ("prefill", "decode")
_PER_1K = "serving.carbon_per_1k_tokens_g"

#: Figures by GPU and load, one set for each seed.
Runs = dict[tuple[str, float], list[dict[str, float]]]


def _tokens(workers: Workers) -> Runs:
    """Llama-3-8B with 8-bit weights, which all three GPUs hold, chat, one GPU in its server."""
    count = 1000 if workers.full else 300
    seeds = range(10 if workers.full else 4)
    base = (
        *_MODEL,
        "weight_dtype=int8",
        "carbon=requests",
        f"workload.count={count}",
        f"{_INTENSITY}={_HOME}",
    )
    full = {
        name: (*base, f"gpu={gpu}", "client=closed_loop", f"client.concurrency={FULL[name]}")
        for name, gpu in GPUS.items()
    }
    rate = "serving.request_throughput_rps"
    capacity = {
        name: sum(run[rate] for run in runs) / len(runs)
        for name, runs in sweep(full, seeds, [rate], workers).items()
    }
    settings = {
        (name, load): (*base, f"gpu={gpu}", f"arrivals.rate_rps={load * capacity[name]}")
        for name, gpu in GPUS.items()
        for load in LOADS
    }
    keys = {f"{name} {load:g}": (name, load) for name, load in settings}
    of = [
        _PER_1K,
        *(f"serving.carbon_per_1k_{phase}_tokens_g" for phase in _PHASES),
        "serving.gpu_busy_share",
        "carbon.embodied_share",
    ]
    found = sweep({key: settings[at] for key, at in keys.items()}, seeds, of, workers)
    return {keys[key]: runs for key, runs in found.items()}


#: Milligrams of operation on the sweep's grid and of making, for a thousand tokens, by GPU and cap.
Caps = dict[tuple[str, float], list[tuple[float, float]]]


def _caps(workers: Workers) -> Caps:
    """Llama-3-8B on a full GPU, whose work takes as long as the cap makes it."""
    count = 600 if workers.full else 200
    seeds = range(10 if workers.full else 4)
    settings = {
        f"{name} {cap:g}": (
            *_MODEL,
            f"gpu={GPUS[name]}",
            f"workload.count={count}",
            "client=closed_loop",
            "client.concurrency=128",
            f"{_INTENSITY}={_GRID}",
            f"power_cap={cap}",
        )
        for name in ("A100", "H100")
        for cap in CAPS
    }
    of = [_PER_1K, "carbon.embodied_share"]
    found: Caps = {}
    for key, runs in sweep(settings, seeds, of, workers).items():
        name, cap = key.split()
        found[name, float(cap)] = [
            (
                1000.0 * run[_PER_1K] * (1.0 - run["carbon.embodied_share"]),
                1000.0 * run[_PER_1K] * run["carbon.embodied_share"],
            )
            for run in runs
        ]
    return found


TOKENS = Study("tokens", _tokens)
CAPPED = Study("power-caps", _caps)


def of_runs(runs: list[dict[str, float]], key: str = _PER_1K, scale: float = 1000.0) -> Estimate:
    """A figure over the seeds; grams as milligrams."""
    return mean_interval([scale * run[key] for run in runs])


def at_grid(caps: Caps, name: str, cap: float, grid: float) -> Estimate:
    """Milligrams for a thousand tokens at a cap on a grid."""
    return mean_interval([used * grid / _GRID + made for used, made in caps[name, cap]])


def best_cap(caps: Caps, name: str, grid: float) -> Estimate:
    """The cap of least carbon, by seed."""
    seeds = len(caps[name, CAPS[0]])
    best = []
    for i in range(seeds):
        costs = {cap: caps[name, cap][i][0] * grid / _GRID + caps[name, cap][i][1] for cap in CAPS}
        best.append(min(costs, key=lambda cap: costs[cap]))
    return mean_interval(best)


def _over_both_ends(caps: Caps) -> dict[str, Estimate]:
    """At 20 g/kWh on an H100: what both ends of the caps emit over the best cap between them."""
    seeds = range(len(caps["H100", CAPS[0]]))
    cost: Callable[[float, int], float] = lambda cap, i: (  # noqa: E731
        caps["H100", cap][i][0] * 20.0 / _GRID + caps["H100", cap][i][1]
    )
    least = [min(cost(cap, i) for cap in CAPS[1:-1]) for i in seeds]
    return {
        f"{end:g}": mean_interval([cost(end, i) - least[i] for i in seeds])
        for end in (CAPS[0], CAPS[-1])
    }


def _by_load(found: Runs, name: str) -> dict[str, Estimate]:
    return {f"{load:g}": of_runs(found[name, load]) for load in LOADS}


def _least(over: Mapping[str, Estimate]) -> Estimate:
    return min(over.values(), key=lambda estimate: estimate.low)


CLAIMS: list[Claim[Any, Any]] = [
    *(
        Claim(
            id=f"tokens-{name.lower()}",
            where="LLM serving",
            what=f"carbon of a thousand tokens on one {name} by load (share of its capacity)",
            published="an idle server emits too: less load, more carbon for each token",
            accepted=Trend("the load", rises=False, every_step=True),
            study=TOKENS,
            measure=lambda found, name=name: _by_load(found, name),  # type: ignore[misc]
            unit="mg",
            note="Llama-3-8B with 8-bit weights, chat, 213 g/kWh as in Great Britain's 2020; "
            "idle GPU, host and making in it",
        )
        for name in GPUS
    ),
    Claim(
        id="tokens-gpus",
        where="LLM serving",
        what="the same by GPU, at eight tenths of its capacity",
        published="newer GPUs do more work for a joule",
        accepted=Order(*GPUS),
        study=TOKENS,
        measure=lambda found: {name: of_runs(found[name, 0.8]) for name in GPUS},
        unit="mg",
    ),
    Claim(
        id="tokens-phases",
        where="b5, LLM serving",
        what="carbon of a thousand tokens of prompts and of answers, eight tenths of capacity",
        published="-",
        accepted=Finding(),
        study=TOKENS,
        measure=lambda found: {
            f"{name}, {phase}": of_runs(found[name, 0.8], f"serving.carbon_per_1k_{phase}_tokens_g")
            for name in GPUS
            for phase in _PHASES
        },
        unit="mg",
    ),
    Claim(
        id="tokens-making",
        where="LLM serving",
        what="share of making in it, by GPU, at a tenth and at eight tenths of capacity",
        published="-",
        accepted=Finding(),
        study=TOKENS,
        measure=lambda found: {
            f"{name}, {load:g}": of_runs(found[name, load], "carbon.embodied_share", 100.0)
            for name in GPUS
            for load in (LOADS[0], LOADS[-1])
        },
        unit="%",
    ),
    Claim(
        id="cap-interior",
        where="b8, power capping",
        what="what the caps at both ends of the sweep emit over the best between them, full H100, "
        "20 g/kWh (least of the two)",
        published="there is an interior optimum",
        accepted=Band(low=0.0),
        study=CAPPED,
        measure=lambda caps: _least(_over_both_ends(caps)),
        unit="mg/1k tokens",
    ),
    Claim(
        id="cap-grid",
        where="b8, power capping",
        what="the best cap (share of peak power) of a full H100 by grid, in g/kWh",
        published="the dirtier the grid, the lower the best cap",
        accepted=Trend("the intensity", rises=False),
        study=CAPPED,
        measure=lambda caps: {f"{grid:g}": best_cap(caps, "H100", grid) for grid in CAP_GRIDS},
        note="Steps of a tenth; (cap / peak)^0.4 where a step would draw more than the cap",
    ),
    Claim(
        id="cap-a100",
        where="b8, power capping",
        what="the same of an A100",
        published="-",
        accepted=Finding(),
        study=CAPPED,
        measure=lambda caps: {f"{grid:g}": best_cap(caps, "A100", grid) for grid in CAP_GRIDS},
    ),
]
