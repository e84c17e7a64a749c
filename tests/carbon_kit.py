"""Sites and embodied carbon for tests, with figures that are easy to count with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.carbon.catalogue import EmbodiedCatalogue
from models.carbon.pue import ConstantPue
from models.carbon.signal import StepSignal
from sim.carbon.ledger import Ledger
from sim.carbon.site import Site
from sim.carbon.sites import Sites

PUE = 1.5
#: Grams and life of a GPU, a processor, a GB of memory, a TB of drives, an interface, a chassis.
GPU = [500.0, 1000.0, 2000.0, 1000.0]
CPU = [50.0, 100.0, 200.0, 2000.0]
PARTS = {
    "dram": [0.5, 1.0, 2.0, 500.0],
    "drives": [5.0, 10.0, 20.0, 100.0],
    "nic": [5.0, 10.0, 20.0, 400.0],
    "host": [150.0, 300.0, 600.0, 3000.0],
}
#: Grams a second of making a node of the tests' with so many GPUs: 100 GB, one interface, a TB.
NODE_G_PER_S = 100.0 / 2000.0 + 100.0 / 500.0 + 10.0 / 100.0 + 10.0 / 400.0 + 300.0 / 3000.0
GPU_G_PER_S = 1.0


class Given:
    """A signal as it is."""

    def __init__(self, edges_s: Sequence[float], values: Sequence[float], name: str = "given"):
        self.signal = StepSignal(edges_s, values, name)

    def on_clock(self, rng: np.random.Generator) -> StepSignal:
        return self.signal


def always(value: float, name: str = "given") -> Given:
    """The same value for as long as any test lasts."""
    return Given([0.0, 1e9], [value], name)


def catalogue(**changes: Any) -> EmbodiedCatalogue:
    """Of the tests' devices."""
    groups = ("devices", "parts", "hosts", "drives_tb")
    figures: dict[str, Any] = {
        "devices": {"test-gpu": GPU, "test-cpu": CPU},
        "parts": PARTS,
        "hosts": {},
        "drives_tb": 1.0,
        "source": dict.fromkeys(groups, "made up for tests"),
    }
    return EmbodiedCatalogue(**figures | changes)


def site(intensity: Any = None, **changes: Any) -> Site:
    """A site on a grid of 3,600 g/kWh, so that a joule is a milligram, unless told otherwise."""
    return Site(intensity or always(3600.0), **{"pue": ConstantPue(PUE)} | changes)


def sites(intensity: Any = None, **changes: Any) -> Sites:
    """One such site."""
    return Sites({"home": site(intensity, **changes)})


def accounted(
    intensity: Any = None, *, requests: bool = False, level: Any = "mid", **changes: Any
) -> dict[str, Any]:
    """Keywords for `serving_kit.simulate` that account for carbon."""
    return {
        "sites": sites(intensity, **changes),
        "observers": [Ledger(catalogue(level=level), requests, shapley_spans_s=[4.0, 1.0])],
    }
