"""Claims on latency along the rate of arrivals, on the T4."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.reproduce.accepted import Band, Finding, Table
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.neo import measures
from experiments.reproduce.papers.neo.ceilings import ceilings
from experiments.reproduce.papers.neo.settings import t4_online
from experiments.reproduce.papers.neo.studies import (
    A10G_CODE,
    A10G_SUMMARIES,
    BY_RATE,
    BY_RATE_FILE,
    ONLINE,
    VLLM,
    VLLM_512,
    VLLM_ALL,
    Rates,
)

_FIGURE = "figure 6c"
#: Seconds of latency for a token of output, read off the figure.
PUBLISHED_VLLM = {"0.2/s": 0.084, "0.4/s": 0.145}
PUBLISHED_NEO = {"0.5/s": 0.119, "1.5/s": 0.181, "2.5/s": 0.287, "3.1/s": 0.419}
#: Latency at which a system counts as saturated, and others at which rates are compared.
KNEE_S = 0.6
LEVELS_S = (0.2, 0.3, 0.45, KNEE_S)


def _of_prefill(rates: Rates, rate: float) -> Estimate:
    """Throughput beyond saturation over what prompts alone would allow."""
    tokens = measures.latency(rates, "NEO", rate, "prompt_tokens")
    done = measures.latency(rates, "NEO", rate, measures.MAKESPAN)
    bound = ceilings(t4_online("NEO", rate), round(tokens.value), 1)
    return measures.quotient(done, Estimate.exact(1.0 / bound.prefill_s))


def _chunks(rates: Rates, system: str) -> dict[str, Estimate]:
    return {
        f"{rate:g}/s": measures.quotient(
            measures.latency(rates, system, rate), measures.latency(rates, VLLM, rate)
        )
        for rate in ONLINE[system]
    }


def _claims(study: Study[Rates], prefix: str, lengths: str) -> list[Claim[Any, Any]]:
    return [
        Claim(
            id=f"{prefix}vllm",
            where=_FIGURE,
            what=f"vLLM's latency of a token by rate, {lengths}",
            published="0.084, 0.145 s",
            accepted=Table(PUBLISHED_VLLM, relative=0.25),
            study=study,
            measure=partial(measures.latencies, system=VLLM, at=(0.2, 0.4)),
            unit="s",
        ),
        Claim(
            id=f"{prefix}neo",
            where=_FIGURE,
            what=f"NEO's latency of a token by rate, {lengths}",
            published="0.119, 0.181, 0.287, 0.419 s",
            accepted=Table(PUBLISHED_NEO, relative=0.25),
            study=study,
            measure=partial(measures.latencies, system="NEO", at=(0.5, 1.5, 2.5, 3.1)),
            unit="s",
        ),
        Claim(
            id=f"{prefix}vllm-knee",
            where=_FIGURE,
            what=f"rate at which vLLM's latency of a token exceeds {KNEE_S:g} s, {lengths}",
            published="about 0.5",
            accepted=Band(0.48, 0.56),
            study=study,
            measure=partial(measures.crossing, system=VLLM, level_s=KNEE_S),
            unit="requests/s",
        ),
        Claim(
            id=f"{prefix}neo-knee",
            where=_FIGURE,
            what=f"rate at which NEO's latency of a token exceeds {KNEE_S:g} s, {lengths}",
            published="beyond 3.1",
            accepted=Band(3.0, 4.0),
            study=study,
            measure=partial(measures.crossing, system="NEO", level_s=KNEE_S),
            unit="requests/s",
        ),
        Claim(
            id=f"{prefix}headline",
            where="abstract, figure 6c",
            what="largest ratio of NEO's to vLLM's rate at equal latency, of levels from "
            f"{LEVELS_S[0]:g} to {LEVELS_S[-1]:g} s, {lengths}",
            published="up to 7.5 times",
            accepted=Band(5.0, 9.0),
            study=study,
            measure=partial(measures.largest_rate_ratio, a="NEO", b=VLLM, levels_s=LEVELS_S),
        ),
    ]


_ON_A10G = (
    ("code", "code completions by Poisson", A10G_CODE, (1.0, 2.0, 3.0), ""),
    (
        "summaries",
        "summaries by Poisson",
        A10G_SUMMARIES,
        (0.13, 0.2),
        "One short prompt an iteration is enough to hide the host, and a pass for it costs more "
        "than the decodes that it saves: the ceiling of one prompt an iteration is 0.89 here",
    ),
)
CLAIMS: list[Claim[Any, Any]] = [
    *_claims(BY_RATE, "", "generated lengths"),
    *_claims(BY_RATE_FILE, "file-", "the release's lengths"),
    Claim(
        id="vllm-at-knee",
        where=_FIGURE,
        what="vLLM's latency of a token at 0.5 requests/s, its knee",
        published="0.44 to 0.49 s",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.latency, system=VLLM, rate=0.5),
        unit="s",
        note="At the knee a hundredth of the rate is a tenth of the latency",
    ),
    *(
        Claim(
            id=slug,
            where="figure 6c, appendix B",
            what=f"vLLM's latency of a token with chunks of {tokens} over that with 256, by rate",
            published="no visible difference",
            accepted=Table({"0.2/s": 1.0, "0.4/s": 1.0, "0.5/s": 1.0}, relative=0.05),
            study=BY_RATE,
            measure=partial(_chunks, system=system),
        )
        for slug, tokens, system in (
            ("chunks", "512", VLLM_512),
            ("chunks-all", "864, all that there is room for,", VLLM_ALL),
        )
    ),
    Claim(
        id="rate-ratios",
        where=_FIGURE,
        what="ratio of NEO's to vLLM's rate by latency of a token",
        published="up to 7.5 times",
        accepted=Finding(),
        study=BY_RATE,
        measure=partial(measures.rate_ratios, a="NEO", b=VLLM, levels_s=LEVELS_S),
    ),
    Claim(
        id="rate-ratio-alone",
        where="abstract",
        what=f"ratio of NEO's to SwiftLLM's rate at {KNEE_S:g} s a token",
        published="up to 7.5 times",
        accepted=Band(5.0, 9.0),
        study=BY_RATE,
        measure=partial(measures.rate_ratio, a="NEO", b="GPU only", level_s=KNEE_S),
    ),
    *(
        Claim(
            id=f"a10g-{slug}{'' if system == 'NEO' else '-work'}",
            where="abstract" if system == "NEO" else "beyond the paper",
            what=f"ratio of {system}'s to SwiftLLM's rate by latency of a token on the A10G with "
            f"the largest host, {lengths}",
            published="up to 1.26 (under which load is not known)" if system == "NEO" else "-",
            accepted=Finding(),
            study=study,
            measure=partial(measures.rate_ratios, a=system, b="GPU only", levels_s=levels_s),
            note=note if system == "NEO" else "",
        )
        for slug, lengths, study, levels_s, note in _ON_A10G
        for system in ("NEO", "NEO by work")
    ),
    Claim(
        id="prefill-bound",
        where="utilisation law",
        what="NEO's throughput at 4.8 requests/s offered, over the rate at which the T4 computes "
        "prompts and nothing else",
        published="at most 1",
        accepted=Band(high=1.0),
        study=BY_RATE,
        measure=partial(_of_prefill, rate=4.8),
    ),
    Claim(
        id="ttft",
        where="-",
        what="NEO's mean time to first token by rate",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=lambda rates: {
            f"{rate:g}/s": measures.latency(rates, "NEO", rate, "ttft_s")
            for rate in (0.5, 1.5, 2.5, 3.1)
        },
        unit="s",
    ),
    Claim(
        id="itl",
        where="-",
        what="NEO's mean time between tokens by rate",
        published="-",
        accepted=Finding(),
        study=BY_RATE,
        measure=lambda rates: {
            f"{rate:g}/s": measures.latency(rates, "NEO", rate, "itl_s")
            for rate in (0.5, 1.5, 2.5, 3.1)
        },
        unit="s",
        note="Most of a token's latency: those on the host wait for each other, not for a place",
    ),
]
