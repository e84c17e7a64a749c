"""Carbon of a site hour by hour over years, where single events would be too many.

The formulas are those of a run's ledger: `supply` for what is drawn, `lifetime` for what was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from models.carbon.battery import Battery, Store
from models.carbon.lifetime import Life
from models.carbon.signal import Floats
from models.carbon.supply import FarmEnergy, Settled, settle_steps
from models.carbon.units import S_PER_HOUR
from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """`count` equal devices (a mean number may be broken) from `from_s` to `to_s`.

    life: over which their making is written off from then on (it may be before the accounts
    begin). carries: at the end the book value goes on to another deployment, else it is expensed.
    """

    name: str
    life: Life
    from_s: float
    to_s: float = inf
    count: float = 1.0
    carries: bool = False

    def __post_init__(self) -> None:
        if not (self.from_s < self.to_s and 0.0 <= self.count < inf):
            raise ConfigError(
                f"deployment {self.name}: from_s = {self.from_s!r} must be before to_s = "
                f"{self.to_s!r} and count = {self.count!r} >= 0"
            )

    def book_g(self, time_s: float) -> float:
        """What is left to write off at a time, while deployed or at its end."""
        return self.count * self.life.book_g(time_s - self.from_s)

    def accrual(self, start_s: float, end_s: float) -> tuple[float, float, float]:
        """From when to when something is written off in an interval, and grams a second."""
        until_s = min(self.to_s, self.from_s + self.life.planned_s, end_s)
        return max(self.from_s, start_s), until_s, self.count * self.life.g_per_s


@dataclass(frozen=True, slots=True)
class HourlyAccounts:
    """Accounts of a site by hour.

    supply: energies and grams of operation. embodied_g: written off while deployed; early_g: what
    retirement before its time expenses, in its hour (at an edge in the one that begins).
    by_device_g: both together in total, by the deployments' name.
    """

    supply: Settled[Floats]
    embodied_g: Floats
    early_g: Floats
    by_device_g: dict[str, float] = field(default_factory=dict)

    @property
    def total_g(self) -> Floats:
        """Of operation and of making, by hour."""
        return self.supply.total_g + self.embodied_g + self.early_g


def hourly_accounts(
    *,
    it_w: Floats,
    intensity_g_per_kwh: Floats,
    pue: Floats | float = 1.0,
    farms: Sequence[FarmEnergy[Floats]] = (),
    battery: Battery | None = None,
    store: Store = Store(),  # noqa: B008 (it does not change)
    devices: Sequence[Deployment] = (),
    start_s: float = 0.0,
) -> HourlyAccounts:
    """Accounts of a site whose computers draw `it_w` in the mean of each hour from `start_s` on;
    all else by hour too.

    Raises ConfigError for arrays of different lengths and impossible numbers.
    """
    supply = settle_steps(
        it_j=it_w * S_PER_HOUR,
        pue=pue,
        intensity_g_per_kwh=intensity_g_per_kwh,
        step_s=S_PER_HOUR,
        farms=farms,
        battery=battery,
        store=store,
    )
    hours = len(it_w)
    end_s = start_s + S_PER_HOUR * hours
    embodied_g, early_g, steady = np.zeros(hours), np.zeros(hours), np.zeros(hours + 1)
    by_device: dict[str, float] = {}
    for device in devices:
        from_s, until_s, rate = device.accrual(start_s, end_s)
        grams = max(0.0, until_s - from_s) * rate
        if grams > 0.0:
            first, last = (from_s - start_s) / S_PER_HOUR, (until_s - start_s) / S_PER_HOUR
            # Whole hours by their edges, and the rest of the first and the last.
            i, j = int(first), int(last)
            steady[i] += S_PER_HOUR * rate
            steady[j] -= S_PER_HOUR * rate
            embodied_g[i] -= (first - i) * S_PER_HOUR * rate
            if j < hours:
                embodied_g[j] += (last - j) * S_PER_HOUR * rate
        if not device.carries and start_s <= device.to_s < end_s:
            left_g = device.book_g(device.to_s)
            early_g[int((device.to_s - start_s) / S_PER_HOUR)] += left_g
            grams += left_g
        by_device[device.name] = by_device.get(device.name, 0.0) + grams
    embodied_g += np.cumsum(steady)[:hours]
    return HourlyAccounts(supply, embodied_g, early_g, by_device)
