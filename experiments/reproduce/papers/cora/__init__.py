"""Cora: network functions split between a SmartNIC and host cores."""

from __future__ import annotations

from functools import partial

from experiments.reproduce.accepted import Band, Finding, Table
from experiments.reproduce.claim import Claim, Paper, Plot, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora import (
    anchors,
    bindings,
    cores,
    crossover,
    migration,
    model_error,
    runtime,
    searches,
    shapes,
    tenant,
    threads,
    throughput,
)
from experiments.reproduce.papers.cora.changes import FOLLOWED
from experiments.reproduce.papers.cora.model_error import Compared, errors
from experiments.reproduce.papers.cora.plots import (
    draw_axes,
    draw_changes,
    draw_crossover,
    draw_rates,
    draw_savings,
)
from experiments.reproduce.papers.cora.sweeps import SWEEPS
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
    about="The abstract is all that is known of the paper's own numbers; programs, hosts and "
    "traffic are assumptions of the right order, the NICs are as measured by others, and nothing "
    "is fitted to a target. Eight functions on an Agilio CX and a BlueField-2, a host of 32 cores; "
    "a million flows of 80 packets, Zipf 1.0, packets of 256 bytes at 80 % of a port's line unless "
    "said otherwise. Ways to cut: by state (each table wholly on one side, or copied), by traffic "
    "(tables of flows split by the same flows), and Cora's (any side for any state, the best of "
    "all plans). Plans come from the cost model and its search; in packets they go through ports, "
    "cores, engines, tables, PCIe and polled host cores, and one that drops a packet is credited "
    "with no saving. The cost model's error is not published: the bands are what is reported for "
    "models of the same NIC (CoNEXT 2021: at most 8.5 % for programs bound by cores, 18.2 % by "
    "memory), the plans there the fastest and one at random for each function, NIC and two kinds "
    "of traffic (four if all is asked for). The runtime is followed in rates. Three seeds.",
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
                what=f"{name} error of {what}, model against packets",
                published="accurate",
                accepted=Band(high=most),
                study=ERRORS,
                measure=partial(measure, attribute=attribute),
                unit="%",
            )
            for attribute, what in _WHAT.items()
            for name, measure, most in (("mean", _mean, 10.0), ("worst", _worst, 20.0))
        ],
        *bindings.claims(ERRORS),
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
        *threads.CLAIMS,
        *cores.CLAIMS,
        *crossover.CLAIMS,
        *shapes.CLAIMS,
        *throughput.CLAIMS,
        *searches.CLAIMS,
        *runtime.CLAIMS,
        *migration.CLAIMS,
        *tenant.CLAIMS,
    ],
    plots=[
        Plot(
            name="savings",
            title="Host cores saved at equal throughput, Agilio",
            caption="Packets; means of three seeds. Crosses: worked out apart from this code.",
            study=cores.SAVED,
            draw=draw_savings,
            height=280,
        ),
        Plot(
            name="crossover",
            title="Host cores saved along the length of flows, Agilio",
            caption="By the model. All states on the NIC ends where it inserts too much; a split "
            "fades; plans that are neither overtake both.",
            study=SWEEPS,
            draw=draw_crossover,
            height=260,
        ),
        Plot(
            name="axes",
            title="The same for the UPF along popularity, flows and packet size",
            caption="By the model, flows of 80 packets.",
            study=SWEEPS,
            draw=draw_axes,
            height=240,
        ),
        Plot(
            name="rates",
            title="Highest rate with 1, 2 and 4 host cores, Agilio, flows of 20 packets",
            caption="Packets; means of three seeds. Crosses: the model.",
            study=throughput.RATES,
            draw=draw_rates,
            width=640,
            height=260,
        ),
        Plot(
            name="changes",
            title="Host cores and drops while traffic changes, Agilio",
            caption="One seed. At 10 s popularity flattens (Zipf 1.2 to 0.8), at 20 s flows have "
            "10 packets instead of 80, at 30 s they are long and skewed again and half as many "
            "packets more come, at 40 s the most popular tenth is dealt anew.",
            study=FOLLOWED,
            draw=draw_changes,
            height=340,
        ),
    ],
)

__all__ = ["PAPER"]
