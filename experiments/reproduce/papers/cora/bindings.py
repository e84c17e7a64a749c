"""The cost model's error by what binds a plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from experiments.reproduce.accepted import Finding
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.model_error import Compared, errors
from experiments.reproduce.runs import mean_interval

#: Kinds of binding resources by the beginnings of their names. One server whose jobs come one after
#: the other and take a known time is exact at saturation, whatever the order.
KINDS = {
    "host cores": "host cores",
    "host memory": "host memory",
    "cores": "NIC cores",
    "threads": "NIC threads",
    "memory": "NIC memory engine",
    "inserts": "insertion channel (one server)",
    "pcie": "PCIe (one server)",
    "mac": "port (one server)",
    "line": "port (one server)",
    "match tables": "match tables (one server)",
    "accelerator": "accelerator (one server)",
}


def kind(binding: str) -> str:
    """The kind of a resource."""
    return next(name for start, name in KINDS.items() if binding.startswith(start))


def grouped(found: Sequence[Compared]) -> dict[str, list[Compared]]:
    """Points by the kind of resource that binds them, the commonest first."""
    groups: dict[str, list[Compared]] = defaultdict(list)
    for each in found:
        groups[kind(each.binding)].append(each)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def by_binding(found: list[list[Compared]], which: int) -> dict[str, Estimate]:
    """Mean (0) or worst (1) error of the highest rate in percent, with the number of points."""
    seeds = [grouped(each) for each in found]
    return {
        f"{name}, {len(group)} of {len(found[0])}": mean_interval(
            [100.0 * errors(seed[name], "rate_error")[which] for seed in seeds]
        )
        for name, group in seeds[0].items()
    }


def claims(study: Study[list[list[Compared]]]) -> list[Claim[Any, Any]]:
    """The points by what binds them."""
    return [
        Claim(
            id=f"model-rate-error-{name}-by-binding",
            where="not in the paper",
            what=f"{name} error of the highest rate by what binds the plan, with its plans",
            published="-",
            accepted=Finding(),
            study=study,
            measure=partial(by_binding, which=which),
            unit="%",
            note="A single server is right by itself, so the mean over all plans says less of the "
            "model than that over plans bound by cores and threads. With 32 of them the host's "
            "cores bind none of these plans; their own error is above",
        )
        for which, name in enumerate(("mean", "worst"))
    ]
