"""What a site draws against what its farms give, over a stated period."""

from __future__ import annotations

from typing import NamedTuple

from models.carbon.supply import FarmEnergy, Settled, at_the_end, settle
from models.carbon.units import J_PER_KWH
from sim.carbon.site import Site


class SiteSettled(NamedTuple):
    """A site (by its place among the sites) was supplied for a period of its own.

    location_g: the grid's intensity on all of the load, each joule at its time. mean_g_per_kwh: of
    the intensity over time.
    """

    site: int
    start_s: float
    end_s: float
    settled: Settled[float]
    location_g: float
    mean_g_per_kwh: float


class Netting:
    """The period under way of a site. Farms and battery are held against the load of the whole
    period, whatever happens within; without either each step is a period.

    What the grid gives then has the intensity of the load's joules over the period, as it is all
    the load had the grid alone.
    """

    def __init__(self, at: int, site: Site, now_s: float) -> None:
        self._at = at
        self.site = site
        self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        self.start_s = now_s
        self.ends_s = self.site.period_end_s(now_s)
        self._it_j = self._load_j = self._location_g = self._grid = 0.0
        self._farms_j = [0.0 for _ in self.site.farms]

    def add(self, start_s: float, end_s: float, it_j: float) -> None:
        """A step in which no signal of the site changes."""
        site, lasted_s = self.site, end_s - start_s
        load_j, intensity = it_j * site.pue_at(start_s), site.grid.at(start_s)
        self._it_j += it_j
        self._load_j += load_j
        self._location_g += load_j * intensity / J_PER_KWH
        self._grid += intensity * lasted_s
        for i, watts in enumerate(site.farms_w(start_s)):
            self._farms_j[i] += watts * lasted_s

    def settle(self, end_s: float) -> SiteSettled:
        """The period is over, and the next begins."""
        site, start_s = self.site, self.start_s
        mean = self._grid / (end_s - start_s)
        drawn = self._load_j > 0.0
        settled = settle(
            it_j=self._it_j,
            pue=max(1.0, self._load_j / self._it_j) if drawn else 1.0,
            intensity_g_per_kwh=self._location_g * J_PER_KWH / self._load_j if drawn else mean,
            step_s=end_s - start_s,
            farms=[
                FarmEnergy(energy_j, farm.g_per_kwh)
                for energy_j, farm in zip(self._farms_j, site.farms, strict=True)
            ],
            battery=site.battery,
            store=site.store,
        )
        site.store = at_the_end(settled)
        fact = SiteSettled(self._at, start_s, end_s, settled, self._location_g, mean)
        self._begin(end_s)
        return fact
