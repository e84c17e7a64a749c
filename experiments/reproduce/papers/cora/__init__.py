"""Cora: network functions split between a SmartNIC and host cores."""

from __future__ import annotations

from functools import partial

from experiments.reproduce.accepted import Band, Finding, Table
from experiments.reproduce.claim import Claim, Paper, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora import anchors, model_error
from experiments.reproduce.papers.cora.model_error import Compared, errors
from experiments.reproduce.runs import mean_interval

ERRORS = Study("model", model_error.study)
ANCHORS = Study("anchors", anchors.study)


def _mean(found: list[list[Compared]], attribute: str) -> Estimate:
    return mean_interval([100.0 * errors(each, attribute)[0] for each in found])


def _worst(found: list[list[Compared]], attribute: str) -> Estimate:
    return mean_interval([100.0 * errors(each, attribute)[1] for each in found])


def _anchors(found: dict[str, float]) -> dict[str, Estimate]:
    return {name: Estimate.exact(value) for name, value in found.items()}


_WHAT = {
    "rate_error": "the highest rate, cores and threads as two bounds",
    "mva_error": "the highest rate, cores and threads by mean value analysis",
    "cores_error": "busy host cores at 70 % of it",
    "utilisation_error": "use of the NIC's busiest resource at 70 % of it",
}

PAPER = Paper(
    name="cora",
    title="Cora: Accelerating Stateful Network Applications with SmartNICs",
    citation="S. Xi, J. Gao, M. Liu, et al., arXiv 2410.22229, 2024.",
    about="The abstract is all that is known of the paper's own numbers; programs and hosts are "
    "assumptions of the right order, the NICs are as measured by others. The cost model's accuracy "
    "is published as the foundation of the compiler, its error is not: the bands are what is "
    "reported for models of the same NIC (CoNEXT 2021: at most 8.5 % for programs bound by cores, "
    "18.2 % by memory). Plans: the fastest and one at random, for eight programs, two NICs, and "
    "traffic of 64 to 256 bytes, flows of 10 to 80 packets, Zipf exponents of 0.8 to 1.2 (two of "
    "the four kinds of traffic unless all is asked for). Three seeds.",
    claims=[
        Claim(
            id="anchors",
            where="CoNEXT 2021, section 4 and artefact",
            what="highest rate of programs on the Agilio, in packets of 60 bytes",
            published="as measured",
            accepted=Table(anchors.MEASURED, relative=0.03),
            study=ANCHORS,
            measure=_anchors,
            unit="Mpkt/s",
        ),
        *[
            Claim(
                id=f"model-{attribute.replace('_', '-')}-{name}",
                where="abstract: an accurate performance model",
                what=f"{name} error of {what}, model against simulator",
                published="accurate",
                accepted=Band(high=most),
                study=ERRORS,
                measure=partial(measure, attribute=attribute),
                unit="%",
            )
            for attribute, what in _WHAT.items()
            for name, measure, most in (("mean", _mean, 10.0), ("worst", _worst, 20.0))
        ],
        Claim(
            id="unpopular-flows",
            where="not in the paper",
            what="worst error of busy host cores, where caches of the host hold popular flows",
            published="the model prices accesses at the host by the popularity of all traffic",
            accepted=Finding(),
            study=ERRORS,
            measure=partial(_worst, attribute="own_error"),
            unit="%",
            note="With a split by flow the host sees less popular, new and ending flows alone. Its "
            "caches hold the first of those, most others are in none, and the model takes the mean "
            "of all traffic: the host needs more cores than the model says",
        ),
    ],
)

__all__ = ["PAPER"]
