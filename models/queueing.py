"""Closed forms of queueing theory, to judge simulations by.

Means in steady state, for Poisson arrivals at `rate` jobs per second unless said otherwise; times
in seconds. Each raises ValueError where the queue has no steady state.

Sources: Kleinrock, "Queueing Systems" I (1975) and II (1976), cited by section; Schrage and
Miller, "The queue M/G/1 with the shortest remaining processing time discipline", Operations
Research 14(4), 1966; Reiser and Lavenberg, "Mean-value analysis of closed multichain queuing
networks", Journal of the ACM 27(2), 1980.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float64]

#: Intervals of the numerical integrals.
_INTERVALS = 200_000


def _load(rate: float, mean_s: float, servers: int = 1) -> float:
    if servers < 1:
        raise ValueError(f"{servers} servers")
    load = rate * mean_s / servers
    if not (rate > 0.0 and mean_s > 0.0 and load < 1.0):
        raise ValueError(f"no steady state: rate {rate}, mean {mean_s} s, {servers} servers")
    return load


def mm1_response_s(rate: float, mean_s: float) -> float:
    """M/M/1, FCFS or processor sharing: mean / (1 - load) (Kleinrock I, 3.2)."""
    return mean_s / (1.0 - _load(rate, mean_s))


def erlang_c(servers: int, offered: float) -> float:
    """Chance that an arrival at M/M/c waits; `offered` is rate x mean (Kleinrock I, 3.5).

    From the loss formula by its recursion in the number of servers, which never overflows.
    """
    load = _load(offered, 1.0, servers)
    lost = 1.0
    for number in range(1, servers + 1):
        lost = offered * lost / (number + offered * lost)
    return lost / (1.0 - load * (1.0 - lost))


def mmc_response_s(rate: float, mean_s: float, servers: int) -> float:
    """M/M/c, FCFS: an arrival that waits does so for mean / (c (1 - load)) (Kleinrock I, 3.5)."""
    load = _load(rate, mean_s, servers)
    return mean_s + erlang_c(servers, rate * mean_s) * mean_s / (servers * (1.0 - load))


def mg1_response_s(rate: float, mean_s: float, second_moment_s2: float) -> float:
    """M/G/1, FCFS: Pollaczek and Khinchine's formula (Kleinrock I, 5.6).

    `second_moment_s2`: mean of the squared service time; mean squared for M/D/1.
    """
    if not second_moment_s2 >= mean_s**2 * (1.0 - 1e-12):
        raise ValueError(f"second moment {second_moment_s2} s2 below the mean {mean_s} s squared")
    return mean_s + rate * second_moment_s2 / (2.0 * (1.0 - _load(rate, mean_s)))


def mg1_ps_response_s(rate: float, mean_s: float, size_s: float | None = None) -> float:
    """M/G/1, processor sharing (Kleinrock II, 4.4): a job of `size_s` stays size / (1 - load),
    all jobs mean / (1 - load); the size distribution matters by its mean alone."""
    return (mean_s if size_s is None else size_s) / (1.0 - _load(rate, mean_s))


def srpt_response_s(rate: float, density: Callable[[_Floats], _Floats], largest_s: float) -> float:
    """M/G/1, shortest remaining processing time (Schrage and Miller 1966).

    `density`: of job sizes in seconds, for an array of sizes; continuous, and negligible beyond
    `largest_s`. With load(x) the load of jobs of at most x, a job of size x waits
    rate E[min(X, x)^2] / (2 (1 - load(x))^2) and, once begun, stays for the integral of
    1 / (1 - load(t)) up to x. Integrals by the trapezoidal rule.
    """
    sizes = np.linspace(0.0, largest_s, _INTERVALS + 1)
    step = float(sizes[1])

    def up_to(values: _Floats) -> _Floats:
        """Integral from 0 to each size."""
        pieces = (values[1:] + values[:-1]) * (0.5 * step)
        return np.concatenate(([0.0], np.cumsum(pieces)))

    f = np.asarray(density(sizes), dtype=np.float64)
    share = up_to(f)
    if not abs(share[-1] - 1.0) < 1e-3:
        raise ValueError(f"density: integrates to {share[-1]:g} up to {largest_s} s, not to 1")
    load = rate * up_to(sizes * f)
    _load(rate, float(load[-1]) / rate if rate > 0.0 else 0.0)
    small = up_to(sizes**2 * f) + sizes**2 * (share[-1] - share)
    waits = 0.5 * rate * small / (1.0 - load) ** 2
    stays = up_to(1.0 / (1.0 - load))
    return float(up_to((waits + stays) * f)[-1] / share[-1])


def mm1n_blocked(load: float, places: int) -> float:
    """M/M/1 with `places` for jobs, the one in service included: share of arrivals that find none
    (Kleinrock I, 3.6). Any load above 0 has a steady state."""
    if places < 1 or not load > 0.0:
        raise ValueError(f"load {load} and {places} places")
    if load == 1.0:
        return 1.0 / (places + 1)
    if load > 1.0:  # the same, without a power that overflows
        return (load - 1.0) / (load - load**-places)
    return (1.0 - load) * load**places / (1.0 - load ** (places + 1))


def mm1n_wait_s(load: float, mean_s: float, places: int) -> float:
    """M/M/1 with `places` for jobs: mean wait before service of those that get in, by Little's law
    from the mean number of jobs (Kleinrock I, 3.6)."""
    blocked = mm1n_blocked(load, places)
    # Weights of 0 to `places` jobs, the largest of them 1.
    weights = [load ** (i if load <= 1.0 else i - places) for i in range(places + 1)]
    jobs = sum(i * weight for i, weight in enumerate(weights)) / sum(weights)
    return mean_s * (jobs / (load * (1.0 - blocked)) - 1.0)


def closed_throughput(service_s: float, delay_s: float, jobs: int) -> float:
    """Jobs a second of a closed network of `jobs` jobs that alternate between one server and a
    delay without a queue, both exponential: exact mean value analysis (Reiser and Lavenberg 1980).

    At most min(1 / service, jobs / (service + delay)), the asymptotes; equal to them for one job.
    """
    if jobs < 1 or not (service_s > 0.0 and delay_s >= 0.0):
        raise ValueError(f"{jobs} jobs, service {service_s} s, delay {delay_s} s")
    queued = rate = 0.0
    for number in range(1, jobs + 1):
        response = service_s * (1.0 + queued)
        rate = number / (response + delay_s)
        queued = rate * response
    return rate


def dd1_response_s(number: int, gap_s: float, service_s: float) -> float:
    """D/D/1: response of the job with that number (from 0), jobs `gap_s` apart, the first finding
    the server idle. Needs no steady state."""
    if not (number >= 0 and gap_s >= 0.0 and service_s > 0.0):
        raise ValueError(f"job {number}, gap {gap_s} s, service {service_s} s")
    return service_s + number * max(0.0, service_s - gap_s)
