"""Cost of asking who used the replicas, and of booking it."""

from __future__ import annotations

import gc
import statistics
from typing import Any

from experiments.benchmarks.bare import bare_timeout_s
from experiments.benchmarks.serving_work import Listed, conversation, measure
from sim.core.environment import SAMPLE
from sim.core.simulation import Simulation
from sim.hardware.metering import MeterOpened, UseMeter

_REQUESTS = 10_000
_CASES = ((2.0, 1, "jump"), (32.0, 16, "jump"), (2.0, 1, "step"))
_KINDS = ("none", "meter", "ledger", "requests")
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
    """Bare timeouts per request without energy's carbon, and how many more there are with the
    meters alone, with the ledger, and with the ledger down to requests: medians of rounds in which
    all of them and the bare timeout take turns."""
    requests, name = conversation(_REQUESTS)
    _cost(requests, 32.0, 16, "jump", "requests")
    print(f"{requests.count} requests of the {name}, bare timeouts a request; carbon=none, and")
    print(f"more than that: meters closed every {_EVERY_S:g} s, carbon=ledger, carbon=requests")
    print(f"{'mode':6}{'req/s':>7}{'replicas':>10}" + "".join(f"{kind:>10}" for kind in _KINDS))
    for rate, replicas, mode in _CASES:
        rounds = [
            [_cost(requests, rate, replicas, mode, kind) for kind in _KINDS] for _ in range(repeats)
        ]
        none = statistics.median(seen[0] for seen in rounds)
        more = [statistics.median(seen[i] - seen[0] for seen in rounds) for i in range(1, 4)]
        print(f"{mode:6}{rate:7g}{replicas:10d}{none:10.1f}" + "".join(f"{m:10.1f}" for m in more))
    print("bar: carbon=requests at most 15 more, jump\n")


def _cost(requests: Listed, rate: float, replicas: int, mode: str, kind: str) -> float:
    """Bare timeouts a request."""
    observers = [Closing()] if kind == "meter" else []
    carbon = f"carbon={'none' if kind == 'meter' else kind}"
    gc.collect()
    before = bare_timeout_s()
    seen = measure(requests, rate, replicas, mode, [carbon], observers)
    unit_s = (before + bare_timeout_s()) / 2
    return seen.cpu_s / seen.requests / unit_s
