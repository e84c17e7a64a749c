"""What is kept of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.core.result import Result

#: Figures of one run by name.
Figures = dict[str, float]

#: Requests that the release leaves out of latencies, the first in order of arrival.
DISCARDED = 0.25
#: Completions between which the paper takes throughput, as shares of all.
WINDOW = (0.3, 0.7)


def figures(result: Result) -> Figures:
    """`per_token_s`: mean of (finish - arrival) / output tokens without the first quarter of the
    requests; `ttft_s`, `itl_s`: means over the same. `makespan_rps`: requests by the time until the
    last is done; `window_rps`: see `window_rate`. `pipelined`: share of the iterations that are
    split in two; `iterations`: of a request; `busy`, `host_busy`: share of the time in which the
    GPUs, and the host's thread, work. `prompt_tokens`: mean; `preempted`: displacements of a
    request."""
    requests = result.table("requests").sort_values("id")
    number = result.number
    count, lasted_s = len(requests), number("simulated_s")
    kept = requests.iloc[int(DISCARDED * count) :]
    found = {
        "per_token_s": float((kept["e2e_latency_s"] / kept["output_tokens"]).mean()),
        "ttft_s": float(kept["ttft_s"].mean()),
        "itl_s": float(kept["tpot_s"].mean()),
        "makespan_rps": count / float(requests["finish_s"].max()),
        "window_rps": window_rate(requests["finish_s"].to_numpy()),
        "busy": number("serving.gpu_busy_share"),
        "prompt_tokens": float(requests["prompt_tokens"].mean()),
        "preempted": float(requests["preemptions"].mean()),
    }
    iterations = number("serving.iterations")
    found["iterations"] = iterations / count
    split = "serving.offload.iterations" in result.summary
    found["pipelined"] = number("serving.offload.iterations") / iterations if split else 0.0
    found["host_busy"] = number("serving.offload.busy_s") / lasted_s if split else 0.0
    return found


def window_rate(finish_s: Sequence[float] | np.ndarray) -> float:
    """Completions a second between the 30th and the 70th of 100: one over their mean gap."""
    done = np.sort(np.asarray(finish_s, dtype=float))
    first, last = (int(share * len(done)) for share in WINDOW)
    return float((last - first) / (done[last] - done[first]))
