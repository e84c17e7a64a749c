"""The simulations, each shared by several claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.reproduce.claim import Study, data_file
from experiments.reproduce.papers.neo import settings
from experiments.reproduce.papers.neo.outcome import Figures, figures
from experiments.reproduce.runs import sweep
from experiments.reproduce.workers import Workers


class Point(NamedTuple):
    """A run but for its seed: machine, prompt and output tokens, system, and what is changed."""

    where: str
    li: int
    lo: int
    system: str
    change: str = ""


#: Figures by point, or by system and rate, one for each seed.
Runs = dict[Point, list[Figures]]
Rates = dict[tuple[str, float], list[Figures]]

SEEDS = 3
VLLM = "vLLM, chunks of 256"
VLLM_512 = "vLLM, chunks of 512"
VLLM_ALL = "vLLM, chunks of 864"
#: Requests/s at which each system meets summaries on the T4; NEO's last is beyond what it serves.
ONLINE: dict[str, tuple[float, ...]] = {
    VLLM: (0.2, 0.4, 0.48, 0.5, 0.52, 0.54),
    VLLM_512: (0.2, 0.4, 0.5),
    VLLM_ALL: (0.2, 0.4, 0.5),
    "GPU only": (0.2, 0.4, 0.5, 0.54),
    "NEO": (0.2, 0.5, 1.5, 2.5, 3.1, 3.4, 3.7, 4.8),
}
#: Requests/s of code completions, and of summaries, on the largest A10G instance.
CODE_RATES, SUMMARY_RATES = (1.1, 1.2, 1.3, 1.4, 1.5), (6.0, 6.5, 7.0, 7.5)
OUTPUTS = (50, 100, 200, 300, 400)
COMPARED = ("GPU only", "NEO", "full offload", "NEO by work")
STRAWMEN = ("full offload, symmetric", "full offload, one batch")
STRAWMEN_AT = (("8xlarge", 100), ("16xlarge", 200))

#: What is changed on the 8xlarge, and the outputs with which.
EFFECTS: dict[str, tuple[str, ...]] = {
    "no launch overhead": settings.NO_LAUNCH,
    "infinite PCIe": settings.FAST_LINK,
    "host predicted 30 % too slow": settings.bias({"host_attention": 1.3}),
    "predictions off by 20 %": settings.bias(
        {"linear": 0.8, "prefill": 1.2, "attention": 0.8, "host_attention": 1.2}
    ),
    "prefill free": settings.FREE_PREFILL,
}
#: The same of what should hardly matter.
SECOND_ORDER: dict[str, tuple[str, ...]] = {
    "no iteration overhead": settings.NO_ITERATION,
    "PCIe of 4 GB/s": settings.SLOW_LINK,
}
EFFECTS_AT = (100, 200, 300)
#: Bandwidth of the host in GB/s, with the memory and cores of the 8xlarge.
BANDWIDTHS, BANDWIDTHS_AT = (0.001, 10.0, 28.0, 50.0, 100.0), (100, 200)
#: KV on the host in GB, with the bandwidth of the 8xlarge.
MEMORIES, MEMORIES_AT = (4.0, 14.0, 30.0, 60.0, 120.0), 200
#: The same of the 16xlarge, for which nothing is fitted (100 GB/s by the rule of the others).
LARGE_BANDWIDTHS, LARGE_AT = (150.0,), (200, 300)
#: So many that the run's fill and drain hardly count.
MANY, MANY_NAME = 6000, "6,000 requests"
ENDLESS = 1e9
FAST_AT = (50, 100, 200)

T4_POINTS = ((200, 50), (300, 50), (500, 50), (300, 100), (200, 200), (300, 200), (200, 400))
T4_OUTPUTS = (50, 100, 200, 400)
H100_OUTPUTS = (50, 100, 200, 400)
H100_LONG = ((2000, 50), (2000, 100), (4000, 50), (4000, 100))


def serve_online(workers: Workers) -> Rates:
    """Generated summaries on the T4 along the rates."""
    return _online(workers, "")


def serve_file(workers: Workers) -> Rates:
    """The release's lengths on the T4 along the rates."""
    return _online(workers, str(data_file("neo_osc_llama2_7b.json")))


def _online(workers: Workers, path: str) -> Rates:
    return _rates(
        {
            (system, rate): settings.t4_online(system, rate, path)
            for system, rates in ONLINE.items()
            for rate in rates
        },
        workers,
    )


def serve_a10g_code(workers: Workers) -> Rates:
    """Code completions along the rates on the largest A10G instance."""
    return _a10g_online(workers, "code", CODE_RATES)


def serve_a10g_summaries(workers: Workers) -> Rates:
    """Summaries along the rates on the largest A10G instance."""
    return _a10g_online(workers, "summarisation", SUMMARY_RATES)


def _a10g_online(workers: Workers, lengths: str, rates: Sequence[float]) -> Rates:
    return _rates(
        {
            (system, rate): settings.a10g_online(system, lengths, rate)
            for system in ("GPU only", "NEO", "NEO by work")
            for rate in rates
        },
        workers,
    )


