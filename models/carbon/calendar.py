"""Hours of whole calendar years."""

from __future__ import annotations

from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from models.carbon.signal import Floats
from models.carbon.units import S_PER_DAY, S_PER_HOUR
from models.errors import ConfigError

_COMMON, _LEAP = 8760, 8784
#: Hours before 29 February.
_FEBRUARY_29 = (31 + 28) * 24


@dataclass(frozen=True, slots=True)
class Calendar:
    """`years` years from 1 January of `first_year`, in UTC. Times are seconds since then."""

    first_year: int
    years: int

    def __post_init__(self) -> None:
        if not (1 <= self.first_year <= 9998 - self.years and self.years >= 1):
            raise ConfigError(
                f"calendar: first_year = {self.first_year!r} and years = {self.years!r} must be "
                ">= 1 and end before the year 9999"
            )

    def hours_of(self, year: int) -> int:
        """8,760, in leap years 8,784."""
        return _LEAP if isleap(year) else _COMMON

    @property
    def hours(self) -> int:
        return sum(map(self.hours_of, range(self.first_year, self.first_year + self.years)))

    @property
    def edges_s(self) -> Floats:
        """Edges of the hours, one more than hours."""
        return S_PER_HOUR * np.arange(self.hours + 1, dtype=np.float64)

    def months_s(self, every: int = 3) -> list[float]:
        """Beginnings of every so many months from the first day on: quarters by default."""
        if every < 1 or 12 % every:
            raise ConfigError(f"calendar: every = {every!r} months do not make up a year")
        months = [
            (year, month)
            for year in range(self.first_year, self.first_year + self.years)
            for month in range(1, 13)
        ]
        days = np.cumsum([0, *[monthrange(*month)[1] for month in months]])
        return [S_PER_DAY * day for day in days[:-1:every].tolist()]

    def year_of_hours(self) -> NDArray[np.int64]:
        """Calendar year of each hour."""
        years = range(self.first_year, self.first_year + self.years)
        return np.repeat(np.array(years, np.int64), [self.hours_of(year) for year in years])

    def by_year(self, hourly: Floats) -> dict[int, float]:
        """Sums of hourly values by calendar year. Raises ConfigError for another number of
        hours."""
        if len(hourly) != self.hours:
            raise ConfigError(f"calendar: {len(hourly)} values for {self.hours} hours")
        found = {}
        start = 0
        for year in range(self.first_year, self.first_year + self.years):
            end = start + self.hours_of(year)
            found[year] = float(hourly[start:end].sum())
            start = end
        return found

    def repeated(self, one_year: Floats) -> Floats:
        """A year's hourly values in all the years. 29 February has those of the day before where
        the year given has none, and is left out where only that one has it. Raises ConfigError for
        what is no year of hours."""
        if len(one_year) not in (_COMMON, _LEAP):
            raise ConfigError(
                f"calendar: {len(one_year)} values are no year of {_COMMON} or {_LEAP} hours"
            )
        if len(one_year) == _LEAP:
            leap = one_year
            common = np.delete(one_year, slice(_FEBRUARY_29, _FEBRUARY_29 + 24))
        else:
            common = one_year
            leap = np.insert(one_year, _FEBRUARY_29, one_year[_FEBRUARY_29 - 24 : _FEBRUARY_29])
        years = range(self.first_year, self.first_year + self.years)
        return np.concatenate([leap if self.hours_of(y) == _LEAP else common for y in years])


def moment(date_s: float) -> str:
    """Seconds since 1970 as a date and time in UTC."""
    return datetime.fromtimestamp(date_s, UTC).isoformat()
