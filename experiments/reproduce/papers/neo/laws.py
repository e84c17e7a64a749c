"""Claims on limits: hosts that are useless or endless, and closed-form ceilings."""

from __future__ import annotations

from functools import partial
from typing import Any

from experiments.reproduce.accepted import Band, Finding, Table
from experiments.reproduce.claim import Claim
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.neo import measures, settings
from experiments.reproduce.papers.neo.ceilings import ceilings
from experiments.reproduce.papers.neo.studies import (
    A10G,
    BANDWIDTHS,
    BANDWIDTHS_AT,
    ENDLESS,
    FAST_AT,
    FAST_FREE,
    MEMORIES,
    MEMORIES_AT,
    OUTPUTS,
    Point,
    Runs,
    bandwidth_name,
    memory_name,
)

_LAW = "limit"
_STUDY = "iteration-level study of the published results"


def _by_bandwidth(runs: Runs, lo: int) -> dict[str, Estimate]:
    changes = [bandwidth_name(each) for each in (*BANDWIDTHS, ENDLESS)]
    return {name: _gain(runs, lo, name) for name in changes}


def _by_memory(runs: Runs) -> dict[str, Estimate]:
    return {name: _gain(runs, MEMORIES_AT, name) for name in map(memory_name, MEMORIES)}


def _gain(runs: Runs, lo: int, change: str) -> Estimate:
    return measures.gain(runs, Point("8xlarge", 1000, lo, "NEO", change))


def _drop_bandwidth(runs: Runs) -> Estimate:
    return measures.largest(
        measures.largest_drop(_by_bandwidth(runs, lo).values()) for lo in BANDWIDTHS_AT
    )


def _drop_memory(runs: Runs) -> Estimate:
    return measures.largest_drop(_by_memory(runs).values())


def _useless(runs: Runs) -> dict[str, Estimate]:
    slowest = bandwidth_name(BANDWIDTHS[0])
    found = {f"useless, lo {lo}": _gain(runs, lo, slowest) for lo in BANDWIDTHS_AT}
    small = memory_name(MEMORIES[0])
    return {**found, f"{small}, lo {MEMORIES_AT}": _gain(runs, MEMORIES_AT, small)}


def _of_ceiling(runs: Runs, ceiling: str) -> dict[str, Estimate]:
    name = bandwidth_name(ENDLESS)
    found = {}
    for lo in FAST_AT:
        bound = ceilings(settings.a10g("NEO", "8xlarge", lo), 1000, lo)
        exact = Estimate.exact(getattr(bound, ceiling))
        found[f"lo {lo}"] = measures.quotient(_gain(runs, lo, name), exact)
    return found


def _fast(runs: Runs, of: str) -> dict[str, Estimate]:
    name = bandwidth_name(ENDLESS)
    return {
        f"lo {lo}": measures.figure(runs, Point("8xlarge", 1000, lo, "NEO", name), of)
        for lo in FAST_AT
    }


def _highest_of_prefill(runs: Runs) -> Estimate:
    return measures.largest(_of_ceiling(runs, "prefill_ceiling").values())


def _launch(runs: Runs) -> dict[str, Estimate]:
    return {
        f"lo {lo}": measures.quotient(
            *(
                measures.figure(runs, Point("8xlarge", 1000, lo, "NEO", change), measures.MAKESPAN)
                for change in (FAST_FREE, bandwidth_name(ENDLESS))
            )
        )
        for lo in FAST_AT
    }


def _of_least_ceiling(runs: Runs) -> dict[str, Estimate]:
    found = {}
    for lo in OUTPUTS:
        bound = ceilings(settings.a10g("NEO", "8xlarge", lo), 1000, lo)
        least = min(bound.prefill_ceiling, bound.host_ceiling, bound.one_prefill_ceiling)
        gain = measures.gain(runs, Point("8xlarge", 1000, lo, "NEO"))
        found[f"lo {lo}"] = measures.quotient(gain, Estimate.exact(least))
    return found


CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="useless-host",
        where=_LAW,
        what="NEO's throughput over SwiftLLM's with a host that reads 1 MB/s, and with hardly more "
        "host memory than the GPU has",
        published="0.94 to 1: NEO has 1 block in 33 less",
        accepted=Table(
            {
                **{f"useless, lo {lo}": 0.97 for lo in BANDWIDTHS_AT},
                f"{memory_name(MEMORIES[0])}, lo {MEMORIES_AT}": 0.97,
            },
            absolute=0.03,
        ),
        study=A10G,
        measure=_useless,
    ),
    Claim(
        id="one-prefill-ceiling",
        where=_LAW,
        what="NEO's gain with an endlessly fast host over the ceiling of one prompt in each "
        "iteration, which pays one more pass through the weights",
        published="within 10 % of 1",
        accepted=Table({f"lo {lo}": 1.0 for lo in FAST_AT}, relative=0.10),
        study=A10G,
        measure=partial(_of_ceiling, ceiling="one_prefill_ceiling"),
        note="The ceiling takes the second sub-batch to be narrow. With outputs of 200 it is 200 "
        "wide, and from about 100 on computing, not reading the weights, takes the time: see "
        "one-prefill-wide-ceiling, which has that in it",
    ),
    Claim(
        id="one-prefill-wide-ceiling",
        where=_LAW,
        what="the same where that pass is for as many tokens as a request has, one that ends for "
        "each that begins",
        published="-",
        accepted=Finding(),
        study=A10G,
        measure=partial(_of_ceiling, ceiling="one_prefill_wide_ceiling"),
    ),
    Claim(
        id="one-prefill-iterations",
        where=_STUDY,
        what="iterations for each request with an endlessly fast host",
        published="0.98 to 1.15",
        accepted=Table({f"lo {lo}": 1.065 for lo in FAST_AT}, absolute=0.085),
        study=A10G,
        measure=partial(_fast, of="iterations"),
    ),
    Claim(
        id="one-prefill-split",
        where=_STUDY,
        what="share of them that are split in two",
        published="0.97",
        accepted=Table({f"lo {lo}": 0.97 for lo in FAST_AT}, absolute=0.1),
        study=A10G,
        measure=partial(_fast, of="pipelined"),
    ),
    Claim(
        id="prefill-ceiling",
        where=_LAW,
        what="the same over the ceiling of free decoding, the largest",
        published="at most 1",
        accepted=Band(high=1.0),
        study=A10G,
        measure=_highest_of_prefill,
    ),
    Claim(
        id="launch-hidden",
        where=_LAW,
        what="throughput with an endlessly fast host without launch overhead over that with it",
        published="1: no difference",
        accepted=Table({f"lo {lo}": 1.0 for lo in FAST_AT}, absolute=0.02),
        study=A10G,
        measure=_launch,
    ),
    Claim(
        id="rises-with-bandwidth",
        where=_LAW,
        what="largest share by which NEO's gain on 8xlarge falls from one bandwidth of the host to "
        "the next, 1 MB/s to endless, outputs of 100 and 200",
        published="at most 0.02",
        accepted=Band(high=0.02),
        study=A10G,
        measure=_drop_bandwidth,
    ),
    Claim(
        id="rises-with-memory",
        where=_LAW,
        what="the same from one size of the host's memory to the next, 4 to 120 GB, outputs of 200",
        published="at most 0.02",
        accepted=Band(high=0.02),
        study=A10G,
        measure=_drop_memory,
    ),
    *(
        Claim(
            id=f"bandwidths-{lo}",
            where=_LAW,
            what=f"NEO's gain on 8xlarge by bandwidth of the host, outputs of about {lo}",
            published="-",
            accepted=Finding(),
            study=A10G,
            measure=partial(_by_bandwidth, lo=lo),
        )
        for lo in BANDWIDTHS_AT
    ),
    Claim(
        id="memories",
        where=_LAW,
        what=f"NEO's gain on 8xlarge by KV that fits on the host, outputs of about {MEMORIES_AT}",
        published="-",
        accepted=Finding(),
        study=A10G,
        measure=_by_memory,
    ),
    Claim(
        id="of-ceilings",
        where=_LAW,
        what="NEO's gain on 8xlarge over the least of the three ceilings (prompts, host, one "
        "prompt an iteration)",
        published="-",
        accepted=Finding(),
        study=A10G,
        measure=_of_least_ceiling,
        note="Near 1 where prompts hide the host, and below it the more tokens each prompt is "
        "followed by",
    ),
]
