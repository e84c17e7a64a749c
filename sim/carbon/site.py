"""A place where nodes stand: its grid, what it buys and stores, what its cooling takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

import numpy as np

from models.carbon.battery import Battery, Store
from models.carbon.clock import Clock
from models.carbon.pue import Pue
from models.carbon.signal import StepSignal
from models.carbon.units import S_PER_HOUR
from models.errors import TraceError
from sim.core.errors import ConfigError


class SignalSource(Protocol):
    """Where a signal comes from. `clock`: what it takes the time of day to be at 0 of the run, None
    where it knows of none."""

    @property
    def clock(self) -> Clock | None: ...

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
    it. battery: begins empty, takes what farms have left over. forecast_error: of the forecasts
    that policies see, the deviation of a step's error as a share of the signal's mean.

    netting_s: over how long what farms give is held against what the site draws, and a battery
    fills the difference: an hour of its clock, or less. A period that the run cuts off is shorter.

    From `begin` on, `grid` is the intensity on the run's clock, `marginal_grid` the other,
    `pue_by_outside` PUE on it (None: it is constant), and `store` what is in the battery.
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
        netting_s: float = S_PER_HOUR,
    ) -> None:
        if not 0.0 <= forecast_error < float("inf"):
            raise ConfigError(f"site: forecast_error = {forecast_error!r} must be finite and >= 0")
        if not 0.0 < netting_s <= S_PER_HOUR:
            raise ConfigError(
                f"site: netting_s = {netting_s!r} must be > 0 and at most an hour, {S_PER_HOUR:g}"
            )
        self.name = ""
        self.intensity = intensity
        self.marginal = marginal
        self.pue = pue
        self.outside = outside
        self.farms = list(farms)
        self.battery = battery
        self.nodes = nodes
        self.forecast_error = forecast_error
        self.netting_s = netting_s
        self.store = Store()
        self.grid: StepSignal
        self.marginal_grid: StepSignal | None = None
        self.pue_by_outside: StepSignal | None = None
        self._farm_shares: list[StepSignal] = []
        self.end_s = float("inf")

    def names(self, node: str) -> bool:
        """Whether it names a node as its own."""
        return any(fnmatchcase(node, pattern) for pattern in self.nodes or ())

    @property
    def clock(self) -> Clock | None:
        """The time of its day at 0 of the run, where its grid's intensity knows one."""
        return self.intensity.clock

    def begin(self, name: str, stream: Callable[[str], np.random.Generator]) -> None:
        """Put the signals on the run's clock, each by a stream of its own. Raises TraceError where
        one begins after 0, and ConfigError where one cannot be or the site lacks something."""
        self.name = name
        place = f"sites.{name}"

        def signal(source: SignalSource, part: str) -> StepSignal:
            if not hasattr(source, "on_clock"):
                raise ConfigError(f"{place}.{part}: {source!r} is no source of a signal")
            try:
                # The grid's has the site's name.
                return source.on_clock(stream(place if part == "intensity" else f"{place}.{part}"))
            except TraceError as error:
                raise error.under(f"sites.{place}.{part}") from None

        self.grid = signal(self.intensity, "intensity")
        if self.marginal is not None:
            self.marginal_grid = signal(self.marginal, "marginal")
        if self.outside is not None:
            if not self.pue.by_temperature:
                raise ConfigError(
                    f"{place}.outside: the site's pue looks at no temperature; choose "
                    f"carbon/pue@sites.{place}.pue=temperature, or give none"
                )
            pue, outside = self.pue, signal(self.outside, "outside")
            self.pue_by_outside = outside.mapped(lambda c: [pue.at(v) for v in c.tolist()], "")
        self._farm_shares = [signal(farm.output, f"farms.{i}") for i, farm in enumerate(self.farms)]
        for known in self.signals():
            known.at(0.0)
        self.end_s = min(known.end_s for known in self.signals())
        self.pue_at(0.0)
        _check(self.grid, f"{place}.intensity", float("inf"), "an intensity is at least 0")
        for i, share in enumerate(self._farm_shares):
            says = "an output is a share of rated_w in [0, 1] (see scale)"
            _check(share, f"{place}.farms[{i}].output", 1.0, says)

    def signals(self) -> list[StepSignal]:
        """All that its accounts are made of."""
        by_outside = [self.pue_by_outside] if self.pue_by_outside is not None else []
        return [self.grid, *by_outside, *self._farm_shares]

    @property
    def netted(self) -> bool:
        """Whether more than the grid supplies it."""
        return bool(self.farms) or self.battery is not None

    def period_end_s(self, now_s: float) -> float:
        """When the period of netting ends that a time lies in: by its own clock."""
        if not self.netted:
            return float("inf")
        period_s = self.netting_s
        since_s = self.clock.hour * S_PER_HOUR % period_s if self.clock is not None else 0.0
        end_s = ((now_s + since_s) // period_s + 1.0) * period_s - since_s
        return end_s if end_s > now_s else end_s + period_s

    def next_edge_s(self, now_s: float) -> float:
        """When a signal here changes next. Raises TraceError past the end of one."""
        return min(signal.next_edge_s(now_s) for signal in self.signals())

    def pue_at(self, now_s: float) -> float:
        """Power usage effectiveness at a time."""
        return self.pue.at(None) if self.pue_by_outside is None else self.pue_by_outside.at(now_s)

    def farms_w(self, now_s: float) -> list[float]:
        """Output of each of its farms at a time."""
        return [
            farm.rated_w * share.at(now_s)
            for farm, share in zip(self.farms, self._farm_shares, strict=True)
        ]


def _check(signal: StepSignal, key: str, most: float, says: str) -> None:
    """Raises ConfigError for a value below 0 or above the most that may be."""
    values = signal.values
    low, high = float(values.min()), float(values.max())
    # A share in a file may be rounded up.
    if low < 0.0 or high > most * (1.0 + 1e-9):
        at = int(values.argmin() if low < 0.0 else values.argmax())
        raise ConfigError(
            f"{key}: {signal.name} has {float(values[at])!r} at {float(signal.edges_s[at]):g} s "
            f"of the run; {says}"
        )
