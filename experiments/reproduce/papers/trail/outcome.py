"""What is kept of a run."""

from __future__ import annotations

from sim.core.result import Result

#: Figures of one run by name.
Figures = dict[str, float]

#: Share of the first predicted length from which TRAIL locks a request.
_LOCK_SHARE = 0.8


def figures(result: Result) -> Figures:
    """Over all requests: mean, median and p99 of latency and time to first token in seconds,
    preemptions of a request, tokens whose KV was thrown away and computed again. `held` and
    `held_peak`: KV tokens of those that wait, over time; `kv_peak`: most KV tokens in use.
    `locked`: share of the requests that pass 0.8 of their first predicted length."""
    requests = result.table("requests")
    found: Figures = {}
    for name, column in (("latency", "e2e_latency_s"), ("ttft", "ttft_s")):
        values = requests[column]
        found[name] = float(values.mean())
        found[f"{name}_median"] = float(values.median())
        found[f"{name}_p99"] = float(values.quantile(0.99))
    found["preemptions"] = float(requests["preemptions"].mean())
    found["recomputed"] = float(requests["recomputed_tokens"].sum())
    found["held"] = result.number("serving.kv_tokens_waiting.mean")
    found["held_peak"] = result.number("serving.kv_tokens_waiting.peak")
    tokens = result.number("serving.kv_blocks") * float(result.config["engine"]["block_tokens"])
    found["kv_peak"] = result.number("serving.kv_occupancy.peak") * tokens
    found["lasted_s"] = result.number("simulated_s")
    locked = requests["output_tokens"] > _LOCK_SHARE * requests["predicted_tokens"]
    found["locked"] = float(locked.mean())
    return found
