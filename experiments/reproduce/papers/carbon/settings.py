"""Parts of configs/carbon and configs/shifting, made as Hydra makes them."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def part(choice: str, *overrides: str) -> Any:
    """The part at a path below configs, such as carbon/foundry/act. Raises ConfigError."""
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    from sim.core.errors import ConfigError

    group, _, name = choice.rpartition("/")
    try:
        with initialize_config_module("configs", version_base="1.3"):
            config = compose(overrides=[f"+{group}={name}", *overrides])
    except HydraException as error:
        raise ConfigError(f"{choice}: {error}") from error
    for key in group.split("/"):
        config = config[key]
    return instantiate(config, _convert_="all")
