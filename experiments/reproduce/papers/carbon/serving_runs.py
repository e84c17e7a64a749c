"""Runs of serving: a day of chats in two regions, and a day and a half beside work that waits."""

from __future__ import annotations

from experiments.reproduce.runs import sweep
from experiments.reproduce.workers import Workers
from sim.core.result import Result

#: Figures of one run by name; by arm, one for each seed.
Figures = dict[str, float]
Runs = dict[str, list[Figures]]

#: The objective of a chat: time to first token, time per output token. An assumption.
TTFT_S, TPOT_S = 2.0, 0.1
#: Requests a second of both regions together, mean of the day; a replica serves about 0.8.
LOADS = (0.2, 0.4, 0.7)
REGIONS = ("west", "east")
SEEDS = 4
_SERVED = (
    # With an L4 in place of its A10G, as g6.2xlarge has one.
    "node=g5.2xlarge",
    "gpu=l4",
    "model=llama3.1-8b",
    "replicas=2",
    "workload.count=null",
    "series_interval_s=null",
    f"slo_ttft_s={TTFT_S}",
    f"slo_tpot_s={TPOT_S}",
)
#: What routing keeps on average lies below the objective, which is for 99 of 100 requests.
ROUTING = {
    "nearest": ("routing=nearest",),
    "carbon": ("routing=carbon", "routing.ttft_s=1.5", "routing.tpot_s=0.08"),
    "cleanest": ("routing=cleanest",),
}
_BATCH = "client.clients.batch"
#: Batch work: how it is held back, and with which error of the forecast.
_WAITING = "lets_wait_awhile_interruptible"
_DEFERRAL: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "no batch": ("at_once", 0.0, (f"{_BATCH}.workload.count=0",)),
    "at once": ("at_once", 0.0, ()),
    "in one piece": ("lets_wait_awhile", 0.0, ()),
    "may pause": (_WAITING, 0.0, ()),
    "threshold": ("threshold", 0.0, ()),
    "10 % error": (_WAITING, 0.1, ()),
    "30 % error": (_WAITING, 0.3, ()),
    "ignoring capacity": (
        _WAITING,
        0.0,
        (f"{_BATCH}.rate_rps=3.0", f"{_BATCH}.most_unfinished=1000000"),
    ),
}
#: Batch requests of a run: 0.15 a second for 18 h.
DEFERRED_REQUESTS = 9720
WAITING = ("in one piece", "may pause", "threshold")
HALF_DAY_S, DAY_S = 43_200.0, 86_400.0


def route(workers: Workers) -> Runs:
    """A day of chats from two regions, by load and routing."""
    return sweep(routing_arms(), _seeds(workers), figures, workers)


def defer(workers: Workers) -> Runs:
    """A day and a half of chats beside batch work, by policy."""
    return sweep(deferral_arms(), _seeds(workers), figures, workers)


def routing_arms() -> dict[str, list[str]]:
    """Settings by arm: two regions whose days and grids are eight hours apart, a replica in
    each."""
    points = {}
    for load in LOADS:
        for name, routing in ROUTING.items():
            points[arm(name, load)] = [
                *_SERVED,
                "cluster=two_regions",
                "sites=two_regions",
                "client=two_regions",
                *(f"client.clients.{region}.arrivals.rate_rps={load / 2}" for region in REGIONS),
                f"until_s={DAY_S}",
                *routing,
            ]
    return points


def deferral_arms() -> dict[str, list[str]]:
    """Settings by arm: one site on a grid with much sun, batch work handed in over the first 18 h
    that must be done 18 h later. All runs end with the day and a half, so that what stands there
    draws the same."""
    points = {}
    for name, (policy, error, extra) in _DEFERRAL.items():
        points[name] = [
            *_SERVED,
            "client=deferred",
            f"shifting@{_BATCH}.shifting={policy}",
            "arrivals=daily",
            "arrivals.rate_rps=0.25",
            # The grid's hours are UTC, the people's eight behind.
            "arrivals.from_hour=16.0",
            "carbon/intensity@sites.sites.home.intensity.intensity=duck",
            f"sites.sites.home.forecast_error={error}",
            f"{_BATCH}.workload.count={DEFERRED_REQUESTS}",
            f"{_BATCH}.arrivals.rate_rps=0.15",
            f"{_BATCH}.wait_s={1.5 * HALF_DAY_S}",
            f"{_BATCH}.rate_rps=0.3",
            f"{_BATCH}.most_unfinished=16",
            f"until_s={DAY_S + HALF_DAY_S}",
            *extra,
        ]
    return points


def figures(result: Result) -> Figures:
    """What the claims need of a run: grams and joules, and the latency of what does not wait."""
    requests, carbon = result.table("requests"), result.table("carbon")
    chats = requests[requests.kind == "chat"]
    done = chats[chats.status == "finished"]
    good = (done.ttft_s <= TTFT_S) & ~(done.tpot_s > TPOT_S)
    found = {
        "operational_g": result.number("carbon.operational_g"),
        "work_g": float(carbon.operational_g[carbon.account == "work"].sum()),
        "energy_j": result.number("energy_j"),
        "ttft_s.p99": float(done.ttft_s.quantile(0.99)),
        "tpot_s.p99": float(done.tpot_s.quantile(0.99)),
        "good_share": 100.0 * float(good.sum()) / len(chats),
    }
    if "serving_batch_deferred" in result.tables:
        held = result.table("serving_batch_deferred")
        found["deferred.in_time"] = float((held.finish_s <= held.deadline_s).sum())
    return found


def arm(routing: str, load: float) -> str:
    return f"{routing} at {load:g}/s"


def _seeds(workers: Workers) -> range:
    return range(4 * SEEDS if workers.full else SEEDS)
