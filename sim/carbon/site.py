"""A place where nodes stand: its grid, what it buys and stores, what its cooling takes."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Protocol

import numpy as np

from models.carbon.battery import Battery, Store
from models.carbon.pue import Pue
from models.carbon.signal import StepSignal
from models.carbon.supply import FarmEnergy, Settled, settle
from models.carbon.units import S_PER_HOUR
from sim.core.errors import ConfigError


class SignalSource(Protocol):
    """Where a signal comes from."""

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        """The signal in seconds of the run, whose clock begins at 0. Raises TraceError."""
        ...


class Farm:
    """Power bought of a wind or solar farm.

    output: share of `rated_w` over time. g_per_kwh: making the farm, spread over its output.
    """

    def __init__(self, output: SignalSource, rated_w: float, g_per_kwh: float) -> None:
        for key, value in (("rated_w", rated_w), ("g_per_kwh", g_per_kwh)):
            if not 0.0 <= value < float("inf"):
                raise ConfigError(f"farm: {key} = {value!r} must be finite and >= 0")
        self.output = output
        self.rated_w = rated_w
        self.g_per_kwh = g_per_kwh


class Site:
    """One site of a run.

    nodes: names or patterns (`west*`) of the nodes that stand here; None: all that no other site
    names. intensity: of the grid, which counts. marginal: of one more kWh; policies may follow it,
    accounts never do. pue: by `outside`, the temperature in degrees Celsius, where it depends on
    it. battery: begins empty, takes what farms have left over. Energy that farms or battery are in
    is settled by the step of the signals, an hour at most. forecast_error: of the forecasts that
    policies see, the deviation of a step's error as a share of the signal's mean.

    From `begin` on, `grid` is the intensity on the run's clock, `marginal_grid` the other, `edges`
    the times at which something here changes, and `store` what is in the battery.
    """

    def __init__(
        self,
        intensity: SignalSource,
        pue: Pue,
        nodes: Sequence[str] | None = None,
        marginal: SignalSource | None = None,
        outside: SignalSource | None = None,
        farms: Sequence[Farm] = (),
        battery: Battery | None = None,
        forecast_error: float = 0.0,
    ) -> None:
        if not 0.0 <= forecast_error < float("inf"):
            raise ConfigError(f"site: forecast_error = {forecast_error!r} must be finite and >= 0")
        self.name = ""
        self.intensity = intensity
        self.marginal = marginal
        self.pue = pue
        self.outside = outside
        self.farms = list(farms)
        self.battery = battery
        self.nodes = nodes
        self.forecast_error = forecast_error
        self.store = Store()
        self.grid: StepSignal
        self.marginal_grid: StepSignal | None = None
        self._outside_c: StepSignal | None = None
        self._farm_shares: list[StepSignal] = []
        self.end_s = float("inf")

    def names(self, node: str) -> bool:
        """Whether it names a node as its own."""
        return any(fnmatchcase(node, pattern) for pattern in self.nodes or ())

    def begin(self, name: str, rng: np.random.Generator) -> None:
        """Put the signals on the run's clock. Raises TraceError where one begins after 0, and
        ConfigError where the site lacks something."""
        self.name = name
        self.grid = self.intensity.on_clock(rng)
        if self.marginal is not None:
            self.marginal_grid = self.marginal.on_clock(rng)
        if self.outside is not None:
            self._outside_c = self.outside.on_clock(rng)
        self.pue.at(self._outside_c.at(0.0) if self._outside_c is not None else None)
        self._farm_shares = [farm.output.on_clock(rng) for farm in self.farms]
        for signal in self.signals():
            signal.at(0.0)
        self.end_s = min(signal.end_s for signal in self.signals())

    def signals(self) -> list[StepSignal]:
        """All that its accounts are made of."""
        outside = [self._outside_c] if self._outside_c is not None else []
        return [self.grid, *outside, *self._farm_shares]

    def next_edge_s(self, now_s: float) -> float:
        """When something here changes next. Raises TraceError past the end of a signal."""
        edges = (signal.next_edge_s(now_s) for signal in self.signals())
        if self.farms or self.battery is not None:
            hour = (now_s // S_PER_HOUR + 1.0) * S_PER_HOUR
            return min(chain(edges, [hour]))
        return min(edges)

    def pue_at(self, now_s: float) -> float:
        """Power usage effectiveness at a time."""
        return self.pue.at(None if self._outside_c is None else self._outside_c.at(now_s))

    def farm_w(self, now_s: float) -> float:
        """Output of its farms at a time."""
        return sum(
            farm.rated_w * share.at(now_s)
            for farm, share in zip(self.farms, self._farm_shares, strict=True)
        )

    @property
    def farm_g_per_kwh(self) -> float:
        """Mean factor of its farms, by their rated power."""
        rated_w = sum(farm.rated_w for farm in self.farms)
        return (
            sum(farm.rated_w * farm.g_per_kwh for farm in self.farms) / rated_w if rated_w else 0.0
        )

    def settle(self, start_s: float, end_s: float, it_j: float) -> Settled[float]:
        """Supply what its computers have drawn in a step, in which no signal changes."""
        lasted_s = end_s - start_s
        settled = settle(
            it_j=it_j,
            pue=self.pue_at(start_s),
            intensity_g_per_kwh=self.grid.at(start_s),
            step_s=lasted_s,
            farms=[
                FarmEnergy(farm.rated_w * share.at(start_s) * lasted_s, farm.g_per_kwh)
                for farm, share in zip(self.farms, self._farm_shares, strict=True)
            ],
            battery=self.battery,
            store=self.store,
        )
        self.store = Store(settled.content_j, settled.content_g)
        return settled
