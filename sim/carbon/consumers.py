"""What single requests and jobs have cost, from their shares of the meters' steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.carbon.signal import Floats
from sim.core.records import Table
from sim.core.result import Draft
from sim.core.spread import spread
from sim.hardware.metering import Ended, StepUse

COLUMNS = {
    "id": "int64",
    "energy_j": "float64",
    "operational_g": "float64",
    "embodied_g": "float64",
}


class Metered:
    """What a meter's devices took in a step: for work, and for standing there."""

    __slots__ = ("embodied_g", "held_g", "held_j", "work_g", "work_j")

    def __init__(self) -> None:
        self.work_j = self.work_g = self.held_j = self.held_g = self.embodied_g = 0.0


class Consumers:
    """Writes a row for each consumer of a tenant's meters: `carbon_requests`.

    A consumer's energy is that of its active seconds, and of the idle draw of the devices, by its
    share of their memory over time; the same for carbon. What nobody held is in nobody's row.
    """

    def __init__(self, results: Draft, tenants: Sequence[str]) -> None:
        self.tenants = list(tenants)
        self._tables: dict[str, Table] = {}
        for tenant in dict.fromkeys(tenants):
            name = "carbon_requests" if tenant == "serving" else f"{tenant}_carbon_requests"
            self._tables[tenant] = results.table(name, COLUMNS)
        # By meter and step: joules, grams and grams of making for an active second, and for a
        # second of all its memory.
        self._active: list[list[tuple[float, float]]] = [[] for _ in tenants]
        self._held: list[list[tuple[float, float, float]]] = [[] for _ in tenants]
        self._grams: dict[str, list[Floats]] = {tenant: [] for tenant in self._tables}
        #: By step, tenant and kind: joules of work, and grams of what was held.
        self.kinds: list[dict[tuple[str, str], tuple[float, float]]] = []

    def step(self, uses: Sequence[StepUse], metered: Sequence[Metered], lasted_s: float) -> None:
        """A step is over."""
        self.kinds.append({})
        for meter, (use, took) in enumerate(zip(uses, metered, strict=True)):
            active_s = sum(use.active_s.values())
            work, held = (0.0, 0.0), (0.0, 0.0, 0.0)
            if active_s > 0.0:
                work = (took.work_j / active_s, took.work_g / active_s)
            if lasted_s > 0.0:
                held = (took.held_j / lasted_s, took.held_g / lasted_s, took.embodied_g / lasted_s)
            self._active[meter].append(work)
            self._held[meter].append(held)
            if use.ended:
                ended = use.ended if isinstance(use.ended, Ended) else Ended.of(use.ended)
                self._rows(meter, ended)

    def _rows(self, meter: int, ended: Ended) -> None:
        tenant = self.tenants[meter]
        count, owner, steps = len(ended), ended.owner, ended.step
        # No more than the steps that are asked for: a run may have many.
        first = int(steps.min()) if len(steps) else len(self._active[meter])
        active = np.array(self._active[meter][first:]).reshape(-1, 2)[steps - first]
        held = np.array(self._held[meter][first:]).reshape(-1, 3)[steps - first]
        work_j, work_g = ended.active_s * active[:, 0], ended.active_s * active[:, 1]
        held_j, held_g, embodied_g = (ended.held_s[:, None] * held).T
        sums = [
            np.bincount(owner, weights, count)
            for weights in (work_j + held_j, work_g + held_g, embodied_g)
        ]
        table = self._tables[tenant]
        table.rows.extend(zip(ended.ids, *(column.tolist() for column in sums), strict=True))
        table.flush_when_full()
        grams = sums[1] + sums[2]
        self._grams[tenant].append(grams[np.array(ended.finished)])
        names = list(dict.fromkeys(ended.kinds))
        places = {kind: place for place, kind in enumerate(names)}
        kinds = np.array([places[kind] for kind in ended.kinds])[owner]
        # Sums by step and kind.
        first = int(steps.min(initial=len(self.kinds)))
        where = (steps - first) * len(names) + kinds
        works, helds = np.bincount(where, work_j), np.bincount(where, held_g + embodied_g)
        for at in np.unique(where).tolist():
            step, kind = self.kinds[first + at // len(names)], names[at % len(names)]
            before_j, before_g = step.get((tenant, kind), (0.0, 0.0))
            step[tenant, kind] = before_j + float(works[at]), before_g + float(helds[at])

    def close(self, results: Any) -> None:
        """Figures: carbon of single requests that finished, their overheads not in it."""
        for tenant, parts in self._grams.items():
            values = np.concatenate(parts) if parts else np.empty(0)
            results.figures(tenant, spread("request_carbon_g", values))
