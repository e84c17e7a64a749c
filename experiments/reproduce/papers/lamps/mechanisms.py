"""Claims on InferCept, on what becomes of KV, on capacity, and laws."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.reproduce.accepted import Band, Finding, Order, Table, Trend
from experiments.reproduce.claim import Claim
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.lamps import measures
from experiments.reproduce.papers.lamps.areas import AREAS, IN_PIECES, Areas
from experiments.reproduce.papers.lamps.studies import (
    BY_KIND,
    BY_RATE,
    BY_STEP,
    CAPACITY,
    CAPACITY_RATES,
    IN_CALLS,
    PREDICTIONS,
    STEPS,
    Runs,
)
from experiments.reproduce.runs import mean_interval

#: KV tokens of GPT-J-6B's pool.
_POOL_TOKENS = 50_000.0
_LEVELS_S = (0.05, 0.1, 0.2, 0.5)


def _area_ratios(found: Areas, way: str, pieces: bool = False) -> dict[str, Estimate]:
    return {
        name.removesuffix(IN_PIECES): mean_interval(values)
        for (name, by), values in found.items()
        if by == way and name.endswith(IN_PIECES) == pieces
    }


def _by_prediction(found: Runs, of: str) -> dict[str, Estimate]:
    return {name: measures.mean(found, (name, rate), of) for name, rate in found}


_MAP = {
    "math, 6/s": 100.0,
    "ve, 6/s": 100.0,
    "qa, 6/s": 100.0,
    "qa, 0.5/s": 0.0,
    "chatbot, 6/s": 0.0,
    "image, 6/s": 0.0,
    "tts, 6/s": 0.0,
}

#: Measured over predicted area.
_EQUAL = {
    f"{handling}, {calls}": 1.0
    for calls in ("one call", "several calls")
    for handling in ("preserve", "discard")
}

MECHANISMS: list[Claim[Any, Any]] = [
    Claim(
        id="infercept-rate",
        where="InferCept, figure of normalised latency",
        what="largest ratio of InferCept's to vLLM's rate at equal normalised latency, of levels "
        "from 0.05 to 0.5 s/token",
        published="up to 1.6",
        accepted=Band(1.3, 2.0),
        study=BY_RATE,
        measure=partial(measures.largest_rate_ratio, levels_s=_LEVELS_S),
    ),
    Claim(
        id="infercept-rates",
        where="InferCept, figure of normalised latency",
        what="the same by level",
        published="up to 1.6",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.rate_ratios, levels_s=_LEVELS_S),
    ),
    Claim(
        id="infercept-latency",
        where="InferCept, section on end-to-end performance",
        what="vLLM's normalised latency over InferCept's by rate",
        published="1.9 to 5.7",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(
            measures.ratios, a="vLLM", b="InferCept", rates=(2.0, 3.0), of="normalised_s"
        ),
        note="Around vLLM's capacity, 3 requests/s, it has any value: the ratio says more of the "
        "rate than of the systems",
    ),
    Claim(
        id="improved-discard",
        where="InferCept, steps of its improvement",
        what="mean normalised latency of all requests at 4 requests/s, windows of 600 s",
        published="each step improves",
        accepted=Order("vLLM", "improved discard", "InferCept"),
        study=BY_STEP,
        measure=partial(measures.means, systems=STEPS, rate=4.0, of="normalised_s"),
        unit="s/token",
    ),
    Claim(
        id="steps",
        where="InferCept, steps of its improvement",
        what="the same of all steps and parts",
        published="each step improves",
        accepted=Finding(),
        study=BY_STEP,
        measure=partial(measures.means, systems=STEPS, rate=4.0, of="normalised_s"),
        unit="s/token",
        note="Both ways of discarding always compute as much again, and saturate at some 3 "
        "requests/s: to keep the place moves waiting from returns to first tokens",
    ),
    Claim(
        id="recomputation",
        where="InferCept, abstract",
        what="share of vLLM's forward time that recomputes what was thrown away, at 3 requests/s",
        published="0.37 to 0.40",
        accepted=Band(0.25, 0.5),
        study=BY_RATE,
        measure=partial(measures.mean, at=("vLLM", 3.0), of="recompute_share"),
        note="Recomputed tokens x the profile's time of a token, over the time in iterations; the "
        "fixed time of an iteration counts for nobody",
    ),
    Claim(
        id="recomputation-by-rate",
        where="InferCept, abstract",
        what="the same along the rates",
        published="0.37 to 0.40",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(
            measures.along, system="vLLM", rates=(2.0, 3.0, 4.0, 6.0), of="recompute_share"
        ),
    ),
    Claim(
        id="strategies-lamps",
        where="constants of the profile (derived)",
        what="calls that LAMPS's handling preserves, by kind and load, no swap",
        published="math, ve and busy qa preserved; idle qa, chatbot, image, tts discarded",
        accepted=Table(_MAP, absolute=15.0),
        study=BY_KIND,
        measure=partial(measures.strategy_map, system="LAMPS without scheduling"),
        unit="%",
        reason="the break-even of a short context is long, since an iteration's fixed 10 ms are "
        "charged however little is recomputed: with 40,000 other tokens 100 are worth keeping for "
        "5.9 s, and speech takes 6.1 s on average",
    ),
    Claim(
        id="strategies-infercept",
        where="constants of the profile (derived)",
        what="calls that InferCept preserves to the end, by kind and load, no swap",
        published="math, ve and busy qa preserved; idle qa, chatbot, image, tts discarded",
        accepted=Table(_MAP, absolute=15.0),
        study=BY_KIND,
        measure=partial(measures.strategy_map, system="InferCept"),
        unit="%",
    ),
    Claim(
        id="strategies-released",
        where="constants of the profile (derived)",
        what="calls that LAMPS's handling preserves with the releases' formula of waste",
        published="math, ve and busy qa preserved; idle qa, chatbot, image, tts discarded",
        accepted=Table(_MAP, absolute=15.0),
        study=BY_KIND,
        measure=partial(measures.strategy_map, system="LAMPS without scheduling, released waste"),
        unit="%",
    ),
    Claim(
        id="qa-with-load",
        where="constants of the profile (derived)",
        what="calls of qa that LAMPS's handling preserves, along the rates",
        published="preserved at high load, discarded at low",
        accepted=Trend("the rate", every_step=True),
        study=BY_KIND,
        measure=partial(measures.preserved_by_rate, system="LAMPS without scheduling", kind="qa"),
        unit="%",
    ),
    Claim(
        id="ve-idle",
        where="constants of the profile (derived)",
        what="calls that LAMPS's handling preserves at 0.5 requests/s",
        published="-",
        accepted=Finding(),
        study=BY_KIND,
        measure=partial(measures.preserved_by_kind, system="LAMPS without scheduling", rate=0.5),
        unit="%",
    ),
    Claim(
        id="preserve-always",
        where="memory of calls (derived)",
        what="rate at which requests that preserve always fill the pool, from the token seconds "
        "that one holds at 1 request/s",
        published="1.2, below 2 in any case",
        accepted=Band(high=2.0),
        study=CAPACITY,
        measure=partial(measures.bound_rps, rate=1.0, pool_tokens=_POOL_TOKENS),
        unit="requests/s",
        reason="the derivation holds 700 tokens for 58 s, the product of two means. Calls last "
        "that long in all, but while they last 290 tokens are held: long calls are those of "
        "chats, whose contexts are short",
    ),
    Claim(
        id="preserve-collapses",
        where="memory of calls (derived)",
        what="mean TTFT under preserve, always, along the rates",
        published="collapses",
        accepted=Trend("the rate"),
        study=CAPACITY,
        measure=partial(measures.along, system="preserve", rates=CAPACITY_RATES, of="ttft_s"),
        unit="s",
        note="Where those that run need blocks, the engine takes KV from requests in calls, the "
        "latest first; it takes none to admit others, so they queue",
    ),
    Claim(
        id="preserve-against-discard",
        where="memory of calls (derived)",
        what="mean latency at 3 requests/s, always preserved and always discarded (returns keep "
        "their place)",
        published="preserve is the slower",
        accepted=Order("preserve", "improved discard"),
        study=CAPACITY,
        measure=partial(
            measures.means, systems=("preserve", "improved discard"), rate=3.0, of="e2e_s"
        ),
        unit="s",
    ),
    Claim(
        id="little-calls",
        where="M/G/infinity",
        what="requests seen in calls over throughput x mean call time, by rate",
        published="1",
        accepted=Table({"1/s": 1.0, "4/s": 1.0}, relative=0.02),
        study=IN_CALLS,
        measure=measures.sampled_over_law,
    ),
    Claim(
        id="calls-poisson",
        where="M/G/infinity",
        what="variance over mean of the number of requests in calls at 1 request/s, each second",
        published="1",
        accepted=Finding(),
        study=IN_CALLS,
        measure=partial(measures.dispersion, rate=1.0),
    ),
    Claim(
        id="area",
        where="rank of LAMPS",
        what="token seconds that requests hold on an empty GPU over the predicted area, prompts in "
        "one iteration; with one call that is the rank they are given",
        published="1",
        accepted=Table(_EQUAL, relative=0.01),
        study=AREAS,
        measure=partial(_area_ratios, way="as ranked"),
    ),
    Claim(
        id="area-each-token",
        where="rank of LAMPS",
        what="the same, predicted with an iteration for each token",
        published="1",
        accepted=Finding(),
        study=AREAS,
        measure=partial(_area_ratios, way="an iteration each"),
        note="The pass over a prompt yields a segment's first token, so that an iteration for each "
        "is one too many, which shows where segments are short (ve: 4 tokens after a prompt of "
        "1,973). The rank has one less",
    ),
    Claim(
        id="area-in-pieces",
        where="rank of LAMPS",
        what="the same over the rank, where prompts take iterations of 384 tokens",
        published="1",
        accepted=Finding(),
        study=AREAS,
        measure=partial(_area_ratios, way="as ranked", pieces=True),
        note="The rank prices a prompt as one pass; in pieces it takes longer",
    ),
    *(
        Claim(
            id=f"predictions-{name}",
            where="predictors",
            what=f"mean {what} of LAMPS as released at 7 requests/s by prediction, windows of "
            "900 s",
            published="near-oracle curves",
            accepted=Finding(),
            study=PREDICTIONS,
            measure=partial(_by_prediction, of=key),
            unit="s",
        )
        for name, what, key in (
            ("latency", "latency of all requests", "e2e_s"),
            ("ttft", "TTFT of all requests", "ttft_s"),
        )
    ),
]
