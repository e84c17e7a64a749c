"""Cost of asking who used the replicas."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Sequence
from typing import Any

from experiments.benchmarks.bare import bare_timeout_s
from experiments.benchmarks.serving_work import conversation, measure
from sim.core.environment import SAMPLE
from sim.core.simulation import Simulation
from sim.hardware.metering import MeterOpened, UseMeter

_REQUESTS = 10_000
_CASES = ((2.0, 1, "jump"), (32.0, 16, "jump"), (2.0, 1, "step"))
_EVERY_S = 300.0


class Closing:
    """An observer that closes each meter's steps every five minutes and does nothing with them."""

    def __init__(self) -> None:
        self._meters: list[UseMeter] = []

    def attach(self, simulation: Simulation) -> None:
        """Wait for meters."""
        self._simulation = simulation
        simulation.facts.subscribe(MeterOpened, lambda fact: self._meters.append(fact.meter))
        simulation.at(_EVERY_S, self._close, SAMPLE)

    def finish(self, results: Any) -> None:
        """Close the last step."""
        for meter in self._meters:
            meter.close_step(self._simulation.now, last=True)

    def _close(self, _: object) -> None:
        now = self._simulation.now
        for meter in self._meters:
            meter.close_step(now)
        self._simulation.at(now + _EVERY_S, self._close, SAMPLE)


def print_use(repeats: int) -> None:
    """Bare timeouts per request with the meters off and on: medians of rounds in which both and
    the bare timeout take turns."""
    requests, name = conversation(_REQUESTS)
    measure(requests, 32.0, 16, observers=[Closing()])
    print(f"use meter, {requests.count} requests of the {name}; steps of {_EVERY_S:g} s")
    print(f"{'mode':6}{'req/s':>7}{'replicas':>10}{'off':>8}{'on':>8}{'more':>8}   bare timeouts")
    for rate, replicas, mode in _CASES:
        costs: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(repeats):
            for on in (False, True):
                observers: Sequence[Closing] = [Closing()] if on else []
                gc.collect()
                before = bare_timeout_s()
                seen = measure(requests, rate, replicas, mode, observers=observers)
                unit_s = (before + bare_timeout_s()) / 2
                costs[on].append(seen.cpu_s / seen.requests / unit_s)
        off, on_ = statistics.median(costs[False]), statistics.median(costs[True])
        more = statistics.median(b - a for a, b in zip(costs[False], costs[True], strict=True))
        print(f"{mode:6}{rate:7g}{replicas:10d}{off:8.1f}{on_:8.1f}{more:8.1f}   a request")
    print("bar: at most 9 more, jump\n")
