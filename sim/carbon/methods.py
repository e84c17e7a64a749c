"""Whose carbon it is, by several methods side by side; each hands out every gram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import fsum
from typing import Any

import numpy as np

from models.carbon.attribution.shapley import grouped_slot_carbon
from models.carbon.attribution.shares import IDLE, Interval, by_use, equally, proportional, spread
from sim.carbon.consumers import LOST
from sim.carbon.parts import SHARED
from sim.core.errors import LawBroken

COLUMNS = {"method": "string", "account": "string", "grams": "float64"}
_TOLERANCE = 1e-9
_NOTHING = 1e-30


@dataclass(slots=True)
class Slot:
    """A step of the ledger as the methods see it.

    dynamic_g: for work; standing_g: idle draw and making. work_j: energy of work. By user, use: of
    it in joules; held_g: of standing_g what he has reserved, the account `idle` among them.
    """

    lasted_s: float
    dynamic_g: float = 0.0
    standing_g: float = 0.0
    work_j: float = 0.0
    use: dict[str, float] = field(default_factory=dict)
    held_g: dict[str, float] = field(default_factory=dict)

    def work(self, user: str, energy_j: float, grams: float) -> None:
        """Work for a user."""
        self.dynamic_g += grams
        self.work_j += energy_j
        self.use[user] = self.use.get(user, 0.0) + energy_j

    def hold(self, user: str, grams: float) -> None:
        """What stands by for a user."""
        self.standing_g += grams
        self.held_g[user] = self.held_g.get(user, 0.0) + grams

    def split(self, tenant: str, use: Mapping[str, float], held_g: Mapping[str, float]) -> None:
        """A tenant's own users: what they leave of his work stays his, of what he holds is idle."""
        use, held_g = _settled(use, self.work_j), _settled(held_g, self.standing_g)
        left = self.use.pop(tenant, 0.0) - fsum(use.values())
        # What rounding leaves is no use: who has it would get an equal part.
        _add(self.use, {**use, tenant: left} if left > _TOLERANCE * self.work_j else use)
        unused = self.held_g.pop(tenant, 0.0) - fsum(held_g.values())
        _add(self.held_g, {**held_g, IDLE: unused})


def _settled(parts: Mapping[str, float], whole: float) -> dict[str, float]:
    """Parts of nothing, which rounding leaves below 0, are 0."""
    least = -_TOLERANCE * whole
    return {name: 0.0 if least <= part < 0.0 else part for name, part in parts.items()}


def attribute(slots: Sequence[Slot], spans_s: Sequence[float] = ()) -> dict[str, dict[str, float]]:
    """Grams by method and user.

    usage_and_reservation: work by use, standing carbon by reservation, the rest idle (Google's
    method); spread: the same with overheads shared out in a second pass (`redistributed`); usage:
    all by use (RUP); equal: in equal parts to who used anything in a step; shapley: standing
    carbon, which is there for the peak, to those who cause it, by the Shapley value of the steps'
    power and inside a step by use (Fair-CO2), and work by use. shapley_nested, where there are
    `spans_s`, each a part of the one before: the same level by level, to days by their peaks first,
    say, then to the hours in them; a step lies in the span in which it begins.
    """
    by_held: dict[str, float] = {}
    usage: dict[str, float] = {}
    equal: dict[str, float] = {}
    for slot in slots:
        whole = Interval(slot.dynamic_g, slot.standing_g)
        _add(by_held, proportional(slot.dynamic_g, slot.use, IDLE))
        _add(by_held, slot.held_g)
        _add(usage, by_use(whole, slot.use))
        _add(equal, equally(whole, [name for name, use in slot.use.items() if use]))
    found = {
        "usage_and_reservation": by_held,
        "spread": redistributed(by_held),
        "usage": usage,
        "equal": equal,
        "shapley": _shapley(slots),
    }
    if spans_s:
        found["shapley_nested"] = _shapley(slots, spans_s)
    return found


def redistributed(accounts: Mapping[str, float]) -> dict[str, float]:
    """Overheads in proportion to what others have: what a tenant has lost to failures among its
    own users, then what is idle and shared (links) among all."""
    found = dict(accounts)
    for lost in [name for name in accounts if name.endswith(f"/{LOST}")]:
        tenant = lost.removesuffix(f"/{LOST}")
        own = {
            n: found.pop(n) for n in accounts if n in (tenant, lost) or n.startswith(f"{tenant}/")
        }
        found |= spread(own, [lost])
    return spread(found, [name for name in (IDLE, SHARED) if name in found])


def write(results: Any, slots: Sequence[Slot], spans_s: Sequence[float] = ()) -> None:
    """The table `carbon_attribution`. Raises LawBroken where a method loses a gram."""
    table = results.table("carbon_attribution", COLUMNS)
    whole = fsum(slot.dynamic_g + slot.standing_g for slot in slots)
    for method, accounts in attribute(slots, spans_s).items():
        handed = fsum(accounts.values())
        if abs(handed - whole) > max(_TOLERANCE * whole, _NOTHING):
            raise LawBroken(f"carbon: {method} hands out {handed!r} g of {whole!r} g")
        for account, grams in sorted(accounts.items()):
            table.append((method, account, grams))


def _shapley(slots: Sequence[Slot], spans_s: Sequence[float] = ()) -> dict[str, float]:
    found: dict[str, float] = {}
    power = np.array([slot.work_j / slot.lasted_s for slot in slots])
    shares = [slot.standing_g for slot in slots]
    if power.size and power.max() > 0.0:
        work = np.array([slot.work_j for slot in slots])
        lasted_s = [slot.lasted_s for slot in slots]
        begun_s = np.array([0.0, *accumulate(lasted_s[:-1])])
        levels = [np.floor(begun_s / span_s).astype(np.int64) for span_s in spans_s]
        shares = grouped_slot_carbon(fsum(shares), power, work, levels).tolist()
    for slot, grams in zip(slots, shares, strict=True):
        _add(found, proportional(grams + slot.dynamic_g, slot.use, IDLE))
    return found


def _add(accounts: dict[str, float], more: Mapping[str, float]) -> None:
    for name, grams in more.items():
        accounts[name] = accounts.get(name, 0.0) + grams
