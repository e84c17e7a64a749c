"""GPUs."""

from __future__ import annotations

from models.gpu_spec import GpuSpec
from sim.core.simulation import Simulation
from sim.hardware.device import Device


class Gpu(Device):
    """A GPU of the catalogue."""

    spec: GpuSpec

    def __init__(self, simulation: Simulation, spec: GpuSpec, name: str) -> None:
        super().__init__(simulation, spec, name)
