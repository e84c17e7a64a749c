"""Where a site's energy comes from in a step, and what it emits: farms, battery, grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from models.carbon.battery import Battery, Moved, Store
from models.carbon.signal import Floats
from models.carbon.units import J_PER_KWH
from models.errors import ConfigError

T = TypeVar("T", float, Floats)


class FarmEnergy(NamedTuple, Generic[T]):
    """Output of a farm in a step (or in each of many), and its own factor: of its making, spread
    over its output."""

    energy_j: T
    g_per_kwh: float


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """What a site drew in a step, or in each of many.

    it_j: of its computers; load_j: with PUE, served at once by the farms (matched_j), out of the
    battery (discharged_j) and by the grid. charged_j: put into the battery. grid_j: drawn from the
    grid for the load and the battery. curtailed_j: of the farms, used by nobody.

    grid_g, farm_g: of what the load had from there. stored_g: of what it had from the battery, as
    that was supplied, losses included; wear_g: of the battery's making, for that. content_j,
    content_g: in the battery at the end.
    """

    it_j: T
    load_j: T
    matched_j: T
    charged_j: T
    discharged_j: T
    grid_j: T
    curtailed_j: T
    grid_g: T
    farm_g: T
    stored_g: T
    wear_g: T
    content_j: T
    content_g: T
    cycled_g: T
    aged_g: T
    written_g: T

    @property
    def battery_g(self) -> T:
        """Of what the load had from the battery, as supplied, and of its making."""
        return self.stored_g + self.wear_g

    @property
    def total_g(self) -> T:
        """Of the load."""
        return self.grid_g + self.farm_g + self.stored_g + self.wear_g


def settle(
    *,
    it_j: float,
    pue: float,
    intensity_g_per_kwh: float,
    step_s: float,
    farms: Sequence[FarmEnergy[float]] = (),
    battery: Battery | None = None,
    store: Store = Store(),  # noqa: B008 (it does not change)
    from_grid_j: float = 0.0,
) -> Settled[float]:
    """Supply one step: by the farms first (each with its share of what they have), then out of the
    battery, then from the grid. The battery takes what the farms have left.

    it_j: energy of the computers. store: the battery at the beginning; its limits hold for the mean
    power of the step. from_grid_j: asked of the grid for the battery on top, as far as its limits
    allow; it gives nothing in this step then. Raises ConfigError for impossible numbers.
    """
    _check(it_j, pue, intensity_g_per_kwh, from_grid_j, *[x for farm in farms for x in farm])
    if not step_s > 0.0:
        raise ConfigError(f"supply: step_s = {step_s!r} must be > 0")
    load_j = it_j * pue
    farm_j = sum([farm.energy_j for farm in farms])
    weight = sum([farm.energy_j * farm.g_per_kwh for farm in farms])
    mix = weight / farm_j if farm_j > 0.0 else 0.0
    moved = Moved(0.0, 0.0, 0.0, 0.0, store)
    if battery is not None:
        moved = battery.move(store, farm_j - load_j, step_s, mix, from_grid_j, intensity_g_per_kwh)
    elif from_grid_j > 0.0:
        raise ConfigError(f"supply: from_grid_j = {from_grid_j!r}, but there is no battery")
    after = moved.store
    if battery is not None:
        after = battery.write_off(after, moved.out_j, step_s, load_j > 0.0)
    return _account(
        it_j, load_j, min(load_j, farm_j), farm_j, mix, intensity_g_per_kwh, *moved[:4],
        after.written_g - store.written_g, *after,
    )  # fmt: skip


def at_the_end(settled: Settled[float]) -> Store:
    """The battery after a step."""
    return Store(
        settled.content_j, settled.content_g, settled.cycled_g, settled.aged_g, settled.written_g
    )


def settle_steps(
    *,
    it_j: Floats,
    pue: Floats | float,
    intensity_g_per_kwh: Floats,
    step_s: float,
    farms: Sequence[FarmEnergy[Floats]] = (),
    battery: Battery | None = None,
    store: Store = Store(),  # noqa: B008
) -> Settled[Floats]:
    """`settle` for equal steps, one after another. Raises ConfigError as that does, and where
    lengths differ."""
    count = len(it_j)
    for name, values in [
        ("pue", pue), ("intensity_g_per_kwh", intensity_g_per_kwh),
        *[(f"farms[{i}].energy_j", farm.energy_j) for i, farm in enumerate(farms)],
    ]:  # fmt: skip
        if np.ndim(values) and len(np.asarray(values)) != count:
            raise ConfigError(f"supply: {name} has {len(np.asarray(values))} steps, it_j {count}")
    if count:
        lows = [float(np.min(x)) for x in (it_j, pue, intensity_g_per_kwh)]
        _check(*lows, 0.0, *[float(np.min(x)) for farm in farms for x in farm])
    load_j = it_j * pue
    farm_j = np.zeros(count)
    weight = np.zeros(count)
    for farm in farms:
        farm_j += farm.energy_j
        weight += farm.energy_j * farm.g_per_kwh
    mix = np.divide(weight, farm_j, out=np.zeros(count), where=farm_j > 0.0)
    rows = np.zeros((10, count))
    if battery is not None:
        loads = (load_j > 0.0).tolist()
        for i, (gap_j, mixed) in enumerate(
            zip((farm_j - load_j).tolist(), mix.tolist(), strict=True)
        ):
            moved = battery.move(store, gap_j, step_s, mixed)
            after = battery.write_off(moved.store, moved.out_j, step_s, loads[i])
            rows[:, i] = *moved[:4], after.written_g - store.written_g, *after
            store = after
    else:
        rows[5:] = np.array(store)[:, None]
    matched_j = np.minimum(load_j, farm_j)
    return _account(it_j, load_j, matched_j, farm_j, mix, intensity_g_per_kwh, *rows)


def _account(
    it_j: T,
    load_j: T,
    matched_j: T,
    farm_j: T,
    mix: T,
    intensity: T,
    surplus_j: T,
    from_grid_j: T,
    out_j: T,
    out_g: T,
    wear_g: T,
    content_j: T,
    content_g: T,
    cycled_g: T,
    aged_g: T,
    written_g: T,
) -> Settled[T]:
    lacking_j = load_j - matched_j - out_j
    return Settled(
        it_j=it_j,
        load_j=load_j,
        matched_j=matched_j,
        charged_j=surplus_j + from_grid_j,
        discharged_j=out_j,
        grid_j=lacking_j + from_grid_j,
        curtailed_j=farm_j - matched_j - surplus_j,
        grid_g=lacking_j * intensity / J_PER_KWH,
        farm_g=matched_j * mix / J_PER_KWH,
        stored_g=out_g,
        wear_g=wear_g,
        content_j=content_j,
        content_g=content_g,
        cycled_g=cycled_g,
        aged_g=aged_g,
        written_g=written_g,
    )


def _check(it_j: float, pue: float, intensity: float, from_grid_j: float, *farms: float) -> None:
    for name, value, least in (
        ("it_j", it_j, 0.0),
        ("pue", pue, 1.0),
        ("intensity_g_per_kwh", intensity, 0.0),
        ("from_grid_j", from_grid_j, 0.0),
        ("a farm's energy_j or g_per_kwh", min(farms, default=0.0), 0.0),
    ):
        if not (value >= least and isfinite(value)):
            raise ConfigError(f"supply: {name} = {value!r} must be >= {least:g}")


def g_per_it_j(settled: Settled[float]) -> float:
    """Carbon of operation for a joule of the computers; 0 where they drew nothing."""
    return settled.total_g / settled.it_j if settled.it_j > 0.0 else 0.0
