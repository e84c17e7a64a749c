"""The unit of speed: the bare timeout."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Generator
from typing import Any

import simpy

_TIMEOUTS = 100_000


def bare_timeout_s() -> float:
    """Process CPU seconds of one `yield env.timeout(1)` in one process."""

    def wait(env: simpy.Environment) -> Generator[simpy.Event, Any, None]:
        for _ in range(_TIMEOUTS):
            yield env.timeout(1)

    env = simpy.Environment()
    env.process(wait(env))
    began = time.process_time()
    env.run()
    return (time.process_time() - began) / _TIMEOUTS


def in_bare_timeouts(work: Callable[[], float], repeats: int = 5) -> float:
    """Median over `repeats` of the CPU seconds that `work` says it took, each in units of the
    bare timeout measured just before and after it."""
    ratios = []
    for _ in range(repeats):
        gc.collect()
        before = bare_timeout_s()
        seconds = work()
        after = bare_timeout_s()
        ratios.append(seconds / ((before + after) / 2))
    return statistics.median(ratios)
