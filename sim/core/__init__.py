"""The run itself: clock, random streams, facts and observers, results."""

from sim.core.errors import (
    CapacityError,
    ConfigError,
    LawBroken,
    OrreryError,
    Stalled,
    TraceError,
)
from sim.core.result import Result
from sim.core.run import run
from sim.core.simulation import Simulation

__all__ = [
    "CapacityError",
    "ConfigError",
    "LawBroken",
    "OrreryError",
    "Result",
    "Simulation",
    "Stalled",
    "TraceError",
    "run",
]
