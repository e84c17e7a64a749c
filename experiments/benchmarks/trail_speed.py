"""Cost of TRAIL, its predictions included, beside that of first come, first served."""

from __future__ import annotations

import gc
import statistics
import tempfile
from pathlib import Path

from experiments.benchmarks.bare import bare_timeout_s
from experiments.benchmarks.serving_work import Measured, timed
from experiments.compose import compose
from sim.core.run import build

_SETTINGS = (
    "model=llama3-8b",
    "workload=alpaca",
    "engine.max_sequences=48",
    "engine.max_batch_tokens=512",
    "series_interval_s=null",
    "efficiency.frontend_s=0.0",
    "workload.count=4000",
)
_POLICIES = {
    "fcfs": ("ordering=fcfs",),
    "trail, release's predictor": ("ordering=trail", "predictor=trail_release"),
    "trail, paper's predictor": ("ordering=trail", "predictor=trail_paper"),
}
#: Requests a second, and where that is: the replica can take about 14.
_RATES = ((2.0, "light"), (20.0, "above saturation"))
_TOKENS = 257.0


def print_trail(repeats: int) -> None:
    """Bare timeouts per request, and cost per simulated token against FCFS: medians of rounds in
    which the policies and the bare timeout take turns."""
    _serve(2.0, _POLICIES["trail, paper's predictor"])
    print("TRAIL on the Alpaca mix, Llama-3-8B on an A100, 48 sequences, jump mode")
    for rate, where in _RATES:
        costs: dict[str, list[float]] = {name: [] for name in _POLICIES}
        units = []
        for _ in range(repeats):
            for name, settings in _POLICIES.items():
                gc.collect()
                units.append(bare_timeout_s())
                costs[name].append(_serve(rate, settings).cpu_s / 4000)
        unit_s = statistics.median(units)
        for name, each in costs.items():
            cost_s = statistics.median(each)
            ratio = statistics.median(a / b for a, b in zip(each, costs["fcfs"], strict=True))
            print(
                f"{rate:4g}/s ({where}) {name:28} {cost_s / unit_s:7.1f} bare timeouts a request, "
                f"{1e6 * cost_s / _TOKENS:6.3f} us a token, {ratio:5.2f} times fcfs"
            )
    print("bars: at most 150 a request at 2/s; above saturation at most 6 times fcfs\n")


def _serve(rate_rps: float, policy: tuple[str, ...]) -> Measured:
    settings = [*_SETTINGS, *policy, f"arrivals.rate_rps={rate_rps}"]
    with tempfile.TemporaryDirectory() as folder:
        return timed(build(compose(settings), Path(folder)))
