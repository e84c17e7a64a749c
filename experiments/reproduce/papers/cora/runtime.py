"""Claims on the runtime: cores, drops and times while traffic changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from experiments.reproduce.accepted import Band, Finding, Order
from experiments.reproduce.claim import Claim
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.changes import (
    ADAPTIVE,
    CHANGES,
    FOLLOWED,
    KNOWN,
    LASTS_S,
    ORACLE,
    POLICIES,
    PROGRAMS,
    SHORTER,
    STATIC,
    Followed,
    Runs,
    phases,
)
from experiments.reproduce.papers.cora.plans import AGILIO, cpu_only
from experiments.reproduce.papers.cora.points import Case
from experiments.reproduce.runs import mean_interval

#: Cores have settled once each second's mean is as near as this to the mean of the phase's end:
#: share of it, or cores; seconds of that end.
_NEAR, _CORES, _END_S = 0.1, 0.1, 2.0
#: Share of the packets offered that counts as dropping.
_DROPS = 1e-3


def host_alone(name: str) -> float:
    """Busy cores without the NIC, mean over the traffics, by the model."""
    rates = [
        cpu_only(case).busy_cores(phase.profile.rate_pps)
        for phase in phases()
        for case in [Case(name, AGILIO, phase.profile)]
    ]
    return sum(rates) / len(rates)


def _each(runs: Sequence[Followed], of: Callable[[Followed], float]) -> Estimate:
    return mean_interval([of(run) for run in runs])


def _mean_cores(run: Followed) -> float:
    return float(run.busy.mean())


def _drops(run: Followed, phase: int | None = None) -> float:
    """Percent of packets."""
    chosen = slice(None) if phase is None else run.within(phase)
    return 100.0 * float(run.dropped_pps[chosen].sum() / run.offered_pps[chosen].sum())


def settled_s(run: Followed, phase: int) -> float:
    """Seconds from a change until busy cores stay near what they are at the end of its phase."""
    busy = run.busy[run.within(phase)]
    epochs = round(len(busy) / LASTS_S)
    means = busy[: len(busy) // epochs * epochs].reshape(-1, epochs).mean(axis=1)
    end = busy[-round(_END_S * epochs) :].mean()
    far = np.flatnonzero(abs(means - end) > max(_NEAR * end, _CORES))
    return float(far[-1] + 1) if len(far) else 0.0


def dropping_s(run: Followed, phase: int) -> float:
    """Seconds from a change until no epoch drops packets any more."""
    chosen = run.within(phase)
    bad = np.flatnonzero(run.dropped_pps[chosen] > _DROPS * run.offered_pps[chosen])
    return float(run.time_s[chosen][bad[-1]] - LASTS_S * phase) if len(bad) else 0.0


def _by_policy(
    runs: Runs, name: str, of: Callable[[Followed], float], which: Sequence[str] = POLICIES
) -> dict[str, Estimate]:
    return {by: _each(runs[name, by], of) for by in which}


def _over_oracle(runs: Runs, name: str, by: str = ADAPTIVE) -> Estimate:
    pairs = zip(runs[name, by], runs[name, ORACLE], strict=True)
    return mean_interval([_mean_cores(a) / _mean_cores(b) for a, b in pairs])


def _saved(runs: Runs, name: str) -> Estimate:
    alone = host_alone(name)
    return _each(runs[name, ADAPTIVE], lambda run: 100.0 * (1.0 - _mean_cores(run) / alone))


def _settled(runs: Runs, name: str) -> dict[str, Estimate]:
    return {
        change: _each(runs[name, ADAPTIVE], partial(settled_s, phase=i))
        for i, change in enumerate(CHANGES, start=1)
    }


def _slowest(runs: Runs) -> Estimate:
    values = [value for name in PROGRAMS for value in _settled(runs, name).values()]
    return max(values, key=lambda one: one.value)


def _plans(runs: Runs) -> dict[str, Estimate]:
    return {
        f"{name}, {by}": _each(runs[name, by], lambda run: run.plans)
        for name in PROGRAMS
        for by in (ADAPTIVE, ORACLE)
    }


_WHERE = "abstract: runtime"
_LEARNING = (
    "The oracle knows which flows are popular, the runtime learns it from one in a hundred packets "
    "at the host. A million flows last for 80 packets on average, popular or not, so that places "
    "at the NIC fall free faster than flows are found for them: with Zipf 0.8 the oracle takes "
    "873,000, the runtime asks for 287,500 since more would not be filled. It is hardly the "
    "estimates: see runtime-known"
)
_RINGS = (
    "All of it is lost in the first second after the change, at the rings of host cores, before "
    "anybody decides: cores are provided anew each second, and the runtime, which had more flows "
    "at the NIC, had fewer cores to take those that came back"
)
_WHAT = (
    "on the Agilio while popularity flattens, flows get shorter, then longer and faster, and the "
    "most popular tenth is dealt anew"
)

CLAIMS: list[Claim[Any, Any]] = [
    *(
        Claim(
            id=f"runtime-saving-{name}",
            where=_WHERE,
            what=f"host cores that the runtime saves over the host alone, {name} {_WHAT}",
            published="CPU use stays low",
            accepted=Band(low=50.0),
            study=FOLLOWED,
            measure=partial(_saved, name=name),
            unit="%",
        )
        for name in PROGRAMS
    ),
    Claim(
        id="runtime-cores-nat",
        where=_WHERE,
        what="mean busy host cores, nat, by who decides",
        published="the runtime adapts",
        accepted=Order(STATIC, ADAPTIVE, ORACLE),
        study=FOLLOWED,
        measure=partial(_by_policy, name="nat", of=_mean_cores),
        unit="cores",
        note="The plan that stays learns its flows, too: what it lacks is the number of them",
    ),
    Claim(
        id="runtime-cores-upf",
        where=_WHERE,
        what="mean busy host cores, upf, by who decides",
        published="the runtime adapts",
        accepted=Finding(),
        study=FOLLOWED,
        measure=partial(_by_policy, name="upf", of=_mean_cores),
        unit="cores",
        note="The plan that stays takes fewest because it drops the packets that would take more: "
        "see runtime-drops-upf. While flows are short the runtime's plan takes 3.4 cores, the "
        "oracle's 2.7; the rest of what is between them is the seconds until it decides, and the "
        "copying of all rules to the NIC once flows are long again",
    ),
    *(
        Claim(
            id=f"runtime-drops-{name}",
            where=_WHERE,
            what=f"packets dropped while flows have 10 packets instead of 80, {name}",
            published="the runtime adapts",
            accepted=Order(STATIC, ADAPTIVE),
            study=FOLLOWED,
            measure=partial(_by_policy, name=name, of=partial(_drops, phase=SHORTER)),
            unit="%",
            reason=reason,
        )
        for name, reason in (("nat", _RINGS), ("upf", ""))
    ),
    *(
        Claim(
            id=f"runtime-oracle-{name}",
            where=_WHERE,
            what=f"mean busy host cores of the runtime over those of an oracle, {name}",
            published="the runtime adapts",
            accepted=Band(high=1.2),
            study=FOLLOWED,
            measure=partial(_over_oracle, name=name),
            reason=reason,
        )
        for name, reason in (("nat", _LEARNING), ("upf", ""))
    ),
    Claim(
        id="runtime-known",
        where=_WHERE,
        what="the same for nat where the data path knows which flows are popular, and all else is "
        "estimated",
        published="the runtime adapts",
        accepted=Band(high=1.2),
        study=FOLLOWED,
        measure=partial(_over_oracle, name=PROGRAMS[0], by=KNOWN),
    ),
    Claim(
        id="runtime-reaction",
        where=_WHERE,
        what="seconds of drops after flows of the UPF become short",
        published="detect in 1 s, search, move",
        accepted=Band(high=2.0),
        study=FOLLOWED,
        measure=lambda runs: _each(runs["upf", ADAPTIVE], partial(dropping_s, phase=SHORTER)),
        unit="s",
    ),
    Claim(
        id="runtime-settled",
        where=_WHERE,
        what="longest time after a change until the runtime's cores are within a tenth of what "
        "they stay at",
        published="-",
        accepted=Band(high=6.0),
        study=FOLLOWED,
        measure=_slowest,
        unit="s",
        note="A second to see it, three decisions on end that agree, and the moves",
    ),
    *(
        Claim(
            id=f"runtime-settled-{name}",
            where=_WHERE,
            what=f"the same by change, {name}",
            published="-",
            accepted=Finding(),
            study=FOLLOWED,
            measure=partial(_settled, name=name),
            unit="s",
        )
        for name in PROGRAMS
    ),
    Claim(
        id="runtime-plans",
        where=_WHERE,
        what="plans in a run of five traffics, the first among them",
        published="no flapping",
        accepted=Finding(),
        study=FOLLOWED,
        measure=_plans,
    ),
]
