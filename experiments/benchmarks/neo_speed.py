"""Cost of NEO's decisions and of its iterations."""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments.benchmarks.bare import bare_timeout_s
from experiments.benchmarks.serving_work import Measured, timed
from experiments.compose import compose
from policies.batching.halves import Halves
from policies.ordering.contract import RequestView
from sim.core.run import build

_CASES = {
    "T4, summaries, 2.5/s": ("experiment=neo_t4", "arrivals.rate_rps=2.5"),
    "T4, summaries, 3.1/s": ("experiment=neo_t4", "arrivals.rate_rps=3.1"),
    "A10G, 8xlarge, 1000 + 200": ("experiment=neo_a10g",),
    "A10G, 16xlarge, 1000 + 200": (
        "experiment=neo_a10g",
        "hardware/node@node=g5.16xlarge",
        "engine.host_swap_bytes=120.0e+9",
    ),
}
_COMMON = ("workload.count=2000", "series_interval_s=null")
_PER_ITERATION, _PER_REQUEST = 40.0, 1.0


def print_neo(repeats: int) -> None:
    """Bare timeouts per iteration beside the bar, which grows with the requests on the host that
    decisions look at: medians of rounds in which runs and the bare timeout take turns."""
    print("NEO, all of a run: arrivals, decisions, iterations, ends; summary and table written")
    print(f"{'':28}{'iterations':>11}{'seen each':>11}{'per iteration':>15}{'bar':>8}")
    for name, settings in _CASES.items():
        seen = _requests_seen(settings)
        costs = []
        for _ in range(repeats):
            gc.collect()
            unit_s = bare_timeout_s()
            run = _serve(settings)
            costs.append(run.cpu_s / run.iterations / unit_s)
        each = seen / run.iterations
        bar = _PER_ITERATION + _PER_REQUEST * each
        cost = statistics.median(costs)
        print(f"{name:28}{run.iterations:11,d}{each:11.1f}{cost:15.1f}{bar:8.1f}")
    print("bar: 40 an iteration and 1 for each request on the host that a decision looks at\n")


def _requests_seen(settings: tuple[str, ...]) -> int:
    """Requests on the host that decisions look at, over a run."""
    seen = 0
    spread = Halves.spread

    def counting(
        self: Halves, hosted: Sequence[RequestView], *others: object, **more: object
    ) -> None:
        nonlocal seen
        seen += len(hosted)
        spread(self, hosted, *others, **more)  # type: ignore[arg-type]

    Halves.spread = counting  # type: ignore[method-assign]
    try:
        _serve(settings)
    finally:
        Halves.spread = spread  # type: ignore[method-assign]
    return seen


def _serve(settings: tuple[str, ...]) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        return timed(build(compose([*settings, *_COMMON]), Path(folder)))
