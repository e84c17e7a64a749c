"""The errors of Orrery, where code of `sim` looks for them."""

from models.errors import (
    CapacityError,
    ConfigError,
    LawBroken,
    OrreryError,
    Stalled,
    TraceError,
)

__all__ = ["CapacityError", "ConfigError", "LawBroken", "OrreryError", "Stalled", "TraceError"]
