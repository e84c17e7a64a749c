"""Highest rates with a given number of host cores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from experiments.reproduce.accepted import Band, Finding
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.bindings import kind
from experiments.reproduce.papers.cora.plans import (
    AGILIO,
    CORA,
    CPU_ONLY,
    NAIVE,
    NICS,
    PROGRAMS,
    best_plans,
    traffic,
)
from experiments.reproduce.papers.cora.points import (
    Case,
    Point,
    highest_pps,
    simulate,
    window_of,
)
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers
from policies.partition.goals import HighestRate

SEEDS = (1, 2, 3)
CORES = (1, 2, 4)
#: Functions for which Cora has plans of its own, in packets with each number of cores; the others
#: with this one.
MIXED = ("rate_limiter", "upf")
_OTHERS_AT = 2
_LENGTH = 20.0
#: Bursts of a run, and where more than this of the insertion channel is used: its queue is empty at
#: first.
_BURSTS, _INSERTING, _USED = 10_000, 60_000, 0.9
#: The best of the naive ways.
BEST_NAIVE = "best naive"


class Rate(NamedTuple):
    """Highest rates of a plan in packets a second: by the model, and in packets by seed where it
    was run so. binding: what sets it."""

    modelled: float
    simulated: list[float]
    binding: str


#: By NIC, program, cores and way.
Rates = dict[tuple[str, str, int, str], Rate]


def best(nic: str, program: str, cores: int) -> dict[str, tuple[Point, float, str]]:
    """Plans, rates and what binds: CPU only, the best naive plan, Cora's."""
    case = Case(program, nic, traffic(nic, _LENGTH))
    plans = best_plans(case, HighestRate(cores))
    naive = max((way for way in NAIVE if way in plans), key=lambda w: highest_pps(plans[w], cores))
    ways = {CPU_ONLY: CPU_ONLY, BEST_NAIVE: naive, CORA: CORA}
    return {
        name: (
            case.under(plans[way].plan),
            highest_pps(plans[way], cores),
            # With no margin for the host's cores, as for the rate.
            "host cores" if plans[way].host_s / cores > plans[way].nic_s else plans[way].binding(),
        )
        for name, way in ways.items()
    }


def run(task: tuple[Point, int, float, int]) -> float:
    """Rate of a plan with packets under way all the time."""
    point, cores, expected, seed = task
    inserting = point.cost().utilisations(expected)["inserts"] >= _USED
    found = simulate(
        point,
        expected,
        window=window_of(point),
        bursts=_INSERTING if inserting else _BURSTS,
        seed=seed,
        fixed_cores=cores,
    )
    return found["throughput_mpps"] * 1e6


def study(workers: Workers) -> Rates:
    """By the model on both NICs, in packets on the Agilio."""
    points = {
        (nic, program, cores, way): each
        for nic in NICS
        for program in PROGRAMS
        for cores in CORES
        for way, each in best(nic, program, cores).items()
    }
    tasks = list(
        dict.fromkeys(
            (point, cores, expected, seed)
            for (nic, program, cores, _), (point, expected, _) in points.items()
            for seed in SEEDS
            if workers.full or (nic == AGILIO and (program in MIXED or cores == _OTHERS_AT))
        )
    )
    found = dict(zip(tasks, workers.map(run, tasks), strict=True))
    return {
        key: Rate(
            expected,
            [
                found[point, key[2], expected, seed]
                for seed in SEEDS
                if (point, key[2], expected, seed) in found
            ],
            binding,
        )
        for key, (point, expected, binding) in points.items()
    }


def gain(found: Rates, nic: str, program: str, cores: int, over: str, packets: bool) -> Estimate:
    """Percent by which Cora's rate is above another's."""
    ours, other = (found[nic, program, cores, way] for way in (CORA, over))
    if not packets:
        return Estimate.exact(100.0 * (ours.modelled / other.modelled - 1.0))
    pairs = zip(ours.simulated, other.simulated, strict=True)
    return mean_interval([100.0 * (a / b - 1.0) for a, b in pairs])


def _gains(
    found: Rates,
    nic: str,
    over: str,
    packets: bool,
    programs: Iterable[str] = PROGRAMS,
    at: Iterable[int] = CORES,
) -> dict[str, Estimate]:
    return {
        f"{program}, {cores}": gain(found, nic, program, cores, over, packets)
        for program in programs
        for cores in at
    }


