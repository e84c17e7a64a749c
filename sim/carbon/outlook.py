"""What policies see of a site: the signals now, and a forecast of those to come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from models.carbon.forecast import noisy_forecast
from models.carbon.signal import Floats, StepSignal, together
from policies.shifting.contract import ForecastView
from sim.carbon.site import Site


class Forecast:
    """The steps to come as they are foreseen; the one under way is known, as its intensity can be
    read off the grid.

    error: deviation of each step's error, as a share of the signal's mean (0: perfect), drawn once
    from `rng` when somebody first looks ahead.
    """

    def __init__(
        self,
        signal: StepSignal,
        error: float,
        rng: Callable[[], np.random.Generator],
        clock: Callable[[], float],
    ) -> None:
        self._signal = signal
        self._error = error
        self._rng = rng
        self._clock = clock
        self._foreseen: StepSignal | None = None

    def pieces(self, from_s: float, to_s: float) -> tuple[Floats, Floats]:
        """Edges and intensities of an interval. Raises TraceError beyond the signal's end."""
        if self._foreseen is None:
            self._foreseen = self._signal
            if self._error:
                self._foreseen = noisy_forecast(self._signal, self._error, self._rng())
        edges, values = self._foreseen.pieces(from_s, to_s)
        now_s = self._clock()
        if self._error and values.size and edges[0] <= now_s < edges[1]:
            values = values.copy()
            values[0] = self._signal.at(now_s)
        return edges, values


class Effective:
    """Grams of a kWh that a site's computers draw: its intensity as foreseen x PUE, which follows
    the outside's temperature where the site has one. That is foreseen as it will be: a degree is
    worth less than a percent, far below what forecasts of an intensity are off by."""

    def __init__(self, site: Site, forecast: ForecastView) -> None:
        self._site = site
        self._forecast = forecast

    def pieces(self, from_s: float, to_s: float) -> tuple[Floats, Floats]:
        """Edges and values of an interval. Raises TraceError beyond a signal's end."""
        edges, values = self._forecast.pieces(from_s, to_s)
        by_outside = self._site.pue_by_outside
        if by_outside is None:
            return edges, values * self._site.pue_at(from_s)
        factors = by_outside.pieces(from_s, to_s)
        if from_s == to_s:
            return edges, values
        edges, (values, pue) = together([StepSignal(edges, values), StepSignal(*factors)])
        return edges, values * pue


class JointForecast:
    """Several forecasts as one: of each moment their mean, or the least, which work that may go to
    any of the sites finds there."""

    def __init__(
        self, forecasts: Sequence[ForecastView], of_each: Literal["mean", "least"]
    ) -> None:
        self._forecasts = list(forecasts)
        self._join = np.mean if of_each == "mean" else np.min

    def pieces(self, from_s: float, to_s: float) -> tuple[Floats, Floats]:
        """Edges and values of an interval. Raises TraceError beyond a signal's end."""
        parts = [forecast.pieces(from_s, to_s) for forecast in self._forecasts]
        if from_s == to_s or len(parts) == 1:
            return parts[0]
        edges, values = together([StepSignal(*part) for part in parts])
        return edges, self._join(values, axis=0)


class Outlook:
    """A site as policies see it; its own books stay closed to them."""

    __slots__ = ("_site", "clock", "effective", "forecast", "name")

    def __init__(
        self,
        site: Site,
        rng: Callable[[], np.random.Generator],
        clock: Callable[[], float],
    ) -> None:
        self._site = site
        self.name = site.name
        self.clock = site.clock
        self.forecast = Forecast(site.grid, site.forecast_error, rng, clock)
        self.effective = Effective(site, self.forecast)

    def intensity(self, now_s: float) -> float:
        """Of the grid now, in g/kWh."""
        return self._site.grid.at(now_s)

    def marginal(self, now_s: float) -> float | None:
        """Of one more kWh now; None where the site has no such signal."""
        signal = self._site.marginal_grid
        return None if signal is None else signal.at(now_s)

    def pue(self, now_s: float) -> float:
        """Power usage effectiveness now."""
        return self._site.pue_at(now_s)
