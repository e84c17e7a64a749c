"""What is run: systems, sets of requests, profiles."""

from __future__ import annotations

from typing import Literal

_HERE = "experiments.reproduce.papers.lamps"
#: Tools and ordering policies of each system of the evaluations. LAMPS: all that wait may starve,
#: as the paper's text says; LAMPS as released: those that have begun alone.
SYSTEMS: dict[str, tuple[str, ...]] = {
    "vLLM": ("tools=discard", "ordering=fcfs_tail"),
    "improved discard": ("tools=discard", "ordering=fcfs"),
    "preserve": ("tools=preserve", "ordering=fcfs"),
    "swap": ("tools=swap", "ordering=fcfs"),
    "InferCept": ("tools=infercept", "ordering=fcfs"),
    "InferCept without discard": ("tools=infercept", "ordering=fcfs", "tools.discard=false"),
    "InferCept, durations known": (
        "tools=infercept",
        "ordering=fcfs",
        f"tools._target_={_HERE}.known_durations.KnownDurations",
    ),
    "LAMPS without scheduling": ("tools=foreseen", "ordering=fcfs"),
    "LAMPS": ("tools=foreseen", "ordering=lamps"),
    "LAMPS as released": ("tools=foreseen", "ordering=lamps", "ordering.starving=begun"),
    "SJF": ("tools=foreseen", "ordering=shortest_job_first"),
    "SJF with calls": ("tools=foreseen", "ordering=shortest_with_calls"),
}

#: Sets of requests: generated, or drawn from the file of the release.
Requests = Literal["mix", "mix, one call", "file", "file, one call"]

GPTJ, VICUNA = "gptj-6b-a100", "vicuna-13b-2xa100"
#: More than any window holds: the arrivals end it.
_PLENTY = 1_000_000
SINGLE = "client.workload={_target_:workloads.single_call.SingleCall,workload:${workload}}"
_RELEASED_WASTE = (
    "tools.formula={_target_:models.tool_calls.waste_formulas.ReleasedWaste,"
    "forward:{_target_:models.tool_calls.forward_time.ForwardTime,"
    "fixed_s:${profile.fixed_s},per_token_s:${profile.per_token_s}},"
    "saturation_tokens:${engine.max_batch_tokens},swap_s_per_token:null}"
)


def settings(
    system: str,
    rate_rps: float,
    *,
    window_s: float = 1800.0,
    swap: bool = False,
    profile: str = GPTJ,
    requests: Requests = "mix",
    path: str = "",
    released_waste: bool = False,
    extra: tuple[str, ...] = (),
) -> list[str]:
    """Settings of a run: requests of `rate_rps` a second in the window, served to the last.

    `swap`: whether KV may move to host memory. `path`: of the file of requests. `released_waste`:
    the releases' formula of waste in place of the papers' equations.
    """
    words = ["experiment=profiled", f"profile={profile}", "predictor=oracle", *SYSTEMS[system]]
    words += _requests(requests, path)
    words += [f"arrivals._target_={_HERE}.arrivals.OpeningWindow", f"arrivals.rate_rps={rate_rps}"]
    words += [f"+arrivals.window_s={window_s}", "series_interval_s=null"]
    if released_waste:
        words.append(_RELEASED_WASTE)
    if not swap:
        words += ["engine.host_swap_bytes=0", *_no_swap(SYSTEMS[system][0])]
    return [*words, *extra]


def _requests(requests: Requests, path: str) -> list[str]:
    if requests.startswith("mix"):
        words = ["workload=tool_mix", f"workload.count={_PLENTY}"]
        return [*words, SINGLE] if requests == "mix, one call" else words
    single = "true" if requests == "file, one call" else "false"
    return [
        "workload=tool_calls_drawn",
        f"workload.count={_PLENTY}",
        f"workload.workload.path={path}",
        f"workload.workload.single_call={single}",
    ]


def _no_swap(tools: str) -> list[str]:
    """The policy knows that there is no swap."""
    if tools == "tools=infercept":
        return ["tools.swap=false"]
    if tools == "tools=foreseen":
        return ["++tools.formula.swap_s_per_token=null"]
    return []
