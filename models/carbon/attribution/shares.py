"""Sharing in proportion, and the accounts of what nobody used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import fsum

from models.errors import ConfigError

#: Account of capacity that stands by for nobody.
IDLE = "idle"


def proportional(grams: float, weights: Mapping[str, float], rest: str) -> dict[str, float]:
    """`grams` by weight (>= 0); where all weights are 0 they go to the account `rest`."""
    total = fsum(_checked(weights).values())
    if total <= 0.0:
        return {**dict.fromkeys(weights, 0.0), rest: grams}
    return {name: grams * (weight / total) for name, weight in weights.items()}


@dataclass(frozen=True, slots=True)
class Interval:
    """What a device emitted over a time: dynamic (for work), and standing (idle power and
    embodied, which are there without work)."""

    dynamic_g: float
    standing_g: float


def by_use_and_reservation(
    interval: Interval,
    use: Mapping[str, float],
    reserved: Mapping[str, float],
    capacity: float,
    spread_idle: bool = False,
) -> dict[str, float]:
    """Dynamic carbon by use, standing carbon by reservation; what is not reserved is the account
    `idle` (Google's method, arXiv 2406.09645).

    use, reserved: resource-time by tenant; capacity: what the device has. `spread_idle`: the idle
    account is shared in proportion to what each already has. Raises ConfigError where more is
    reserved than there is.
    """
    held = fsum(_checked(reserved).values())
    if held > capacity * (1.0 + 1e-12):
        raise ConfigError(f"reservations of {held!r} exceed the capacity of {capacity!r}")
    if IDLE in use or IDLE in reserved:
        raise ConfigError(f"no tenant may be named {IDLE}: it is the account of what nobody holds")
    accounts = dict.fromkeys([*use, *reserved], 0.0)
    accounts[IDLE] = 0.0
    for name, grams in proportional(interval.dynamic_g, use, IDLE).items():
        accounts[name] += grams
    standing = {**reserved, IDLE: max(0.0, capacity - held)}
    for name, grams in proportional(interval.standing_g, standing, IDLE).items():
        accounts[name] += grams
    return spread(accounts, [IDLE]) if spread_idle else accounts


def by_use(interval: Interval, use: Mapping[str, float]) -> dict[str, float]:
    """All carbon by use; what nobody used is idle."""
    return proportional(interval.dynamic_g + interval.standing_g, use, IDLE)


def equally(interval: Interval, tenants: Collection[str]) -> dict[str, float]:
    """All carbon in equal parts, whatever each did: a baseline."""
    return proportional(interval.dynamic_g + interval.standing_g, dict.fromkeys(tenants, 1.0), IDLE)


def by_occupation(
    embodied_g: float, held: Mapping[str, float], capacity: float
) -> dict[str, float]:
    """Embodied carbon of a device by memory held over time (byte seconds); the rest is idle."""
    return by_use_and_reservation(Interval(0.0, embodied_g), {}, held, capacity)


def spread(accounts: Mapping[str, float], overheads: Collection[str]) -> dict[str, float]:
    """The second pass: overhead accounts shared in proportion to what the others have. Where the
    others have nothing, they stay as they are."""
    missing = [name for name in overheads if name not in accounts]
    if missing:
        raise ConfigError(f"no account {missing[0]}; there are {', '.join(accounts)}")
    others = {name: grams for name, grams in accounts.items() if name not in overheads}
    base = fsum(others.values())
    if base <= 0.0:
        return dict(accounts)
    more = fsum(accounts[name] for name in overheads)
    return {name: grams + more * (grams / base) for name, grams in others.items()}


def _checked(weights: Mapping[str, float]) -> Mapping[str, float]:
    for name, weight in weights.items():
        if not weight >= 0.0:
            raise ConfigError(f"share of {name}: {weight!r} must be >= 0")
    return weights
