"""What single requests and jobs have cost, from their shares of the meters' steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.carbon.signal import Floats
from sim.core.records import Table
from sim.core.result import Draft
from sim.core.spread import spread
from sim.hardware.metering import Ended, StepUse

COLUMNS = {
    "id": "int64",
    "attempt": "int64",
    "status": "string",
    "energy_j": "float64",
    "operational_g": "float64",
    "embodied_g": "float64",
}

#: The kind of work that a failure undid.
LOST = "lost"

Ints = NDArray[np.int64]


class Metered:
    """What a meter's devices took in a step: for work, and for standing there."""

    __slots__ = ("embodied_g", "held_g", "held_j", "work_g", "work_j")

    def __init__(self) -> None:
        self.work_j = self.work_g = self.held_j = self.held_g = self.embodied_g = 0.0


class Consumers:
    """Writes a row for each consumer of a tenant's meters: `carbon_requests`.

    A consumer's energy is that of its active seconds, and of the idle draw of the devices, by its
    share of their memory over time; the same for carbon. What nobody held is in nobody's row.

    `status`: finished; unfinished when the run ended; or lost, where a failure undid what it had
    had: it has another row then, of the next `attempt`, if it began anew. `lost_g` of a tenant are
    these rows' grams, whatever came of them, in the accounts of the steps when the work was done.
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
        #: Of those that finished: ids and grams.
        self._ids: dict[str, list[Ints]] = {tenant: [] for tenant in self._tables}
        self._grams: dict[str, list[Floats]] = {tenant: [] for tenant in self._tables}
        #: By tenant and id: lost attempts, those of them written, and their grams.
        self._attempts: dict[tuple[str, int], list[float]] = {}
        #: By step, tenant and kind: joules of work, and grams of what was held.
        self.kinds: list[dict[tuple[str, str], tuple[float, float]]] = []

    def step(self, uses: Sequence[StepUse], metered: Sequence[Metered], lasted_s: float) -> None:
        """A step is over."""
        self.kinds.append({})
        all_ended = [
            use.ended if isinstance(use.ended, Ended) else Ended.of(use.ended) for use in uses
        ]
        for tenant, ended in zip(self.tenants, all_ended, strict=True):
            for number in compress(ended.ids, ended.lost):
                self._attempts.setdefault((tenant, number), [0, 0, 0.0])[0] += 1
        for meter, (use, took) in enumerate(zip(uses, metered, strict=True)):
            active_s = sum(use.active_s.values())
            work, held = (0.0, 0.0), (0.0, 0.0, 0.0)
            if active_s > 0.0:
                work = (took.work_j / active_s, took.work_g / active_s)
            if lasted_s > 0.0:
                held = (took.held_j / lasted_s, took.held_g / lasted_s, took.embodied_g / lasted_s)
            self._active[meter].append(work)
            self._held[meter].append(held)
            if all_ended[meter]:
                self._rows(meter, all_ended[meter])

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
        grams = sums[1] + sums[2]
        attempts = [1] * count
        if self._attempts:
            attempts = [
                self._attempt(tenant, *each)
                for each in zip(ended.ids, ended.lost, grams.tolist(), strict=True)
            ]
        states = [
            "finished" if finished else "lost" if lost else "unfinished"
            for finished, lost in zip(ended.finished, ended.lost, strict=True)
        ]
        columns = [column.tolist() for column in sums]
        table.rows.extend(zip(ended.ids, attempts, states, *columns, strict=True))
        table.flush_when_full()
        finished = np.array(ended.finished)
        self._ids[tenant].append(np.array(ended.ids)[finished])
        self._grams[tenant].append(grams[finished])
        accounts = [
            LOST if lost else kind for kind, lost in zip(ended.kinds, ended.lost, strict=True)
        ]
        names = list(dict.fromkeys(accounts))
        places = {kind: place for place, kind in enumerate(names)}
        kinds = np.array([places[kind] for kind in accounts])[owner]
        # Sums by step and kind.
        first = int(steps.min(initial=len(self.kinds)))
        where = (steps - first) * len(names) + kinds
        works, helds = np.bincount(where, work_j), np.bincount(where, held_g + embodied_g)
        for at in np.unique(where).tolist():
            step, kind = self.kinds[first + at // len(names)], names[at % len(names)]
            before_j, before_g = step.get((tenant, kind), (0.0, 0.0))
            step[tenant, kind] = before_j + float(works[at]), before_g + float(helds[at])

    def _attempt(self, tenant: str, number: int, lost: bool, grams: float) -> int:
        """Which of its attempts one ends with."""
        counts = self._attempts.get((tenant, number))
        if counts is None:
            return 1
        if not lost:
            return round(counts[0]) + 1
        counts[1] += 1
        counts[2] += grams
        return round(counts[1])

    def close(self, results: Any) -> None:
        """Figures: carbon of single requests that finished, all their attempts and no overheads in
        it, and of all lost attempts."""
        for tenant, parts in self._grams.items():
            values = np.concatenate(parts) if parts else np.empty(0)
            lost = {
                number: counts[2] for (name, number), counts in self._attempts.items()
                if name == tenant
            }  # fmt: skip
            if lost and values.size:
                ids = np.concatenate(self._ids[tenant])
                values += np.array([lost.get(number, 0.0) for number in ids.tolist()])
            results.figures(tenant, spread("request_carbon_g", values))
            results.figures(tenant, {"carbon.lost_g": fsum(lost.values())})
