"""Closed forms of queueing theory, to judge simulations by.

Means in steady state, Poisson arrivals at `rate` jobs per second, times in seconds. Each raises
ValueError where the queue has no steady state.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial


def _load(rate: float, mean_s: float, servers: int = 1) -> float:
    load = rate * mean_s / servers
    if not (rate > 0.0 and mean_s > 0.0 and load < 1.0):
        raise ValueError(f"no steady state: rate {rate}, mean {mean_s} s, {servers} servers")
    return load


def mm1_response_s(rate: float, mean_s: float) -> float:
    """M/M/1, FCFS or processor sharing: mean / (1 - load) (Kleinrock, Queueing Systems I, 3.2)."""
    return mean_s / (1.0 - _load(rate, mean_s))


def mmc_response_s(rate: float, mean_s: float, servers: int) -> float:
    """M/M/c, FCFS, by Erlang's C formula (Kleinrock, Queueing Systems I, 3.5)."""
    load = _load(rate, mean_s, servers)
    offered = rate * mean_s
    full = offered**servers / factorial(servers) / (1.0 - load)
    wait = full / (sum(offered**k / factorial(k) for k in range(servers)) + full)
    return mean_s + wait * mean_s / (servers * (1.0 - load))


def mg1_response_s(rate: float, mean_s: float, second_moment_s2: float) -> float:
    """M/G/1, FCFS: Pollaczek and Khinchine's formula (Kleinrock, Queueing Systems I, 5.6)."""
    return mean_s + rate * second_moment_s2 / (2.0 * (1.0 - _load(rate, mean_s)))


def mg1_ps_response_s(rate: float, mean_s: float) -> float:
    """M/G/1, processor sharing: the size distribution matters by its mean alone (Kleinrock,
    Queueing Systems II, 4.4)."""
    return mean_s / (1.0 - _load(rate, mean_s))


def srpt_response_s(rate: float, density: Callable[[float], float], largest_s: float) -> float:
    """M/G/1, shortest remaining processing time (Schrage and Miller, Operations Research 1966).

    `density`: of job sizes, on (0, `largest_s`]; what lies beyond must be negligible. A job of
    size x waits `rate * (E[min(X, x)^2]) / (2 (1 - load(x))^2)` and is in service for the integral
    of `1 / (1 - load(t))` up to x, with load(t) the load of jobs up to t.
    """
    import numpy as np

    t = np.linspace(0.0, largest_s, 200_001)
    f = np.array([density(x) for x in t[1:]])
    f = np.concatenate([f[:1], f])
    step = t[1]

    def running(y: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum((y[1:] + y[:-1]) * step / 2.0)])

    share = running(f)
    load = rate * running(t * f)
    _load(rate, float(load[-1] / rate))
    small = running(t * t * f)
    wait = rate * (small + t * t * (share[-1] - share)) / (2.0 * (1.0 - load) ** 2)
    response = wait + running(1.0 / (1.0 - load))
    return float(running(response * f)[-1] / share[-1])
