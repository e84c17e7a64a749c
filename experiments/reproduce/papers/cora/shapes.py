"""Claims on the shape of sweeps: what holds at every place, and along the axes."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from experiments.reproduce.accepted import Band, Finding, Trend
from experiments.reproduce.claim import Claim
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.plans import (
    AGILIO,
    BY_STATE,
    BY_TRAFFIC,
    CORA,
    NICS,
    PROGRAMS,
)
from experiments.reproduce.papers.cora.sweeps import (
    AXES,
    SWEEPS,
    Place,
    Swept,
    along,
    best_naive,
)


def _behind(found: Swept) -> Estimate:
    return Estimate.exact(
        sum((cut.saved[CORA] or 0.0) < best_naive(cut.saved) - 1e-9 for cut in found.values())
    )


def _backwards(found: Swept) -> Estimate:
    """Steps to longer flows, or to more skew, at which Cora's plan takes more cores."""
    wrong = 0
    for nic in NICS:
        for program in PROGRAMS:
            for axis in ("length", "exponent"):
                values = [
                    found[Place(nic, program, ((axis, value),))].cores[CORA]
                    for value in sorted(AXES[axis])
                ]
                wrong += sum(
                    b > a * (1.0 + 1e-9)
                    for a, b in pairwise(values)
                    if a is not None and b is not None
                )
    return Estimate.exact(wrong)


def _along(found: Swept, program: str, axis: str, way: str) -> dict[str, Estimate]:
    values = along(found, AGILIO, program, axis, way)
    return {f"{at:,g}": Estimate.exact(value or 0.0) for at, value in values.items()}


_SHAPE = "not in the paper: shapes of sweeps"

CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="shape-exponent",
        where=_SHAPE,
        what="the UPF's saving by traffic on the Agilio, by Zipf exponent",
        published="rises: the same number of flows has more of the packets",
        accepted=Trend("the exponent", every_step=True),
        study=SWEEPS,
        measure=partial(_along, program="upf", axis="exponent", way=BY_TRAFFIC),
        unit="%",
    ),
    Claim(
        id="shape-size",
        where=_SHAPE,
        what="Cora's saving for the IPsec gateway on the Agilio, by bytes of a packet",
        published="falls: without an engine on the NIC the host encrypts each byte",
        accepted=Trend("the size", rises=False, every_step=True),
        study=SWEEPS,
        measure=partial(_along, program="ipsec_gateway", axis="size", way=CORA),
        unit="%",
    ),
    *(
        Claim(
            id=f"shape-flows-{name}",
            where=_SHAPE,
            what=f"the UPF's saving on the Agilio, {way}, by number of flows",
            published="from 4e6 flows on, their tables do not fit the memory of the NIC",
            accepted=Finding(),
            study=SWEEPS,
            measure=partial(_along, program="upf", axis="flows", way=way),
            unit="%",
        )
        for name, way in (("state", BY_STATE), ("cora", CORA))
    ),
    Claim(
        id="never-behind",
        where="naive plans are in Cora's space",
        what="places of all sweeps at which a naive plan saves more",
        published="0",
        accepted=Band(0.0, 0.0),
        study=SWEEPS,
        measure=_behind,
    ),
    Claim(
        id="monotone",
        where="not in the paper: a law of the model",
        what="steps to longer flows, or to more skewed popularity, at which Cora's plan takes more "
        "host cores",
        published="0",
        accepted=Band(0.0, 0.0),
        study=SWEEPS,
        measure=_backwards,
    ),
]