def _rates(points: Mapping[tuple[str, float], list[str]], workers: Workers) -> Rates:
    found = _run({f"{system} @ {rate}": words for (system, rate), words in points.items()}, workers)
    return dict(zip(points, found, strict=True))


def a10g_points() -> dict[Point, list[str]]:
    """Settings of all runs on A10G instances."""
    points = {
        Point(host, 1000, lo, system): settings.a10g(system, host, lo)
        for host in settings.HOSTS
        for lo in OUTPUTS
        for system in COMPARED
    }
    for host, lo in STRAWMEN_AT:
        for system in STRAWMEN:
            points[Point(host, 1000, lo, system)] = settings.a10g(system, host, lo)
    changes: list[tuple[str, tuple[str, ...], str, Sequence[int]]] = [
        (name, words, "8xlarge", EFFECTS_AT) for name, words in {**EFFECTS, **SECOND_ORDER}.items()
    ]
    changes += [
        (bandwidth_name(each), settings.bandwidth(each), "8xlarge", BANDWIDTHS_AT)
        for each in BANDWIDTHS
    ]
    changes += [
        (bandwidth_name(each), settings.bandwidth(each), "16xlarge", LARGE_AT)
        for each in LARGE_BANDWIDTHS
    ]
    endless = settings.bandwidth(ENDLESS)
    changes.append((bandwidth_name(ENDLESS), endless, "8xlarge", FAST_AT))
    changes.append((FAST_FREE, (*endless, *settings.NO_LAUNCH), "8xlarge", FAST_AT))
    changes += [
        (memory_name(each), settings.memory(each), "8xlarge", (MEMORIES_AT,)) for each in MEMORIES
    ]
    for name, words, host, outputs in changes:
        for lo in outputs:
            extra = {"NEO": words}
            if name in CHANGES_BOTH:
                extra["GPU only"] = tuple(word for word in words if "batching" not in word)
            for system, own in extra.items():
                points[Point(host, 1000, lo, system, name)] = settings.a10g(
                    system, host, lo, extra=own
                )
    for lo in LARGE_AT:
        for system in ("GPU only", "NEO"):
            points[Point("16xlarge", 1000, lo, system, MANY_NAME)] = settings.a10g(
                system, "16xlarge", lo, count=MANY
            )
    return points


#: Changes that GPUs alone feel too.
CHANGES_BOTH = ("no launch overhead", "infinite PCIe", "prefill free", *SECOND_ORDER)
FAST_FREE = "endless bandwidth, no launch overhead"


def bandwidth_name(gb_per_s: float) -> str:
    """Of a change of the host's bandwidth."""
    return "endless bandwidth" if gb_per_s == ENDLESS else f"{gb_per_s:g} GB/s"


def memory_name(gb: float) -> str:
    """Of a change of the host's memory."""
    return f"{gb:g} GB"


def serve_a10g(workers: Workers) -> Runs:
    """The paper's grid of hosts and outputs, and what explains it."""
    return _points(a10g_points(), workers)


def serve_t4(workers: Workers) -> Runs:
    """Synthetic loads on the T4."""
    return _points(
        {
            Point("T4", li, lo, system): settings.t4_burst(
                system, li, lo, 2000 if lo <= 100 else 1000
            )
            for li, lo in T4_POINTS
            for system in COMPARED
        },
        workers,
    )


def serve_h100(workers: Workers) -> Runs:
    """Synthetic loads on two H100."""
    return _points(
        {
            Point("H100", li, lo, system): settings.h100(system, lo, li)
            for li, lo in (*((1000, lo) for lo in H100_OUTPUTS), *H100_LONG)
            for system in COMPARED
        },
        workers,
    )


def serve_code(workers: Workers) -> Runs:
    """Lengths of code completions on the A10G: of a file, all at once, so without chance."""
    path = str(data_file("azure_llm_2023_code.csv"))
    points = {
        Point("8xlarge", 0, 0, system): settings.a10g_code(system, "8xlarge", path, 2000)
        for system in COMPARED
    }
    names = {str(tuple(point)): words for point, words in points.items()}
    found = sweep(names, [0], figures, workers)
    return dict(zip(points, found.values(), strict=True))


def _points(points: Mapping[Point, list[str]], workers: Workers) -> Runs:
    found = _run({str(tuple(point)): words for point, words in points.items()}, workers)
    return dict(zip(points, found, strict=True))


def _run(named: Mapping[str, list[str]], workers: Workers) -> list[list[Figures]]:
    numbers = range(3 * SEEDS if workers.full else SEEDS)
    return list(sweep(named, numbers, figures, workers).values())


BY_RATE = Study("summaries", serve_online)
BY_RATE_FILE = Study("summaries of the release", serve_file)
A10G_CODE = Study("code by rate, A10G", serve_a10g_code)
A10G_SUMMARIES = Study("summaries by rate, A10G", serve_a10g_summaries)
A10G = Study("A10G", serve_a10g)
T4 = Study("T4", serve_t4)
H100 = Study("H100", serve_h100)
CODE = Study("code", serve_code)
