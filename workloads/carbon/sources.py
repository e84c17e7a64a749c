"""Signals on the clock of a run: constant, made up, or from a file from a date on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.carbon.clock import Clock
from models.carbon.factors import FactorTable
from models.carbon.farm import WindFarm
from models.carbon.signal import StepSignal
from models.carbon.synthetic import SyntheticIntensity
from models.errors import ConfigError, TraceError
from workloads.carbon.codecarbon import codecarbon_countries, codecarbon_regions
from workloads.carbon.columns import read_column
from workloads.carbon.eia930 import read_eia930
from workloads.carbon.eia930_interchange import read_eia930_with_imports
from workloads.carbon.electricity_maps import read_electricity_maps
from workloads.carbon.stamps import day, stamp, weekday_and_hour
from workloads.carbon.steps import STRICT, Oddities
from workloads.checks import finite, positive

#: As long as no run lasts.
FOREVER_S = 1e15


class Constant:
    """The same value always."""

    clock: Clock | None = None

    def __init__(self, value: float, unit: str = "g/kWh") -> None:
        always = finite("a constant signal's value", value)
        self._signal = StepSignal([0.0, FOREVER_S], [always], "constant", unit)

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        return self._signal


class MadeUp:
    """A synthetic intensity of so many `days`, in steps of `step_s`. The run begins at midnight of
    `first_weekday` (0 is a Monday), `from_hour` later."""

    def __init__(
        self,
        intensity: SyntheticIntensity,
        days: float,
        step_s: float,
        first_weekday: int = 0,
        from_hour: float = 0.0,
    ) -> None:
        positive("days", days)
        positive("step_s", step_s)
        if first_weekday not in range(7):
            raise ConfigError(f"first_weekday is {first_weekday!r}; 0 (Monday) to 6 (Sunday)")
        if not 0.0 <= from_hour < 24.0 * days:
            raise ConfigError(f"from_hour is {from_hour!r}; it must lie within {days!r} days")
        self._intensity = intensity
        self._days = days
        self._step_s = step_s
        self._first_weekday = first_weekday
        self._from_hour = from_hour
        days_on, hour = divmod(from_hour, 24.0)
        self.clock: Clock | None = Clock((first_weekday + int(days_on)) % 7, hour)

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        made = self._intensity.signal(rng, 24.0 * self._days, self._step_s, self._first_weekday)
        return made.shifted(-3600.0 * self._from_hour)


class MadeUpWind:
    """Output of a synthetic wind farm, by hour."""

    clock: Clock | None = None

    def __init__(self, farm: WindFarm, days: float) -> None:
        self._farm = farm
        self._hours = round(24.0 * positive("days", days))

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        return self._farm.output(rng, self._hours)


class OfPlace:
    """The annual factor of a place, all the time: from the table `factors`, or from codecarbon's,
    where that package is installed and `library` asks for it: true for countries by three letters,
    or usa, china or nordic for their states (CA), provinces (CN-BJ) and zones (SE1)."""

    clock: Clock | None = None

    def __init__(self, place: str, factors: FactorTable, library: bool | str = False) -> None:
        self._place = place
        self._factors = factors
        self._library = library

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        factors = self._factors
        if isinstance(self._library, str):
            factors = codecarbon_regions(self._library)
        elif self._library:
            factors = codecarbon_countries()
        return StepSignal([0.0, FOREVER_S], [factors[self._place]], self._place)


class FromFile:
    """A file's signal; the run begins at `starts` (a date, or date and time, of `zone`).

    layout: "column" (CSV with a column of times and one of values, named by `time` and `value` or
    the only two), or "electricity_maps", which knows its columns: there `factors` says which, None
    or lifecycle, or direct. scale: factor on all values
    (MW to a share of the rated power, say). odd: what is done about rows that do not fit. Raises
    TraceError with file and line, and where the file does not hold the start.
    """

    def __init__(
        self,
        path: str,
        starts: str,
        layout: str = "column",
        zone: str = "UTC",
        value: str | None = None,
        time: str | None = None,
        factors: str | None = None,
        scale: float = 1.0,
        unit: str = "g/kWh",
        odd: Oddities = STRICT,
    ) -> None:
        ignored: dict[str, str | None]
        if layout == "column":
            ignored = {"factors": factors}
        elif layout == "electricity_maps":
            ignored = {"value": value, "time": time}
        else:
            raise ConfigError(f"layout is {layout!r}; it is column or electricity_maps")
        for key, given in ignored.items():
            if given is not None:
                raise ConfigError(
                    f"{key} is {given!r}, which layout={layout} does not look at: a column file's "
                    "column is named by value, one of electricity_maps by factors (lifecycle or "
                    "direct)"
                )
        if scale != 1.0:
            positive("scale", scale)
        self._path = path
        self._starts_s = day(starts, zone)
        self.clock: Clock | None = _clock(self._starts_s, zone)
        self._layout = layout
        self._columns = (value, time)
        self._zone = zone
        self._factors = factors or "lifecycle"
        self._scale = scale
        self._unit = unit
        self._odd = odd

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        if self._layout == "column":
            signal = read_column(
                self._path, *self._columns, zone=self._zone, odd=self._odd, unit=self._unit
            )
        else:
            signal = read_electricity_maps(self._path, self._factors, odd=self._odd)
        if self._scale != 1.0:
            signal = signal.mapped(lambda values: self._scale * values)
        return _from(signal, self._starts_s, self._path)


class FromEia930:
    """Intensity of a balancing authority's own generation in a six-month file of form EIA-930, by
    emission factors of its sources; the run begins at `starts` (UTC).

    interchange: the interchange file of the same half-year; imports then count with the mix of who
    exports them. elsewhere: g/kWh of neighbours that the first file does not have (those abroad).
    Raises TraceError.
    """

    def __init__(
        self,
        path: str,
        starts: str,
        authority: str,
        factors: FactorTable,
        interchange: str | None = None,
        elsewhere: Mapping[str, float] | None = None,
        odd: Oddities = STRICT,
    ) -> None:
        self._path = path
        self._interchange = interchange
        self._elsewhere = {name: _always(value, name) for name, value in (elsewhere or {}).items()}
        if self._elsewhere and interchange is None:
            raise ConfigError("elsewhere: is of imports, which need interchange, a file")
        self._starts_s = day(starts)
        self.clock: Clock | None = _clock(self._starts_s, "UTC")
        self._authority = authority
        self._factors = factors
        self._odd = odd

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        who, factors, odd = self._authority, self._factors, self._odd
        if self._interchange is None:
            signal = read_eia930(self._path, who, factors, odd=odd)
        else:
            signal = read_eia930_with_imports(
                self._path, self._interchange, who, factors, elsewhere=self._elsewhere, odd=odd
            )
        return _from(signal, self._starts_s, self._path)


def _clock(starts_s: float, zone: str) -> Clock:
    """Of a run that begins at a time, in a zone."""
    return Clock(*weekday_and_hour(starts_s, zone), starts_s)


def _always(value: float, name: str) -> StepSignal:
    return StepSignal([-FOREVER_S, FOREVER_S], [value], name)


def _from(signal: StepSignal, starts_s: float, path: str) -> StepSignal:
    """A file's signal on the clock of a run that begins at a time. Raises TraceError where that
    lies outside the file."""
    if not signal.start_s <= starts_s < signal.end_s:
        first, last = (stamp(time_s) for time_s in (signal.start_s, signal.end_s))
        raise TraceError(
            f"{path}: starts = {stamp(starts_s)} lies outside the file, which holds {first} to "
            f"{last} UTC"
        )
    return signal.shifted(-starts_s)
