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

_STRETCH = 1.5


def _summaries(rate_rps: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Summaries on the T4, and with longer outputs that come as much more slowly."""
    t4 = "experiment=neo_t4"
    outputs = compose([t4]).workload.output.percentiles
    longer = ", ".join(f"{share}: {_STRETCH * tokens}" for share, tokens in outputs.items())
    return (t4, f"arrivals.rate_rps={rate_rps}"), (
        t4,
        f"arrivals.rate_rps={rate_rps / _STRETCH}",
        f"workload.output.percentiles={{{longer}}}",
    )


def _about(*settings: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """1,000 tokens in and 200 out on the A10G, and with longer outputs."""
    a10g = ("experiment=neo_a10g", *settings)
    return a10g, (*a10g, f"output_tokens={round(200 * _STRETCH)}")


_CASES = {
    "T4, summaries, 2.5/s": _summaries(2.5),
    "T4, summaries, 3.1/s": _summaries(3.1),
    "A10G, 8xlarge, 1000 + 200": _about(),
    "A10G, 16xlarge, 1000 + 200": _about(
        "hardware/node@node=g5.16xlarge", "engine.host_swap_bytes=120.0e+9"
    ),
}
_COMMON = ("workload.count=2000", "series_interval_s=null")
_PER_ITERATION, _PER_SEEN = 40.0, 1.0
#: What `serving_speed` aims at for a request served without NEO.
_PER_REQUEST = 60.0


def print_neo(repeats: int) -> None:
    """Bare timeouts per iteration beside the bar, which grows with the requests on the host that
    decisions look at: medians of rounds in which runs and the bare timeout take turns.

    Of an iteration more: what longer outputs of as many requests add, which leaves out what each
    request costs by itself (its arrival, prompt, end and row of the table). And of all of a run,
    beside the bar of its iterations alone and with its requests at what they cost without NEO.
    """
    print("NEO: 'more' is what an iteration costs, of those that outputs")
    print(f"{_STRETCH:g} times as long add; 'all' is all of a run: arrivals, ends, files as well")
    print(
        f"{'':28}{'iterations':>12}{'seen each':>11}{'more':>8}{'bar':>8}"
        f"{'all':>8}{'bar':>8}{'and requests':>14}"
    )
    for name, (base, longer) in _CASES.items():
        seen, more_seen = _requests_seen(base), _requests_seen(longer)
        costs, more = [], []
        for _ in range(repeats):
            gc.collect()
            unit_s = bare_timeout_s()
            run, stretched = _serve(base), _serve(longer)
            costs.append(run.cpu_s / run.iterations / unit_s)
            added = stretched.iterations - run.iterations
            more.append((stretched.cpu_s - run.cpu_s) / added / unit_s)
        each = seen / run.iterations
        print(
            f"{name:28}{run.iterations:12,d}{each:11.1f}"
            f"{statistics.median(more):8.1f}{_bar((more_seen - seen) / added):8.1f}"
            f"{statistics.median(costs):8.1f}{_bar(each):8.1f}"
            f"{_bar(each) + _PER_REQUEST * run.requests / run.iterations:14.1f}"
        )
    print("bars: 40 an iteration and 1 for each request on the host that a decision looks at; then")
    print(f"{_PER_REQUEST:g} for each request served besides\n")


def _bar(seen: float) -> float:
    return _PER_ITERATION + _PER_SEEN * seen


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
