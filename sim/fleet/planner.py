"""Years of fleets: every quarter devices are replaced, moved on and bought; every hour counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from models.carbon.calendar import Calendar
from models.carbon.hourly import HourlyAccounts, hourly_accounts
from models.carbon.signal import Floats
from models.carbon.supply import FarmEnergy
from models.carbon.units import S_PER_HOUR, S_PER_YEAR
from models.errors import ConfigError
from policies.refresh.contract import Decision, DeviceView, PlaceView
from sim.fleet.pool import Cohort, Pool, Stock

#: Devices fewer than this are none: what rounding leaves.
_NONE = 1e-9


@dataclass(frozen=True, slots=True)
class PoolYears:
    """What became of a pool.

    accounts: by hour. bought: (time, number) of new devices. moved_in: (time, number) of those from
    elsewhere. made_g: of all that it bought, and of what was not written off of the devices that it
    had at first; received_g, passed_on_g: not written off, of those that came from and went to
    elsewhere; left_g: not written off at the end. Made and received are together what was written
    off, expensed, passed on and left.
    """

    accounts: HourlyAccounts
    bought: Sequence[tuple[float, float]]
    moved_in: Sequence[tuple[float, float]]
    made_g: float
    received_g: float
    passed_on_g: float
    left_g: float


class FleetPlanner:
    """Pools over the years of a calendar.

    At the beginning of each quarter the policy of each pool is asked for each make there, on what
    is known by then; then work that is not served is given to devices that come from elsewhere, and
    to new ones for the rest; where there is less work than devices, the oldest go. During a quarter
    the mean number fails that the class's law gives, and is replaced at its end.
    """

    def __init__(self, calendar: Calendar, pools: Sequence[Pool]) -> None:
        names = [pool.name for pool in pools]
        if not names or len(set(names)) != len(names):
            raise ConfigError(f"fleet: pools {names} must be one or more, of different names")
        self.calendar = calendar
        self._stocks = {pool.name: Stock(pool) for pool in pools}
        self._grid = {p.name: p.hourly(p.intensity_g_per_kwh, calendar) for p in pools}
        self._pue = {p.name: p.hourly(p.pue, calendar) for p in pools}
        self._moved_in: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        #: Hours of each quarter; mean PUE and intensity that are known in this one.
        self._hours: list[int] = []
        self._known: dict[str, tuple[float, float]] = {}
        self._grams = {name: [0.0, 0.0, 0.0] for name in names}

    def run(self) -> Mapping[str, PoolYears]:
        """Plan all years. Raises ConfigError where a policy names a place that is none."""
        for stock in self._stocks.values():
            device = stock.pool.device
            for years, number in stock.pool.devices:
                if number > _NONE:
                    stock.cohorts.append(Cohort.bought(device, number, 0.0, years * S_PER_YEAR))
            self._grams[stock.pool.name][0] = sum(c.number * c.book_g(0.0) for c in stock.cohorts)
        starts = self.calendar.months_s()
        ends = [*starts[1:], self.calendar.hours * S_PER_HOUR]
        for start_s, end_s in zip(starts, ends, strict=True):
            self._quarter(start_s)
            self._hours.append(round((end_s - start_s) / S_PER_HOUR))
            for stock in self._stocks.values():
                stock.draws.append(sum(cohort.power() for cohort in stock.cohorts))
                for cohort in stock.cohorts:
                    failing = cohort.serve(end_s - start_s)
                    if failing > 0.0 and end_s < ends[-1]:
                        stock.ended.append(cohort.leave(failing, end_s, "failed"))
        return {name: self._close(stock) for name, stock in self._stocks.items()}

    def _quarter(self, now_s: float) -> None:
        for name in self._stocks:
            self._known[name] = (
                self._mean(self._pue[name], now_s),
                self._mean(self._grid[name], now_s),
            )
        coming: dict[str, list[tuple[Stock, Cohort]]] = {name: [] for name in self._stocks}
        for stock in self._stocks.values():
            for cohort in list(stock.cohorts):
                decision = self._ask(stock, cohort, now_s)
                if not decision.replace:
                    continue
                stock.cohorts.remove(cohort)
                if decision.to is None:
                    stock.ended.append(cohort.leave(cohort.number, now_s, "retired"))
                else:
                    coming[decision.to].append((stock, cohort))
        for name, stock in self._stocks.items():
            self._staff(stock, coming[name], now_s)

    def _ask(self, stock: Stock, cohort: Cohort, now_s: float) -> Decision:
        pool = stock.pool
        if cohort.from_s == now_s or cohort.number <= _NONE:
            return Decision(cohort.number <= _NONE)
        device = pool.device
        places = {
            other.pool.name: self._place(other.pool, cohort, now_s)
            for other in self._stocks.values()
            if other is not stock and other.pool.second is not None
            and other.pool.device.name == device.name
        }  # fmt: skip
        pue, grid = self._known[pool.name]
        view = DeviceView(
            name=device.name,
            age_s=now_s - cohort.from_s,
            old_w=cohort.watts(pool.use),
            new_w=device.power_w(pool.use, now_s),
            embodied_g=device.embodied_g,
            life_s=device.life_s,
            gain_per_s=device.gain_per_s,
            pue=pue,
            intensity_g_per_kwh=grid,
            places=list(places.values()),
        )
        decision = pool.refresh.decide(view, now_s)
        if decision.to is not None and not (decision.replace and decision.to in places):
            raise ConfigError(
                f"pool {pool.name}: {decision} names none of the places {', '.join(places)}"
            )
        return decision

    def _place(self, pool: Pool, cohort: Cohort, now_s: float) -> PlaceView:
        second, device = pool.second, pool.device
        assert second is not None
        pue, grid = self._known[pool.name]
        return PlaceView(
            name=pool.name,
            reused_w=second.draw * cohort.watts(pool.use),
            new_w=device.power_w(pool.use, now_s),
            embodied_g=device.embodied_g,
            life_s=device.life_s,
            pue=pue,
            intensity_g_per_kwh=grid,
            planned_s=second.years * S_PER_YEAR,
            fit=cohort.fit(second),
        )

    def _staff(self, stock: Stock, coming: list[tuple[Stock, Cohort]], now_s: float) -> None:
        """Serve the work of the quarter that begins now."""
        pool = stock.pool
        first = sum(number for _, number in pool.devices)
        needed = first * (1.0 + pool.growth) ** (now_s / S_PER_YEAR)
        for cohort in sorted(stock.cohorts, key=lambda cohort: cohort.made_s):
            spare = stock.number - needed
            if spare > _NONE:
                stock.ended.append(cohort.leave(min(spare, cohort.number), now_s, "retired"))
        for origin, cohort in coming:
            assert pool.second is not None
            number = min(cohort.number, max(0.0, needed - stock.number))
            if number > _NONE:
                moved = cohort.moved(number, now_s, pool.second)
                stock.cohorts.append(moved)
                self._moved_in[pool.name].append((now_s, number))
                carries = pool.second.carries
                if carries:
                    book_g = number * cohort.book_g(now_s)
                    self._grams[origin.pool.name][2] += book_g
                    self._grams[pool.name][1] += book_g
                origin.ended.append(cohort.leave(number, now_s, "moved on", carries))
            if cohort.number > 0.0:
                origin.ended.append(cohort.leave(cohort.number, now_s, "retired"))
        lacking = needed - stock.number
        if lacking > _NONE:
            stock.cohorts.append(Cohort.bought(pool.device, lacking, now_s))
            stock.bought.append((now_s, lacking))
            self._grams[pool.name][0] += lacking * pool.device.embodied_g

    def _mean(self, hourly: Floats, now_s: float) -> float:
        """Mean of the year that has passed; in the first, of as much of it; at the start of the
        first year, the plan for it."""
        hour = round(now_s / S_PER_HOUR)
        if hour == 0:
            return float(hourly[: self.calendar.hours_of(self.calendar.first_year)].mean())
        return float(hourly[max(0, hour - 8760) : hour].mean())

    def _close(self, stock: Stock) -> PoolYears:
        pool = stock.pool
        end_s = self.calendar.hours * S_PER_HOUR
        device = pool.device
        shape = pool.hourly(1.0 if pool.shape is None else pool.shape, self.calendar)
        busy = pool.use * shape
        if not (busy.min() >= 0.0 and busy.max() <= 1.0):
            raise ConfigError(
                f"pool {pool.name}: use x shape is {busy.min():g} to {busy.max():g}; it must be in "
                "[0, 1]"
            )
        uses, of_hour = np.unique(busy, return_inverse=True)
        each_w = np.array([device.curve.watts(use) for use in uses.tolist()])[of_hour]
        stays = [cohort.deployment("in service", cohort.number, inf) for cohort in stock.cohorts]
        accounts = hourly_accounts(
            it_w=np.repeat(stock.draws, self._hours) * each_w,
            intensity_g_per_kwh=self._grid[pool.name],
            pue=self._pue[pool.name],
            farms=[
                FarmEnergy(pool.hourly(farm.energy_j, self.calendar), farm.g_per_kwh)
                for farm in pool.farms
            ],
            battery=pool.battery,
            devices=[*stock.ended, *stays],
        )
        made_g, received_g, passed_on_g = self._grams[pool.name]
        return PoolYears(
            accounts=accounts,
            bought=stock.bought,
            moved_in=self._moved_in[pool.name],
            made_g=made_g,
            received_g=received_g,
            passed_on_g=passed_on_g,
            left_g=sum(cohort.number * cohort.book_g(end_s) for cohort in stock.cohorts),
        )
