"""The contract of capping policies: how much power a GPU may draw while its grid is as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from models.carbon.power import CappedSpeed


@dataclass(frozen=True, slots=True, kw_only=True)
class CapView:
    """What a policy sees of a GPU.

    peak_w: its own; standing_w: what its server draws besides its GPUs, a share for each.
    speed: what caps leave of its speed. embodied_g_per_s: making it and its share of the server,
    written off. intensity_g_per_kwh, pue: of its site, now.
    """

    name: str
    peak_w: float
    standing_w: float
    speed: CappedSpeed
    embodied_g_per_s: float
    intensity_g_per_kwh: float
    pue: float


class Capping(Protocol):
    """Asked whenever the intensity or PUE of a site changes."""

    def cap(self, gpu: CapView, now_s: float) -> float | None:
        """The most that it may draw, as a share of its peak; None: no cap."""
        ...
