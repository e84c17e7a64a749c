"""What single requests and jobs have cost, from their shares of the meters' steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from models.carbon.signal import Floats
from sim.core.records import Table
from sim.core.result import Draft
from sim.core.spread import spread
from sim.hardware.metering import StepUse

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
        #: Energy, operational and embodied grams in the rows, by tenant.
        self.sums = {tenant: np.zeros(3) for tenant in self._tables}
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
                self._rows(meter, use)

    def _rows(self, meter: int, use: StepUse) -> None:
        tenant = self.tenants[meter]
        ended = use.ended
        parts = [consumer.parts for consumer in ended]
        counts = np.array([len(own) for own in parts])
        flat = np.fromiter(
            chain.from_iterable(chain.from_iterable(parts)), np.float64, 3 * int(counts.sum())
        ).reshape(-1, 3)
        steps = flat[:, 0].astype(np.int64)
        # No more than the steps that are asked for: a run may have many.
        first = int(steps.min()) if len(steps) else len(self._active[meter])
        active = np.array(self._active[meter][first:]).reshape(-1, 2)[steps - first]
        held = np.array(self._held[meter][first:]).reshape(-1, 3)[steps - first]
        seconds, share_s = flat[:, 1], flat[:, 2]
        owner = np.repeat(np.arange(len(ended)), counts)
        sums = [
            np.bincount(owner, weights, len(ended))
            for weights in (
                seconds * active[:, 0] + share_s * held[:, 0],
                seconds * active[:, 1] + share_s * held[:, 1],
                share_s * held[:, 2],
            )
        ]
        table = self._tables[tenant]
        ids = [consumer.id for consumer in ended]
        table.rows.extend(zip(ids, *(column.tolist() for column in sums), strict=True))
        table.flush_when_full()
        self.sums[tenant] += [column.sum() for column in sums]
        grams = sums[1] + sums[2]
        self._grams[tenant].append(grams[np.array([c.finished for c in ended])])
        work_j, held_g = seconds * active[:, 0], share_s * (held[:, 1] + held[:, 2])
        for kind in {consumer.kind for consumer in ended}:
            own = np.array([consumer.kind == kind for consumer in ended])[owner]
            for step in np.unique(steps[own]).tolist():
                here = own & (steps == step)
                before = self.kinds[step].get((tenant, kind), (0.0, 0.0))
                self.kinds[step][tenant, kind] = (
                    before[0] + float(work_j[here].sum()),
                    before[1] + float(held_g[here].sum()),
                )

    def close(self, results: Any) -> None:
        """Figures: carbon of single requests that finished, their overheads not in it."""
        for tenant, parts in self._grams.items():
            values = np.concatenate(parts) if parts else np.empty(0)
            results.figures(tenant, spread("request_carbon_g", values))
