"""Years of fleets as a run: pools of devices, and what their plans of replacement emit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from models.carbon.calendar import Calendar
from models.carbon.signal import Floats
from models.carbon.units import S_PER_HOUR
from sim.core.errors import ConfigError
from sim.core.result import Draft, Value
from sim.fleet.planner import FleetPlanner, PoolYears
from sim.fleet.pool import Pool

if TYPE_CHECKING:
    import simpy

    from sim.core.simulation import Simulation

COLUMNS = {
    "pool": "string",
    "year": "int32",
    "bought": "float64",
    "moved_in": "float64",
    "energy_j": "float64",
    "facility_energy_j": "float64",
    "operational_g": "float64",
    "embodied_g": "float64",
    "early_g": "float64",
}
_SUMS = tuple(COLUMNS)[2:]


class Fleet:
    """Pools from 1 January of `first_year` on (see `FleetPlanner`), by hour, in one go at the end.

    The table `fleet` holds a row a pool and year: devices bought and moved in, energy of the
    computers and with PUE, grams of operation, written off of making, and expensed of what went
    before its time.
    """

    def __init__(
        self, *, first_year: int, years: int, pools: Mapping[str, Pool], name: str = "fleet"
    ) -> None:
        self.name = name
        self._calendar = Calendar(first_year, years)
        self._pools: Sequence[Pool] = list(pools.values())
        self._planned: Mapping[str, PoolYears] | None = None

    def start(self, simulation: Simulation) -> None:
        """Raises ConfigError where the run is to end before the years do."""
        self._simulation = simulation
        self._planner = FleetPlanner(self._calendar, self._pools)
        end_s = S_PER_HOUR * self._calendar.hours
        if simulation.until_s is not None and simulation.until_s < end_s:
            raise ConfigError(
                f"until_s: {simulation.until_s:g} s are less than {self.name}'s years; null"
            )
        simulation.at(end_s, self._plan)

    def _plan(self, _: simpy.Event) -> None:
        self._planned = self._planner.run()
        self._simulation.check_done()

    def done(self) -> bool:
        return self._planned is not None

    def snapshot(self) -> dict[str, object]:
        return {"pools": [pool.name for pool in self._pools]}

    def finish(self, results: Draft) -> None:
        assert self._planned is not None
        table = results.table(self.name, COLUMNS)
        whole = []
        for name, planned in self._planned.items():
            rows = self._by_year(planned)
            for year, row in enumerate(rows, self._calendar.first_year):
                table.append((name, year, *row))
            own = [fsum(values) for values in zip(*rows, strict=True)]
            whole.append(own)
            results.figures(f"{self.name}.{name}", _figures(own))
        table.write()
        results.figures(self.name, _figures([fsum(sums) for sums in zip(*whole, strict=True)]))

    def _by_year(self, planned: PoolYears) -> list[list[float]]:
        supply, accounts = planned.accounts.supply, planned.accounts
        columns = [
            self._calendar.by_year(hourly)
            for hourly in (
                self._hourly(planned.bought),
                self._hourly(planned.moved_in),
                supply.it_j,
                supply.load_j,
                supply.total_g,
                accounts.embodied_g,
                accounts.early_g,
            )
        ]
        return [[column[year] for column in columns] for year in columns[0]]

    def _hourly(self, moves: Sequence[tuple[float, float]]) -> Floats:
        found = np.zeros(self._calendar.hours)
        for time_s, number in moves:
            found[round(time_s / S_PER_HOUR)] += number
        return found


def _figures(sums: Sequence[float]) -> dict[str, Value]:
    found: dict[str, Value] = dict(zip(_SUMS, sums, strict=True))
    found["carbon_g"] = fsum(v for key, v in zip(_SUMS, sums, strict=True) if key.endswith("_g"))
    return found
