"""A served language model: carbon of a thousand tokens by GPU and load, and under power caps."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum
from typing import Any

import numpy as np

from experiments.reproduce.accepted import Band, Finding, Order, Trend
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.runs import mean_interval, sweep
from experiments.reproduce.workers import Workers
from sim.core.result import Result

GPUS = {"T4": "t4", "A100": "a100-80-sxm", "H100": "h100-sxm"}
#: Share of the highest rate of requests that a GPU serves.
LOADS = (0.1, 0.4, 0.8)
#: Requests in flight that keep each GPU full.
FULL = {"T4": 64, "A100": 256, "H100": 256}
#: Requests that a run's time is long enough for on a full GPU: many times as many as in flight.
LONG = 4000
CAPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
#: Grids of the caps' sweep in g/kWh.
CAP_GRIDS = (5.0, 10.0, 20.0, 40.0, 100.0, 400.0)
#: Seconds of a run under a cap; beginning with empty batches then weighs little.
CAPPED_S = 300.0
#: The grids in g/kWh of the runs by load (mean of Great Britain's 2020) and of those under caps,
#: whose operation is proportional to it.
_HOME, _GRID = 213.0, 100.0
_MODEL = ("model=llama3-8b", "workload=chat", "series_interval_s=null", "sites=constant")
_INTENSITY = "sites.sites.home.intensity.value"
_PHASES = ("prefill", "decode")
_PER_1K = "serving.carbon_per_1k_tokens_g"
#: Carbon of the tenant that serves, and what of it is making.
_CARBON, _MAKING = "serving.carbon_g", "serving.carbon.embodied_g"

#: Figures by GPU and load, one set for each seed.
Runs = dict[tuple[str, float], list[dict[str, float]]]


def _tokens(workers: Workers) -> Runs:
    """Llama-3-8B with 8-bit weights, which all three GPUs hold, chat, one GPU in its server."""
    seeds = range(10 if workers.full else 4)
    base = (*_MODEL, "weight_dtype=int8", f"{_INTENSITY}={_HOME}")
    full = {
        name: (
            *base,
            f"gpu={gpu}",
            f"workload.count={LONG}",
            "client=closed_loop",
            f"client.concurrency={FULL[name]}",
        )
        for name, gpu in GPUS.items()
    }
    capacity = {
        name: fsum(rates) / len(rates)
        for name, rates in sweep(full, seeds, steady_rate, workers).items()
    }
    settings = {
        (name, load): (
            *base,
            f"gpu={gpu}",
            "carbon=requests",
            "workload.count=null",
            f"until_s={LONG / capacity[name]}",
            f"arrivals.rate_rps={load * capacity[name]}",
        )
        for name, gpu in GPUS.items()
        for load in LOADS
    }
    keys = {f"{name} {load:g}": (name, load) for name, load in settings}
    of = [
        _PER_1K,
        *(f"serving.carbon_per_1k_{phase}_tokens_g" for phase in _PHASES),
        _CARBON,
        _MAKING,
    ]
    found = sweep({key: settings[at] for key, at in keys.items()}, seeds, of, workers)
    return {keys[key]: runs for key, runs in found.items()}


def steady_rate(result: Result) -> float:
    """Requests a second that end in the middle half of all: a closed loop begins with all batches
    empty, and runs dry at its end."""
    ends = np.sort(result.table("requests").finish_s.to_numpy())
    first, last = len(ends) // 4, 3 * len(ends) // 4
    return float((last - first) / (ends[last] - ends[first]))


#: Milligrams of operation on the sweep's grid and of making, for a thousand tokens, by GPU and cap.
Caps = dict[tuple[str, float], list[tuple[float, float]]]


def _caps(workers: Workers) -> Caps:
    """Llama-3-8B on a full GPU, whose work takes as long as the cap makes it."""
    seeds = range(10 if workers.full else 4)
    settings = {
        f"{name} {cap:g}": (
            *_MODEL,
            f"gpu={GPUS[name]}",
            "workload.count=null",
            f"until_s={CAPPED_S}",
            "client=closed_loop",
            "client.concurrency=128",
            f"{_INTENSITY}={_GRID}",
            f"power_cap={cap}",
        )
        for name in ("A100", "H100")
        for cap in CAPS
    }
    found: Caps = {}
    for key, runs in sweep(settings, seeds, [_PER_1K, _CARBON, _MAKING], workers).items():
        name, cap = key.split()
        found[name, float(cap)] = [in_two(run) for run in runs]
    return found


def in_two(run: Mapping[str, float]) -> tuple[float, float]:
    """Milligrams of operation and of making for a thousand tokens, all of the tenant's."""
    making = run[_MAKING] / run[_CARBON]
    return 1000.0 * run[_PER_1K] * (1.0 - making), 1000.0 * run[_PER_1K] * making


TOKENS = Study("tokens", _tokens)
CAPPED = Study("power-caps", _caps)


def of_runs(runs: list[dict[str, float]], key: str = _PER_1K) -> Estimate:
    """A figure in grams over the seeds, in milligrams."""
    return mean_interval([1000.0 * run[key] for run in runs])


def making_share(runs: list[dict[str, float]]) -> Estimate:
    """Percent of the tenant's carbon."""
    return mean_interval([100.0 * run[_MAKING] / run[_CARBON] for run in runs])


def at_grid(caps: Caps, name: str, cap: float, grid: float) -> list[float]:
    """Milligrams for a thousand tokens at a cap on a grid, by seed."""
    return [used * grid / _GRID + made for used, made in caps[name, cap]]


def best_cap(caps: Caps, name: str, grid: float) -> Estimate:
    """The cap of least carbon, by seed."""
    costs = zip(*(at_grid(caps, name, cap, grid) for cap in CAPS), strict=True)
    return mean_interval([CAPS[min(range(len(CAPS)), key=each.__getitem__)] for each in costs])


def over_inner(caps: Caps, name: str, grid: float) -> dict[float, Estimate]:
    """Percent that either end of the caps emits above the best cap between them."""
    inner = zip(*(at_grid(caps, name, cap, grid) for cap in CAPS[1:-1]), strict=True)
    least = [min(each) for each in inner]
    return {
        end: mean_interval(
            [
                100.0 * (cost / best - 1.0)
                for cost, best in zip(at_grid(caps, name, end, grid), least, strict=True)
            ]
        )
        for end in (CAPS[0], CAPS[-1])
    }


def margin(caps: Caps, name: str, grid: float) -> Estimate:
    """The smaller of both: above 0 where the optimum lies between the ends."""
    return min(over_inner(caps, name, grid).values(), key=lambda estimate: estimate.low)


def _by_load(found: Runs, name: str) -> dict[str, Estimate]:
    return {f"{load:g}": of_runs(found[name, load]) for load in LOADS}


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
            "idle GPU, host and making in it. Capacity: requests a second with "
            f"{FULL[name]} always in flight, the middle half of {LONG:,}",
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
            f"{name}, {load:g}": making_share(found[name, load])
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
        measure=lambda caps: margin(caps, "H100", 20.0),
        unit="%",
        note="A margin of less than 1 %, and only there: on most grids an end of the sweep is best "
        "(see cap-margins)",
    ),
    Claim(
        id="cap-margins",
        where="b8, power capping",
        what="the same by GPU and grid in g/kWh; below 0, an end of the sweep is best",
        published="-",
        accepted=Finding(),
        study=CAPPED,
        measure=lambda caps: {
            f"{name}, {grid:g}": margin(caps, name, grid)
            for name in ("H100", "A100")
            for grid in CAP_GRIDS
        },
        unit="%",
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
