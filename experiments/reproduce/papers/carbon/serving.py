"""A day of language models served in two regions, and work that waits: what carbon-aware routing
and deferral save under a latency objective, and what limits them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.reproduce.accepted import Band, Finding, Order, Trend
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.carbon.serving_runs import (
    DEFERRED_REQUESTS,
    LOADS,
    ROUTING,
    TPOT_S,
    TTFT_S,
    WAITING,
    Runs,
    arm,
    defer,
    route,
)
from experiments.reproduce.runs import mean_interval


def saved(runs: Runs, of: str, one: str, base: str) -> Estimate:
    """Percent that an arm saves against another, seed by seed."""
    pairs = zip(runs[one], runs[base], strict=True)
    return mean_interval([100.0 * (1.0 - a[of] / b[of]) for a, b in pairs])


def routing_savings(
    runs: Runs, of: str = "operational_g", routing: str = "carbon"
) -> dict[str, Estimate]:
    """Percent that a routing saves against the nearest, by load."""
    return {
        f"{load:g}/s": saved(runs, of, arm(routing, load), arm("nearest", load)) for load in LOADS
    }


def within_limits(runs: Runs) -> dict[str, Estimate]:
    """Percent of the saving without limits that routing within them keeps, by load."""
    found = {}
    for load in LOADS:
        each = zip(*(runs[arm(name, load)] for name in ROUTING), strict=True)
        samples = [
            100.0
            * (near["operational_g"] - limited["operational_g"])
            / (near["operational_g"] - free["operational_g"])
            for near, limited, free in each
        ]
        found[f"{load:g}/s"] = mean_interval(samples)
    return found


def waiting_savings(
    runs: Runs, names: Sequence[str] = WAITING, of: str = "operational_g"
) -> dict[str, Estimate]:
    """Percent saved of what batch work adds when it runs at once."""
    return {
        name: mean_interval(
            [
                100.0 * (once[of] - held[of]) / (once[of] - none[of])
                for once, held, none in zip(
                    runs["at once"], runs[name], runs["no batch"], strict=True
                )
            ]
        )
        for name in names
    }


def worst(runs: Runs, of: str, names: Sequence[str]) -> Estimate:
    """The largest mean of a figure among arms."""
    return max((mean(runs, of, name) for name in names), key=lambda estimate: estimate.value)


def mean(runs: Runs, of: str, name: str) -> Estimate:
    return mean_interval([one[of] for one in runs[name]])


def by_arm(of: str, names: Mapping[str, str]) -> Callable[[Runs], dict[str, Estimate]]:
    """Means of a figure, by label and arm."""
    return lambda runs: {label: mean(runs, of, name) for label, name in names.items()}


def _share_of_energy(runs: Runs) -> dict[str, Estimate]:
    """Percent saved at the lightest load: of carbon, of energy, and of carbon per joule."""
    names = arm("carbon", LOADS[0]), arm("nearest", LOADS[0])
    of_each = {
        name: [one | {"g_per_j": one["operational_g"] / one["energy_j"]} for one in runs[name]]
        for name in names
    }
    labels = {"carbon": "operational_g", "energy": "energy_j", "carbon per joule": "g_per_j"}
    return {label: saved(of_each, of, *names) for label, of in labels.items()}


def _errors(runs: Runs) -> dict[str, Estimate]:
    names = {"perfect": "may pause", "10 % error": "10 % error", "30 % error": "30 % error"}
    found = waiting_savings(runs, list(names.values()))
    return {label: found[name] for label, name in names.items()}


def undone(runs: Runs) -> Estimate:
    """Batch requests of all runs that had not ended by their deadline, be they late, still under
    way, turned away or held to the end."""
    return Estimate.exact(
        sum(
            DEFERRED_REQUESTS - one["deferred.in_time"]
            for name, each in runs.items()
            if name not in ("no batch", "ignoring capacity")
            for one in each
        )
    )


_HEAVY = {name: arm(name, LOADS[-1]) for name in ROUTING}
_AWARE = [arm("carbon", load) for load in LOADS]
REGIONAL = Study("regions", route)
DEFERRED = Study("deferral", defer)
_LIMITS = "Carbon-aware policies, limits of spatial shifting (EuroSys'24)"
_LWA = "Let's Wait Awhile, of requests"

CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="regions-limits",
        where=_LIMITS,
        what="part of the carbon that sending all to the cleanest site would save which routing by "
        f"carbon saves within its capacity, at most {TTFT_S:g} s to the first token and "
        f"{TPOT_S:g} s a token, by load",
        published="savings are limited by capacity",
        accepted=Trend("the load", rises=False, every_step=True),
        study=REGIONAL,
        measure=within_limits,
        unit="%",
    ),
    Claim(
        id="regions-savings",
        where=_LIMITS,
        what="operational carbon of a day that routing by carbon saves against the nearest site",
        published="-",
        accepted=Finding(),
        study=REGIONAL,
        measure=routing_savings,
        unit="%",
        note="idle power, which stays where the GPUs are, is in the carbon",
    ),
    Claim(
        id="regions-work",
        where=_LIMITS,
        what="the same of the carbon of work, without what idle parts draw",
        published="-",
        accepted=Finding(),
        study=REGIONAL,
        measure=lambda runs: routing_savings(runs, "work_g"),
        unit="%",
    ),
    Claim(
        id="regions-energy",
        where=_LIMITS,
        what=f"carbon, energy, and carbon per joule saved at {LOADS[0]:g} requests/s",
        published="-",
        accepted=Finding(),
        study=REGIONAL,
        measure=_share_of_energy,
        unit="%",
        note="fuller batches at one site take less energy for the same tokens: a part of what is "
        "saved is no merit of the grid",
    ),
    Claim(
        id="regions-ttft",
        where="latency objective",
        what="99th percentile of the time to first token under routing by carbon, worst load",
        published=f"at most {TTFT_S:g} s (the objective)",
        accepted=Band(high=TTFT_S),
        study=REGIONAL,
        measure=lambda runs: worst(runs, "ttft_s.p99", _AWARE),
        unit="s",
    ),
    Claim(
        id="regions-tpot",
        where="latency objective",
        what="99th percentile of the time per output token under routing by carbon, worst load",
        published=f"at most {TPOT_S:g} s (the objective)",
        accepted=Band(high=TPOT_S),
        study=REGIONAL,
        measure=lambda runs: worst(runs, "tpot_s.p99", _AWARE),
        unit="s",
        note="at the highest load the nearest site, which knows no objective, misses it",
    ),
    Claim(
        id="regions-ignoring-capacity",
        where=_LIMITS,
        what=f"requests within the objective at {LOADS[-1]:g} requests/s, all to the cleanest site",
        published="claims of savings without capacity limits do not hold",
        accepted=Order("carbon", "cleanest"),
        study=REGIONAL,
        measure=by_arm("good_share", _HEAVY),
        unit="%",
    ),
    Claim(
        id="regions-cleanest-saves",
        where=_LIMITS,
        what=f"carbon that the cleanest site would save at {LOADS[-1]:g} requests/s, and the 99th "
        "percentile of its time to first token",
        published="-",
        accepted=Finding(),
        study=REGIONAL,
        measure=lambda runs: {
            "saved, %": saved(runs, "operational_g", _HEAVY["cleanest"], _HEAVY["nearest"]),
            "p99, s": mean(runs, "ttft_s.p99", _HEAVY["cleanest"]),
        },
    ),
    Claim(
        id="deferral-saves",
        where=_LWA,
        what="carbon saved of what batch work adds, released in the cleanest hours within 18 h",
        published="savings are never negative with a perfect forecast",
        accepted=Band(low=0.0),
        study=DEFERRED,
        measure=lambda runs: waiting_savings(runs)["may pause"],
        unit="%",
    ),
    Claim(
        id="deferral-policies",
        where=_LWA,
        what="the same by policy",
        published="-",
        accepted=Finding(),
        study=DEFERRED,
        measure=waiting_savings,
        unit="%",
    ),
    Claim(
        id="deferral-energy",
        where=_LWA,
        what="energy saved of what batch work adds, by policy",
        published="-",
        accepted=Finding(),
        study=DEFERRED,
        measure=lambda runs: waiting_savings(runs, of="energy_j"),
        unit="%",
        note="held back it is served together, in fuller batches: so much of what is saved is no "
        "merit of the hours",
    ),
    Claim(
        id="deferral-errors",
        where="Let's Wait Awhile, forecast errors",
        what="the same by the forecast's error, planned again each hour",
        published="errors cost savings",
        accepted=Trend("the error", rises=False),
        study=DEFERRED,
        measure=_errors,
        unit="%",
    ),
    Claim(
        id="deferral-deadlines",
        where=_LWA,
        what=f"batch requests of {DEFERRED_REQUESTS:,} a run that had not ended by their deadline, "
        "all policies and seeds",
        published="0",
        accepted=Band(0.0, 0.0),
        study=DEFERRED,
        measure=undone,
    ),
    Claim(
        id="deferral-ttft",
        where="latency objective",
        what="99th percentile of the chats' time to first token beside deferred work, worst policy",
        published=f"at most {TTFT_S:g} s (the objective)",
        accepted=Band(high=TTFT_S),
        study=DEFERRED,
        measure=lambda runs: worst(runs, "ttft_s.p99", WAITING),
        unit="s",
    ),
    Claim(
        id="deferral-ignoring-capacity",
        where="latency objective",
        what="chats within the objective where batch work is released without regard to them, ten "
        "times as fast",
        published="-",
        accepted=Order("may pause", "ignoring capacity"),
        study=DEFERRED,
        measure=by_arm(
            "good_share", {name: name for name in ("may pause", "ignoring capacity", "at once")}
        ),
        unit="%",
    ),
]
