"""Claims on latency and time to first token: TRAIL against vLLM and simpler orders."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.reproduce.accepted import Band, Finding, Order, Trend
from experiments.reproduce.claim import Claim
from experiments.reproduce.papers.trail import measures
from experiments.reproduce.papers.trail.settings import POLICIES, SYSTEMS
from experiments.reproduce.papers.trail.studies import (
    BURST,
    BY_RATE,
    LOADED,
    RATES,
    WIDE,
    WIDE_RATES,
)

_LATENCY, _TTFT = "1.66 to 2.01 times lower", "1.76 to 24.07 times lower"
_EVALUATION = "evaluation, latency and TTFT by rate"
_OVER = "vLLM-FCFS over TRAIL"

HEADLINE: list[Claim[Any, Any]] = [
    Claim(
        id="latency-gain",
        where="abstract",
        what=f"mean latency of {_OVER} at {LOADED:g} requests/s",
        published=_LATENCY,
        accepted=Band(1.4, 2.3),
        study=BY_RATE,
        measure=partial(measures.ratio, rate=LOADED, of="latency"),
        note="48 slots serve 11 to 12 requests/s; above that the queue of a finite trace grows to "
        "its end, and ratios of means depend on the trace's length",
    ),
    Claim(
        id="ttft-gain",
        where="abstract",
        what=f"mean TTFT of {_OVER} at {LOADED:g} requests/s",
        published=_TTFT,
        accepted=Band(low=10.0),
        study=BY_RATE,
        measure=partial(measures.ratio, rate=LOADED, of="ttft"),
    ),
    Claim(
        id="latency-gains",
        where=_EVALUATION,
        what=f"mean latency of {_OVER} by rate",
        published="grows with the rate",
        accepted=Trend("the rate"),
        study=BY_RATE,
        measure=partial(measures.ratios, rates=RATES, of="latency"),
    ),
    Claim(
        id="ttft-gains",
        where=_EVALUATION,
        what=f"mean TTFT of {_OVER} by rate",
        published=_TTFT,
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.ratios, rates=RATES, of="ttft"),
        note="At 30 requests/s the answers below the cap alone ask for more than 48 slots serve, "
        "and the longest wait until the arrivals end",
    ),
    Claim(
        id="gains",
        where=_EVALUATION,
        what=f"medians and 99th percentiles of {_OVER} at {LOADED:g} requests/s",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=lambda runs: {
            f"{name} of {of}": measures.ratio(runs, LOADED, key)
            for of, key in (("latency", "latency"), ("TTFT", "ttft"))
            for name, key in (("median", f"{key}_median"), ("p99", f"{key}_p99"))
        },
    ),
    Claim(
        id="light-latency",
        where=_EVALUATION,
        what=f"mean latency of {_OVER} at 5 requests/s",
        published="no gain at low load",
        accepted=Band(0.97, 1.03),
        study=BY_RATE,
        measure=partial(measures.ratio, rate=5.0, of="latency"),
    ),
    Claim(
        id="light-ttft",
        where=_EVALUATION,
        what=f"mean TTFT of {_OVER} at 5 requests/s",
        published="no gain at low load",
        accepted=Band(0.97, 1.03),
        study=BY_RATE,
        measure=partial(measures.ratio, rate=5.0, of="ttft"),
        reason="nobody queues, and the prompt's classifier takes 10 ms before a request may be "
        "ranked, of a TTFT of 31 ms; the paper runs it off the critical path",
    ),
    Claim(
        id="ttft-order",
        where=_EVALUATION,
        what=f"mean TTFT at {LOADED:g} requests/s",
        published=" > ".join(SYSTEMS),
        accepted=Order(*SYSTEMS),
        study=BY_RATE,
        measure=partial(measures.means, of="ttft", names=SYSTEMS),
        unit="s",
    ),
    Claim(
        id="fcfs-worst",
        where=_EVALUATION,
        what=f"mean latency at {LOADED:g} requests/s",
        published="vLLM-FCFS is the worst",
        accepted=Order("vLLM-FCFS", "SJF-BERT", "TRAIL-BERT"),
        study=BY_RATE,
        measure=partial(measures.means, of="latency", names=SYSTEMS),
        unit="s",
    ),
    Claim(
        id="refined-latency",
        where=_EVALUATION,
        what=f"mean latency of TRAIL over TRAIL-BERT at {LOADED:g} requests/s",
        published="at most 1",
        accepted=Band(high=1.0),
        study=BY_RATE,
        measure=partial(measures.ratio, rate=LOADED, of="latency", a="TRAIL", b="TRAIL-BERT"),
        reason="predictions that move from token to token displace long requests in turn, which "
        "then end later, all of them; exact ones (TRAIL+) are better than TRAIL-BERT, so the "
        "loss is not one of preemption. Where slots bind and not memory, mean latency is a matter "
        "of the order of lengths, for which the prompt's classifier is nearly good enough",
    ),
    Claim(
        id="ttft-steps-median",
        where=_EVALUATION,
        what="fall of the median TTFT from SJF-BERT to TRAIL-BERT and from there to TRAIL",
        published="large, then smaller",
        accepted=Order("to TRAIL-BERT", "to TRAIL"),
        study=BY_RATE,
        measure=partial(measures.steps, of="ttft_median", names=SYSTEMS[1:]),
        unit="s",
    ),
    Claim(
        id="ttft-steps-mean",
        where=_EVALUATION,
        what="the same of the mean TTFT",
        published="large, then smaller",
        accepted=Order("to TRAIL-BERT", "to TRAIL"),
        study=BY_RATE,
        measure=partial(measures.steps, of="ttft", names=SYSTEMS[1:]),
        unit="s",
        reason="the mean is made of the answers that reach the cap, a fifth of all. By the "
        "prompt's prediction alone what is left of a running request only falls, so those "
        "predicted longest displace nobody and wait to the end, as under SJF; refined predictions "
        "rise with the first token (see first-look), and let them in",
    ),
    Claim(
        id="others-latency",
        where="-",
        what=f"mean latency at {LOADED:g} requests/s, all policies",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.means, of="latency", names=tuple(POLICIES)),
        unit="s",
    ),
    Claim(
        id="others-ttft",
        where="-",
        what=f"mean TTFT at {LOADED:g} requests/s, all policies",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.means, of="ttft", names=tuple(POLICIES)),
        unit="s",
        note="TRAIL+ keeps those predicted longest waiting as TRAIL-BERT does; its gain in TTFT "
        "is SJF's",
    ),
    Claim(
        id="p99",
        where="-",
        what=f"99th percentile of latency at {LOADED:g} requests/s: what shortest-first costs",
        published="-",
        accepted=Order("TRAIL", "vLLM-FCFS"),
        study=BY_RATE,
        measure=partial(measures.means, of="latency_p99", names=tuple(POLICIES)),
        unit="s",
    ),
    Claim(
        id="preemptions",
        where="-",
        what=f"preemptions of a request at {LOADED:g} requests/s",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.means, of="preemptions", names=tuple(POLICIES)),
    ),
    Claim(
        id="held",
        where="-",
        what=f"mean KV tokens of waiting requests at {LOADED:g} requests/s",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.means, of="held", names=tuple(POLICIES)),
        unit="tokens",
        note="The card holds 450,000: with these lengths memory does not bind",
    ),
    Claim(
        id="locked",
        where="-",
        what="share of the requests that pass 0.8 of their first prediction, and so are locked",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.mean, at=("TRAIL", LOADED), of="locked"),
    ),
    Claim(
        id="burst",
        where="evaluation, all requests at once",
        what=f"mean latency and TTFT of {_OVER}",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=lambda runs: {of: measures.ratio(runs, BURST, of) for of in ("latency", "ttft")},
    ),
    Claim(
        id="wide-latency",
        where=_EVALUATION,
        what=f"mean latency of {_OVER} with 256 slots, 4,000 requests",
        published=_LATENCY,
        accepted=Finding(),
        study=WIDE,
        measure=partial(measures.ratios, rates=WIDE_RATES, of="latency"),
        note="Without a gain up to 28 requests/s, which 256 slots serve",
    ),
    Claim(
        id="wide-ttft",
        where=_EVALUATION,
        what="the same of mean TTFT",
        published=_TTFT,
        accepted=Finding(),
        study=WIDE,
        measure=partial(measures.ratios, rates=WIDE_RATES, of="ttft"),
    ),
]
