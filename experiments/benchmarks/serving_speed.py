"""Cost of LLM serving per request and per iteration, beside the peers."""

from __future__ import annotations

import gc
import statistics
from functools import partial

from experiments.benchmarks.bare import bare_timeout_s, in_bare_timeouts
from experiments.benchmarks.serving_work import Listed, Measured, conversation, measure

_REQUESTS = 10_000
_CASES = [
    ("jump", 2.0, 1, "at most 100 per request (aim 60)"),
    ("jump", 32.0, 16, "at most 100 per request (aim 60)"),
    ("step", 2.0, 1, "at most 8 per iteration (aim 6)"),
    ("jump", 0.5, 1, ""),
    ("step", 0.5, 1, ""),
    ("jump", 4.0, 1, ""),
    ("step", 4.0, 1, ""),
]


def print_speed(repeats: int) -> None:
    """Bare timeouts per request and per iteration, jump and step: medians of rounds in which
    every case and the bare timeout take turns."""
    requests, name = conversation(_REQUESTS)
    measure(requests, 32.0, 16)
    rounds = [_round(requests) for _ in range(repeats)]
    unit_us = statistics.median(unit for unit, _ in rounds) * 1e6
    print(f"{requests.count} requests of the {name}; one bare timeout here is {unit_us:.2f} us")
    print(f"{'mode':6}{'req/s':>7}{'replicas':>10}{'per request':>13}{'per iteration':>15}   bar")
    for case in _CASES:
        mode, rate, replicas, bar = case
        costs = [seen[case].cpu_s / unit for unit, seen in rounds]
        cost = statistics.median(costs)
        counts = rounds[0][1][case]
        print(
            f"{mode:6}{rate:7g}{replicas:10d}{cost / counts.requests:13.1f}"
            f"{cost / counts.iterations:15.2f}   {bar}"
        )
    for rate, bar in ((0.5, "at least 10"), (2.0, "at least 2"), (4.0, "at least 0.91")):
        pair = {mode: case for case in _CASES for mode in [case[0]] if case[1:3] == (rate, 1)}
        ratio = statistics.median(
            seen[pair["step"]].cpu_s / seen[pair["jump"]].cpu_s for _, seen in rounds
        )
        print(f"step / jump at {rate:g} requests/s: {ratio:.2f}   {bar}")
    print("(step mode prices each iteration twice, to check the closed form: a third of its cost)")
    print(PEERS)


def _round(requests: Listed) -> tuple[float, dict[tuple[str, float, int, str], Measured]]:
    """Seconds of a bare timeout, and each case once, with bare timeouts in between."""
    units = [bare_timeout_s()]
    seen = {}
    for case in _CASES:
        mode, rate, replicas, _ = case
        gc.collect()
        seen[case] = measure(requests, rate, replicas, mode)
        units.append(bare_timeout_s())
    return statistics.median(units), seen


#: Published by nobody: measured with the same requests on another machine, one run each, CPU
#: seconds of the simulation proper; one bare timeout was 1.6 us there.
PEERS = """
peers, the same 10,000 requests (their own machine and models, so an order of magnitude):
                                    1 replica           16 replicas
                                us/request  in bare   us/request  in bare
Vidur, round robin, metrics off      8,640    5,400        9,370    5,860
BLIS (Go)                            1,450      906       14,760    9,225
simdistserve (SimPy)                 2,170    1,356        2,220    1,388
splitwise-sim                        5,630    3,519        6,280    3,925
DynoSim, measured operator timing    770-840   481-525         860      538
DynoSim, polynomial timing           220-280   138-175     280-330  175-206
"""


def _seconds(requests: Listed, replicas: int) -> float:
    return measure(requests, 2.0 * replicas, replicas).cpu_s


def print_scaling(repeats: int) -> None:
    """Cost per request from 1 to 64 replicas at 2 requests/s each."""
    requests, _ = conversation(_REQUESTS)
    print("cost per request at 2 requests/s for each replica, in bare timeouts")
    first = 0.0
    for replicas in (1, 4, 16, 64):
        work = partial(_seconds, requests, replicas)
        each = in_bare_timeouts(work, repeats) / _REQUESTS
        first = first or each
        print(f"{replicas:4d} replicas {each:8.1f}   {each / first:.2f} times one replica")
    print("bar: less than 1.5 times from 1 to 64\n")
