"""The papers: each module here has a `PAPER`, named as the module."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from experiments.reproduce.claim import Paper
from sim.core.errors import ConfigError


def names() -> list[str]:
    """Names of all papers, without loading any."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in modules if not name.startswith("_"))


def paper(name: str) -> Paper:
    """A paper by name, or one of your own as `module:attribute`. Raises ConfigError."""
    module, sign, attribute = name.partition(":")
    if not sign and name not in names():
        known = ", ".join(names())
        raise ConfigError(
            f"{name}: no such paper; " + (f"there are {known}" if known else "there are none yet")
        )
    try:
        loaded = import_module(module if sign else f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if not sign or error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"{name}: there is no module {module}") from None
    found = getattr(loaded, attribute if sign else "PAPER", None)
    if not isinstance(found, Paper):
        raise ConfigError(f"{name}: is {type(found).__name__}, not a Paper")
    if not sign and found.name != name:
        raise ConfigError(f"{name}: its PAPER is named {found.name}")
    return found
