"""Power bought against power used: hour by hour, over the year, by location."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.carbon.signal import Floats, StepSignal, together
from models.carbon.units import J_PER_KWH


@dataclass(frozen=True, slots=True)
class Matching:
    """One load against one farm.

    load_j, farm_j, matched_j: energies. location_g: the grid's intensity on all of the load.
    hourly_g: its intensity on what the farm does not cover step by step, and the farm's own factor
    on what it does. annual_g: the mean intensity on what the farm lacks over the whole time.
    """

    load_j: float
    farm_j: float
    matched_j: float
    location_g: float
    hourly_g: float
    annual_g: float

    @property
    def coverage(self) -> float:
        """Share of the load that is matched step by step: the 24/7 carbon-free score."""
        return self.matched_j / self.load_j

    @property
    def annual_share(self) -> float:
        """Share that is bought over the whole time, at most 1."""
        return min(1.0, self.farm_j / self.load_j)


def match(
    load_w: StepSignal, farm_w: StepSignal, intensity: StepSignal, farm_g_per_kwh: float
) -> Matching:
    """The three ways to count, over the time that all three signals share."""
    edges, (load, farm, grid) = together([load_w, farm_w, intensity])
    return match_steps(np.diff(edges), load, farm, grid, farm_g_per_kwh)


def match_steps(
    seconds: Floats, load: Floats, farm: Floats, grid: Floats, farm_g_per_kwh: float
) -> Matching:
    """The same from steps: lengths in seconds, watts, watts, g/kWh."""
    matched = np.minimum(load, farm)
    load_j, farm_j = float(seconds @ load), float(seconds @ farm)
    mean = float(seconds @ grid) / float(seconds.sum())
    lacking = float((seconds * (load - matched)) @ grid)
    return Matching(
        load_j=load_j,
        farm_j=farm_j,
        matched_j=float(seconds @ matched),
        location_g=float((seconds * load) @ grid) / J_PER_KWH,
        hourly_g=(lacking + float(seconds @ matched) * farm_g_per_kwh) / J_PER_KWH,
        annual_g=annual_g(load_j, farm_j, mean),
    )


def annual_g(load_j: float, farm_j: float, mean_g_per_kwh: float) -> float:
    """The mean intensity on what a farm lacks over the whole time."""
    return max(0.0, load_j - farm_j) * mean_g_per_kwh / J_PER_KWH
