"""What the jobs of a site know of its grid to come."""

from __future__ import annotations

from collections.abc import Callable

from models.carbon.forecast import noisy_forecast
from models.carbon.signal import StepSignal
from policies.shifting.contract import ForecastView
from sim.carbon.outlook import Effective
from sim.carbon.site import Site
from sim.core.errors import ConfigError
from sim.core.simulation import Simulation


class Forecast:
    """A forecast of a site's intensity: every step of it off by an independent normal error of
    deviation `error` x the signal's mean (none with 0; None: the site's `forecast_error`), drawn
    anew every `every_s` (None: once). Where the site's PUE follows the outside's temperature it is
    intensity x PUE.

    follow: "average", the signal that accounts are made of, or "marginal", the site's other one.
    `view` is what policies see.
    """

    def __init__(
        self, error: float | None = None, every_s: float | None = None, follow: str = "average"
    ) -> None:
        if error is not None and not 0.0 <= error < float("inf"):
            raise ConfigError(f"forecast.error is {error!r}; it must be finite and >= 0, or null")
        if every_s is not None and not every_s > 0.0:
            raise ConfigError(f"forecast.every_s is {every_s!r}; a time > 0, or null")
        if follow not in ("average", "marginal"):
            raise ConfigError(f"forecast.follow is {follow!r}; it is average or marginal")
        self.error = error
        self.every_s = every_s
        self.follow = follow
        self.view: ForecastView

    def begin(
        self, simulation: Simulation, site: Site, name: str, renewed: Callable[[], None]
    ) -> None:
        """Look ahead from now on; `renewed` is called after each further forecast. Raises
        ConfigError where the site has no such signal, or an error of its own besides this one."""
        truth = site.grid if self.follow == "average" else site.marginal_grid
        if truth is None:
            raise ConfigError(
                f"forecast.follow: sites.{site.name} has no marginal signal; give it one, or "
                "follow the average"
            )
        if self.error is not None and site.forecast_error:
            raise ConfigError(
                f"forecast.error is {self.error!r}, but sites.{site.name}.forecast_error is "
                f"{site.forecast_error!r}; leave one of them out (forecast.error=null)"
            )

        def weighed(foreseen: StepSignal) -> ForecastView:
            return foreseen if site.pue_by_outside is None else Effective(site, foreseen)

        error = site.forecast_error if self.error is None else self.error
        if not error:
            self.view = weighed(truth)
            return
        rng = simulation.stream(f"{name}.forecast")

        def renew() -> None:
            self.view = weighed(noisy_forecast(truth, error, rng))

        renew()
        every_s = self.every_s
        if every_s is None:
            return

        def again(now_s: float) -> float:
            renew()
            renewed()
            return now_s + every_s

        simulation.sample(simulation.now + every_s, again)