def _largest(found: Rates, packets: bool) -> Estimate:
    values = _gains(found, AGILIO, BEST_NAIVE, packets, MIXED).values()
    return max(values, key=lambda one: one.value)


def _none_slower(found: Rates) -> Estimate:
    values = [
        gain(found, nic, program, cores, BEST_NAIVE, packets=False).value
        for nic in NICS
        for program in PROGRAMS
        for cores in CORES
    ]
    return Estimate.exact(min(values))


def _furthest(rates: Iterable[Rate]) -> Estimate:
    """Furthest that rates by the model are from those in packets, seed by seed."""
    errors = [[abs(rate.modelled / value - 1.0) for value in rate.simulated] for rate in rates]
    return mean_interval([100.0 * max(values) for values in zip(*errors, strict=True)])


def _apart(found: Rates) -> Estimate:
    return _furthest(rate for rate in found.values() if rate.simulated)


def _apart_by_binding(found: Rates) -> dict[str, Estimate]:
    """The same of plans bound by each kind of resource, the commonest first."""
    groups: dict[str, list[Rate]] = defaultdict(list)
    for rate in found.values():
        if rate.simulated:
            groups[kind(rate.binding)].append(rate)
    return {
        f"{name}, {len(rates)} rates": _furthest(rates)
        for name, rates in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    }


RATES = Study("highest rates", study)
_ABSTRACT = "abstract: same resources"
_PUBLISHED = "44.9 to 82.3 %"

CLAIMS: list[Claim[Any, Any]] = [
    *(
        Claim(
            id=f"gain-naive-{name}",
            where=_ABSTRACT,
            what="largest gain of Cora's highest rate over the best naive plan's with 1, 2 or 4 "
            f"host cores, Agilio, flows of 20 packets, {how}",
            published=_PUBLISHED,
            accepted=Band(44.9, 82.3),
            study=RATES,
            measure=partial(_largest, packets=packets),
            unit="%",
            note=note,
        )
        for name, how, packets, note in (
            (
                "model",
                "by the model",
                False,
                "It is the rate limiter, from the limit of insertions to that of the line. Whether "
                "the paper's gains are over the best baseline or over the CPU alone is not known",
            ),
            ("packets", "in packets", True, ""),
        )
    ),
    Claim(
        id="gains-naive",
        where=_ABSTRACT,
        what="the same by function and cores, where Cora has plans of its own, in packets",
        published=_PUBLISHED,
        accepted=Finding(),
        study=RATES,
        measure=partial(_gains, nic=AGILIO, over=BEST_NAIVE, packets=True, programs=MIXED),
        unit="%",
        note="For the other six functions one of the naive plans is the best there is",
    ),
    Claim(
        id="gains-cpu",
        where=_ABSTRACT,
        what="gain over the CPU alone with 2 host cores, in packets, Agilio",
        published=_PUBLISHED,
        accepted=Finding(),
        study=RATES,
        measure=partial(_gains, nic=AGILIO, over=CPU_ONLY, packets=True, at=(_OTHERS_AT,)),
        unit="%",
        note="Far above the published range but for the gateway, whose encryption stays at the "
        "host: that range is of gains over something better",
    ),
    Claim(
        id="gains-bluefield",
        where=_ABSTRACT,
        what="gain over the best naive plan on the BlueField-2, by the model",
        published=_PUBLISHED,
        accepted=Finding(),
        study=RATES,
        measure=partial(
            _gains, nic=NICS[1], over=BEST_NAIVE, packets=False, programs=("upf", "ipsec_gateway")
        ),
        unit="%",
    ),
    Claim(
        id="gain-least",
        where=_ABSTRACT,
        what="least gain over the best naive plan, both NICs, 1, 2 and 4 cores, by the model",
        published="never behind",
        accepted=Band(low=0.0),
        study=RATES,
        measure=_none_slower,
        unit="%",
    ),
    Claim(
        id="rates-apart",
        where="abstract: an accurate performance model",
        what="furthest that these rates by the model are from those in packets",
        published="accurate",
        accepted=Band(high=10.0),
        study=RATES,
        measure=_apart,
        unit="%",
    ),
    Claim(
        id="rates-apart-by-binding",
        where="abstract: an accurate performance model",
        what="the same by what binds the plan",
        published="accurate",
        accepted=Finding(),
        study=RATES,
        measure=_apart_by_binding,
        unit="%",
        note="One, two or four cores of the host bind plans here, which none of 32 does above",
    ),
]
