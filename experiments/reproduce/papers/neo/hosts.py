"""Claims on throughput by host and output length on the A10G."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.reproduce.accepted import Band, Order, Table, Trend
from experiments.reproduce.claim import Claim
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.neo import measures
from experiments.reproduce.papers.neo.measures import MAKESPAN, WINDOW
from experiments.reproduce.papers.neo.settings import HOSTS
from experiments.reproduce.papers.neo.studies import (
    A10G,
    OUTPUTS,
    Point,
    Runs,
)

_FIGURE = "figure 10a"
#: Throughput over SwiftLLM's by output length, read off the figure.
PUBLISHED = {
    "2xlarge": dict(zip(OUTPUTS, (1.04, 1.12, 1.065, 1.035, 1.02), strict=True)),
    "8xlarge": dict(zip(OUTPUTS, (1.04, 1.30, 1.22, 1.155, 1.10), strict=True)),
}
_HOW = {MAKESPAN: "until the last request is done", WINDOW: "from the 30th to the 70th of 100"}


def _figure(host: str, of: str) -> Claim[Any, Any]:
    return Claim(
        id=f"{host}-{'makespan' if of == MAKESPAN else 'window'}",
        where=_FIGURE,
        what=f"NEO's throughput over SwiftLLM's on {host}, {_HOW[of]}",
        published=", ".join(f"{value:g}" for value in PUBLISHED[host].values()),
        accepted=Table({f"lo {lo}": x for lo, x in PUBLISHED[host].items()}, absolute=0.05),
        study=A10G,
        measure=partial(measures.gains, where=host, of=of),
        note=""
        if of == MAKESPAN
        else "Completions come in cohorts: near the balance of GPU and "
        "host, outputs of 100 on 8xlarge, this measure is bistable",
    )


def _order(lo: int) -> Claim[Any, Any]:
    return Claim(
        id=f"order-{lo}",
        where=_FIGURE,
        what=f"NEO's throughput over SwiftLLM's by host, outputs of about {lo}",
        published="the more of the host the better",
        accepted=Order("16xlarge", "8xlarge", "4xlarge"),
        study=A10G,
        measure=partial(measures.by_host, lo=lo),
        note="16xlarge and 8xlarge are both at the ceiling of one prompt an iteration"
        if lo == 100
        else "",
    )


def _small_hosts(runs: Runs) -> dict[str, Estimate]:
    return {
        f"lo {lo}": measures.quotient(
            *(measures.gain(runs, Point(host, 1000, lo, "NEO")) for host in ("4xlarge", "2xlarge"))
        )
        for lo in OUTPUTS[1:]
    }


def _small_least(runs: Runs) -> Estimate:
    return measures.least(
        measures.gain(runs, Point(host, 1000, lo, "NEO"))
        for host in ("2xlarge", "4xlarge")
        for lo in OUTPUTS[1:]
    )


CLAIMS: list[Claim[Any, Any]] = [
    *(_figure(host, of) for host in PUBLISHED for of in _HOW),
    Claim(
        id="same-at-50",
        where=_FIGURE,
        what="NEO's throughput over SwiftLLM's by host, outputs of about 50",
        published="1.04 whatever the host",
        accepted=Table(dict.fromkeys(HOSTS, 1.04), absolute=0.05),
        study=A10G,
        measure=partial(measures.by_host, lo=50),
    ),
    *(_order(lo) for lo in OUTPUTS[1:]),
    Claim(
        id="bandwidth-not-cores",
        where="section 5.5",
        what="NEO's gain on 4xlarge over that on 2xlarge, which has half the cores",
        published="about 1: bandwidth decides, not cores",
        accepted=Table({f"lo {lo}": 1.0 for lo in OUTPUTS[1:]}, absolute=0.05),
        study=A10G,
        measure=_small_hosts,
        note="The default gives a chiplet 25 GB/s; of the 2xlarge the figure is 28",
    ),
    Claim(
        id="small-hosts",
        where=_FIGURE,
        what="least gain on 2xlarge and 4xlarge, outputs of 100 and more",
        published="at least 1",
        accepted=Band(low=1.0),
        study=A10G,
        measure=_small_least,
    ),
    Claim(
        id="peaks-higher",
        where=_FIGURE,
        what="NEO's largest throughput over SwiftLLM's by host",
        published="higher with more of the host",
        accepted=Trend("the host", every_step=True),
        study=A10G,
        measure=lambda runs: {host: measures.peak(runs, host) for host in HOSTS},
    ),
    Claim(
        id="peaks-later",
        where=_FIGURE,
        what="length of outputs with which it is largest, by host",
        published="longer with more of the host",
        accepted=Trend("the host"),
        study=A10G,
        measure=lambda runs: {host: measures.peak_at(runs, host) for host in HOSTS},
        unit="tokens",
    ),
    Claim(
        id="peak-2xlarge",
        where="section 5.5",
        what="NEO's largest throughput over SwiftLLM's on 2xlarge",
        published="1.122",
        accepted=Band(1.072, 1.172),
        study=A10G,
        measure=partial(measures.peak, where="2xlarge"),
    ),
    Claim(
        id="peak-8xlarge",
        where="section 5.5",
        what="NEO's largest throughput over SwiftLLM's on 8xlarge",
        published="1.297",
        accepted=Band(1.247, 1.347),
        study=A10G,
        measure=partial(measures.peak, where="8xlarge"),
    ),
]
