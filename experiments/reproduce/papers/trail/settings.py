"""What is run: policies with their predictors, and the server."""

from __future__ import annotations

#: Ordering policy and predictor by name, as the evaluation compares them and a few more.
POLICIES: dict[str, tuple[str, ...]] = {
    "vLLM-FCFS": ("ordering=fcfs",),
    "SJF-BERT": ("ordering=shortest_job_first", "predictor=prompt_classifier"),
    "TRAIL-BERT": ("ordering=trail", "predictor=prompt_classifier"),
    "TRAIL": ("ordering=trail", "predictor=trail_paper"),
    "TRAIL, the release's predictor": ("ordering=trail", "predictor=trail_release"),
    "TRAIL, raw": ("ordering=trail", "predictor=trail_paper", "predictor.smoothed=false"),
    "TRAIL+": ("ordering=trail", "predictor=exact"),
    "SRPT": ("ordering=shortest_remaining", "predictor=oracle"),
    "multilevel feedback": ("ordering=multilevel_feedback",),
}
#: The paper's systems, as its figures order them.
SYSTEMS = ("vLLM-FCFS", "SJF-BERT", "TRAIL-BERT", "TRAIL")


def noisy(mae_tokens: float, correlation: float) -> tuple[str, ...]:
    """TRAIL+ with normal noise: of that mean absolute error, as much alike from token to token."""
    return (
        *POLICIES["TRAIL+"],
        f"predictor.mae_tokens={mae_tokens}",
        f"predictor.correlation={correlation}",
    )


def settings(
    policy: tuple[str, ...],
    rate_rps: float | None,
    *,
    slots: int = 48,
    requests: int = 1000,
    kv_blocks: int | None = None,
    served: tuple[str, ...] = (),
) -> list[str]:
    """Settings of a run: a finite trace, Poisson of `rate_rps` (None: all requests at once), served
    to the last by Llama-3-8B on one A100 80 GB. `slots`: most requests in the batch (48 in the
    release, 256 in vLLM). `kv_blocks`: of 16 tokens; None: what the card has,
    28,000 or so. `served`: what is served in place of Llama-3-8B."""
    arrivals = ["arrivals=burst"] if rate_rps is None else [f"arrivals.rate_rps={rate_rps}"]
    return [
        *([] if served else ["model=llama3-8b"]),
        "gpu=a100-80-sxm",
        "workload=alpaca",
        f"workload.count={requests}",
        *arrivals,
        f"engine.max_sequences={slots}",
        f"engine.kv_blocks={'null' if kv_blocks is None else kv_blocks}",
        "series_interval_s=null",
        *policy,
        *served,
    ]
