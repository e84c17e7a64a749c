"""What is kept of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.core.result import Result

if TYPE_CHECKING:
    import pandas as pd

#: Figures of one run by name.
Figures = dict[str, float]

_WHOLE = (
    "kv_occupancy.mean",
    "kv_tokens_in_calls.mean",
    "kv_tokens_waiting.mean",
    "preemptions",
    "recomputed_tokens",
)


def figures(result: Result) -> Figures:
    """Of the window's requests all (`e2e_s`, `ttft_s`, `normalised_s`), and those alone that
    finished inside the window (the same with `_window`), as the release counts; means, and medians
    and 99th percentiles (`e2e_s_p50`, `ttft_s_p99_window`). Of the whole run:
    `recompute_share` of the GPU's busy time, tokens thrown away x the profile's time of a token;
    `in_calls`, mean number of requests in calls by throughput x duration."""
    requests = result.table("requests")
    window_s = float(result.config["arrivals"]["window_s"])
    lasted_s = result.number("simulated_s")
    inside = requests[requests["finish_s"] <= window_s]
    found = {**_means(requests, ""), **_means(inside, "_window")}
    found["requests"] = float(len(requests))
    found["finished_rps"] = len(inside) / window_s
    found["lasted_s"] = lasted_s
    found["in_calls"] = float(requests["call_s"].sum()) / lasted_s
    for name in _WHOLE:
        found[name] = result.number(f"serving.{name}")
    busy_s = result.number("serving.gpu_busy_share") * lasted_s
    token_s = float(result.config["profile"]["per_token_s"])
    found["recompute_share"] = found["recomputed_tokens"] * token_s / busy_s
    for name, value in result.summary.items():
        if name.startswith("calls_by_kind."):
            found[name] = float(value or 0.0)
    if "series" in result.tables:
        sampled = result.table("series")
        found["in_calls_sampled"] = float(sampled["in_calls"].mean())
        middle = sampled[sampled["time_s"].between(0.3 * window_s, window_s)]["in_calls"]
        found["dispersion"] = float(middle.var() / middle.mean())
    return found


def _means(requests: pd.DataFrame, suffix: str) -> Figures:
    served_s = requests["e2e_latency_s"] - requests["call_s"]
    shares = {
        f"{key}_{name}{suffix}": float(requests[column].quantile(share))
        for key, column in (("e2e_s", "e2e_latency_s"), ("ttft_s", "ttft_s"))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return {
        **shares,
        f"e2e_s{suffix}": float(requests["e2e_latency_s"].mean()),
        f"ttft_s{suffix}": float(requests["ttft_s"].mean()),
        f"normalised_s{suffix}": float((served_s / requests["output_tokens"]).mean()),
    }
