"""Cost of LLM serving per request and per iteration, beside the peers."""

from __future__ import annotations

from experiments.benchmarks.bare import bare_timeout_s, in_bare_timeouts
from experiments.benchmarks.serving_work import Listed, Measured, conversation, measure

_REQUESTS = 10_000


def _cost(requests: Listed, rate: float, replicas: int, mode: str, repeats: int) -> Measured:
    """Costs in bare timeouts in place of seconds."""
    seen: list[Measured] = []

    def work() -> float:
        seen.append(measure(requests, rate, replicas, mode))
        return seen[-1].cpu_s

    ratio = in_bare_timeouts(work, repeats)
    return Measured(ratio, seen[-1].requests, seen[-1].iterations)


def print_speed(repeats: int) -> None:
    """Bare timeouts per request and per iteration, jump and step."""
    requests, name = conversation(_REQUESTS)
    measure(requests, 32.0, 16)
    unit_us = bare_timeout_s() * 1e6
    print(f"{requests.count} requests of the {name}; one bare timeout here is {unit_us:.2f} us")
    print(f"{'mode':6}{'req/s':>7}{'replicas':>10}{'per request':>13}{'per iteration':>15}   bar")
    rows = [
        ("jump", 2.0, 1, "at most 100 per request (aim 60)"),
        ("jump", 32.0, 16, "at most 100 per request (aim 60)"),
        ("step", 2.0, 1, "at most 8 per iteration (aim 6)"),
        ("jump", 0.5, 1, ""),
        ("step", 0.5, 1, ""),
        ("jump", 4.0, 1, ""),
        ("step", 4.0, 1, ""),
    ]
    per_request: dict[tuple[str, float], float] = {}
    for mode, rate, replicas, bar in rows:
        cost = _cost(requests, rate, replicas, mode, repeats)
        each = cost.cpu_s / cost.requests
        if replicas == 1:
            per_request[mode, rate] = each
        per_iteration = cost.cpu_s / cost.iterations
        print(f"{mode:6}{rate:7g}{replicas:10d}{each:13.1f}{per_iteration:15.2f}   {bar}")
    for rate, bar in ((0.5, "at least 10"), (2.0, "at least 2"), (4.0, "at least 0.91")):
        ratio = per_request["step", rate] / per_request["jump", rate]
        print(f"step / jump at {rate:g} requests/s: {ratio:.2f}   {bar}")
    print()


def print_scaling(repeats: int) -> None:
    """Cost per request from 1 to 64 replicas at 2 requests/s each."""
    requests, _ = conversation(_REQUESTS)
    print("cost per request at 2 requests/s for each replica, in bare timeouts")
    first = 0.0
    for replicas in (1, 4, 16, 64):
        cost = _cost(requests, 2.0 * replicas, replicas, "jump", repeats)
        each = cost.cpu_s / cost.requests
        first = first or each
        print(f"{replicas:4d} replicas {each:8.1f}   {each / first:.2f} times one replica")
    print("bar: less than 1.5 times from 1 to 64\n")
