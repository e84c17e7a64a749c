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

    life: over which their making is written off, from the age of `age_s` on. carries: at the end
    the book value goes on to another deployment, else it is expensed. from_s < 0: deployed before
    the accounts begin.
    """

    name: str
    life: Life
    from_s: float
    to_s: float = inf
    count: float = 1.0
    age_s: float = 0.0
    carries: bool = False

    def __post_init__(self) -> None:
        if not (self.from_s < self.to_s and 0.0 <= self.count < inf and 0.0 <= self.age_s < inf):
            raise ConfigError(
                f"deployment {self.name}: from_s = {self.from_s!r} must be before to_s = "
                f"{self.to_s!r}, count = {self.count!r} and age_s = {self.age_s!r} >= 0"
            )

    def book_g(self, time_s: float) -> float:
        """What is left to write off at a time, while deployed or at its end."""
        return self.count * self.life.book_g(self.age_s + time_s - self.from_s)

    def accrued_g(self, edges_s: Floats) -> Floats:
        """Written off between edges."""
        times = np.clip(edges_s, self.from_s, self.to_s)
        books = self.count * self.life.books_g(self.age_s + times - self.from_s)
        return books[:-1] - books[1:]

    def expensed(self, edges_s: Floats) -> tuple[int, float]:
        """In which step its book value is expensed, and how much; step -1: in none."""
        if self.carries or not edges_s[0] < self.to_s <= edges_s[-1]:
            return -1, 0.0
        return int(np.searchsorted(edges_s, self.to_s)) - 1, self.book_g(self.to_s)


@dataclass(frozen=True, slots=True)
class HourlyAccounts:
    """Accounts of a site by hour.

    supply: energies and grams of operation. embodied_g: written off while deployed; early_g: what
    retirement before its time expenses (in the hour in which, or at whose end, it happens).
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
    edges_s = start_s + S_PER_HOUR * np.arange(hours + 1, dtype=np.float64)
    embodied_g, early_g = np.zeros(hours), np.zeros(hours)
    by_device: dict[str, float] = {}
    for device in devices:
        accrued_g = device.accrued_g(edges_s)
        hour, expensed_g = device.expensed(edges_s)
        embodied_g += accrued_g
        if hour >= 0:
            early_g[hour] += expensed_g
        grams = float(accrued_g.sum()) + expensed_g
        by_device[device.name] = by_device.get(device.name, 0.0) + grams
    return HourlyAccounts(supply, embodied_g, early_g, by_device)
