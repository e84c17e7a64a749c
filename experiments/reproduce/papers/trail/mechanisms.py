"""Claims on the lock, on errors of predictions, on rules of rank, and on the toy server."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.reproduce.accepted import Band, Finding, Order, Table, Trend
from experiments.reproduce.claim import Claim
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.trail import measures, toy
from experiments.reproduce.papers.trail.studies import (
    BY_LOCK,
    BY_NOISE,
    BY_RANK,
    NOISE,
    SHORT,
    TOY,
    Runs,
)
from experiments.reproduce.runs import mean_interval

_LOCK = "evaluation, choice of C"
_SHORT = f"{SHORT} blocks of KV"
_TOY_LEVELS = {
    "FCFS, latency": 14.5,
    "FCFS, ttft": 10.7,
    "SJF, latency": 10.1,
    "SJF, ttft": 6.4,
    "C = 0.8, latency": 10.2,
    "C = 0.8, ttft": 0.3,
    "FCFS, latency_p99": 27.0,
    "SJF, latency_p99": 67.0,
    "C = 0.8, latency_p99": 80.0,
}


def _levels(runs: Runs) -> dict[str, Estimate]:
    found = {}
    for name in _TOY_LEVELS:
        policy, _, figure = name.rpartition(", ")
        found[name] = measures.mean(runs, (policy, toy.RATE_RPS), figure)
    return found


def _peaks(runs: Runs) -> dict[str, Estimate]:
    return measures.means(runs, "kv_peak", ("FCFS", "C = 0.5", "C = 0.8", "C = 1"), toy.RATE_RPS)


def largest_difference(runs: Runs) -> Estimate:
    """Largest difference of a policy's mean latency from FCFS's at the light rate, in percent."""
    base = [one["latency"] for one in runs["FCFS", toy.LIGHT_RPS]]
    return mean_interval(
        [
            max(
                100.0 * abs(runs[name, toy.LIGHT_RPS][seed]["latency"] / fcfs - 1.0)
                for name in toy.POLICIES
            )
            for seed, fcfs in enumerate(base)
        ]
    )


def _by_rank(runs: Runs, kv: str, of: str) -> dict[str, Estimate]:
    ending = f", {kv}"
    return {
        name.removesuffix(ending): measures.mean(runs, (name, rate), of)
        for name, rate in runs
        if name.endswith(ending)
    }


MECHANISMS: list[Claim[Any, Any]] = [
    Claim(
        id="lock-memory",
        where=_LOCK,
        what="mean KV tokens of waiting requests by C, KV ample",
        published="grows with C",
        accepted=Trend("C"),
        study=BY_LOCK,
        measure=partial(measures.by_lock, kv="ample", of="held"),
        unit="tokens",
        note="Nearly all of it comes with the first 0.05: a request is displaced at its first "
        "tokens, when it looks longer than those that wait (see first-look)",
    ),
    Claim(
        id="lock-memory-short",
        where=_LOCK,
        what=f"the same with {_SHORT}",
        published="grows with C",
        accepted=Trend("C"),
        study=BY_LOCK,
        measure=partial(measures.by_lock, kv="short", of="held"),
        unit="tokens",
    ),
    Claim(
        id="lock-recomputed",
        where=_LOCK,
        what=f"tokens whose KV was thrown away and computed again by C, {_SHORT}",
        published="grows with C",
        accepted=Trend("C"),
        study=BY_LOCK,
        measure=partial(measures.by_lock, kv="short", of="recomputed"),
        unit="tokens",
    ),
    Claim(
        id="lock-preemptions",
        where=_LOCK,
        what=f"preemptions of a request by C, {_SHORT}",
        published="grow with C",
        accepted=Trend("C"),
        study=BY_LOCK,
        measure=partial(measures.by_lock, kv="short", of="preemptions"),
    ),
    Claim(
        id="lock-latency",
        where=_LOCK,
        what=f"mean latency by C, {_SHORT}",
        published="C = 0.8 is better than C = 1",
        accepted=Finding(),
        study=BY_LOCK,
        measure=partial(measures.by_lock, kv="short", of="latency"),
        unit="s",
        note="0.8 and 1 are the same: hardly a request is displaced in the last fifth of its "
        "prediction, when little seems left of it. By mean latency no preemption is best here "
        "(C = 0), by TTFT any",
    ),
    Claim(
        id="lock-ttft",
        where=_LOCK,
        what=f"mean TTFT by C, {_SHORT}",
        published="-",
        accepted=Finding(),
        study=BY_LOCK,
        measure=partial(measures.by_lock, kv="short", of="ttft"),
        unit="s",
    ),
    Claim(
        id="errors-buy-ttft",
        where="-",
        what=f"mean TTFT of TRAIL+ with noise of a mean absolute error of {NOISE:g} tokens, by its "
        "correlation from token to token",
        published="-",
        accepted=Order("correlation 1", "correlation 0.99", "correlation 0.9"),
        study=BY_NOISE,
        measure=partial(measures.everything, of="ttft"),
        unit="s",
        note="The more errors move, the sooner a waiting request finds a running one that looks "
        "longer: TTFT by TRAIL is bought by changing one's mind, not by accuracy",
    ),
    Claim(
        id="errors-cost-latency",
        where="-",
        what="mean latency of the same",
        published="-",
        accepted=Order("correlation 0.9", "correlation 0.99", "correlation 1"),
        study=BY_NOISE,
        measure=partial(measures.everything, of="latency"),
        unit="s",
    ),
    *(
        Claim(
            id=f"ranks-{of}-{kv}",
            where="release",
            what=f"{what} under the paper's rules of rank and the release's, by margin; KV {kv}",
            published="-",
            accepted=Finding(),
            study=BY_RANK,
            measure=partial(_by_rank, kv=kv, of=of),
            unit=unit,
            note=note,
        )
        for kv, of, what, unit, note in (
            (
                "ample",
                "ttft",
                "mean TTFT",
                "s",
                "With ample KV both rules are one without a margin: slots alone are fought for, "
                "and nobody who is locked waits",
            ),
            ("shorter", "ttft", "mean TTFT", "s", ""),
            ("shorter", "latency", "mean latency", "s", ""),
            ("shorter", "recomputed", "recomputed tokens", "tokens", ""),
            ("shorter", "preemptions", "preemptions of a request", "", ""),
        )
    ),
    Claim(
        id="ranks-less-waste",
        where="release",
        what="recomputed tokens where 600 blocks of KV are short, margin 0",
        published="-",
        accepted=Order("paper", "release, margin 0"),
        study=BY_RANK,
        measure=partial(_by_rank, kv="shorter", of="recomputed"),
        unit="tokens",
    ),
    Claim(
        id="toy-levels",
        where="reference run, 16 requests/s",
        what="latency and TTFT of the toy server, means and 99th percentiles",
        published="one run",
        accepted=Table(_TOY_LEVELS, relative=0.15, absolute=0.1),
        study=TOY,
        measure=_levels,
        unit="s",
        reason="the reference is a single run with lengths drawn from the sample itself and "
        "another form of the classifiers' errors; runs of different seeds have standard "
        "deviations of 1.1 s (FCFS) and 0.6 s (SJF, TRAIL) in mean latency and 4 to 5 s in p99, "
        "and SJF's figures lie 2 to 3 of them away, FCFS's within one",
    ),
    Claim(
        id="toy-latency",
        where="reference run, 16 requests/s",
        what="mean latency: shortest-first buys it",
        published="14.5 > 10.1",
        accepted=Order("FCFS", "SJF"),
        study=TOY,
        measure=partial(measures.means, of="latency", names=("FCFS", "SJF"), rate=toy.RATE_RPS),
        unit="s",
    ),
    Claim(
        id="toy-ttft",
        where="reference run, 16 requests/s",
        what="mean TTFT: preemption buys it",
        published="10.7 > 6.4 > 0.3",
        accepted=Order("FCFS", "SJF", "C = 0.8"),
        study=TOY,
        measure=partial(
            measures.means, of="ttft", names=("FCFS", "SJF", "C = 0.8"), rate=toy.RATE_RPS
        ),
        unit="s",
    ),
    Claim(
        id="toy-p99",
        where="reference run, 16 requests/s",
        what="p99 of latency of C = 0.8 over FCFS's",
        published="80 / 27",
        accepted=Band(2.0, 4.0),
        study=TOY,
        measure=partial(measures.ratio, rate=toy.RATE_RPS, of="latency_p99", a="C = 0.8", b="FCFS"),
    ),
    Claim(
        id="toy-memory",
        where="reference run, 16 requests/s",
        what="most KV tokens in use",
        published="13.9k (FCFS), 24k to 25k (C = 0.5 to 1)",
        accepted=Table(
            {"FCFS": 13_900.0, "C = 0.5": 24_500.0, "C = 0.8": 24_500.0, "C = 1": 24_500.0},
            relative=0.15,
        ),
        study=TOY,
        measure=_peaks,
        unit="tokens",
    ),
    Claim(
        id="toy-light",
        where="reference run, 8 requests/s",
        what="largest difference of a policy's mean latency from FCFS's",
        published="all policies are identical",
        accepted=Band(high=0.1),
        study=TOY,
        measure=largest_difference,
        unit="%",
    ),
]
