"""The members that the settings of a sweep stand for, by Hydra's grammar of overrides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from experiments.study.member import member_name
from sim.core.errors import ConfigError


def expand(settings: Sequence[str]) -> dict[str, list[str]]:
    """Name of each member -> its overrides: the product of all lists, the last one fastest.

    A list is `key=1,2,3`, `key=range(0,4)`, `key=choice(a,b)` or, for a group, `key=glob(*)`.
    Raises ConfigError for what cannot be read, an empty list, and a key or member given twice.
    """
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    with initialize_config_module("configs", version_base="1.3"):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        lists: dict[str, list[str]] = {}
        for word in settings:
            try:
                override = parser.parse_overrides([word])[0]
                values = _values(override, word)
            except HydraException as error:
                raise ConfigError(f"{word}: cannot be read: {_reason(error)}") from error
            key = override.get_key_element().lstrip("+~")
            if key in lists:
                raise ConfigError(f"{key}: given twice; put all its values into one list")
            lists[key] = values
    members: dict[str, list[str]] = {}
    for overrides in product(*lists.values()):
        name = member_name(overrides)
        if name in members:
            raise ConfigError(f"{' '.join(overrides)}: the lists name this member twice")
        members[name] = list(overrides)
    return members


def _values(override: Any, word: str) -> list[str]:
    """The overrides, one a value, that one word stands for."""
    if not override.is_sweep_override():
        if "=" in word and not word.partition("=")[2].strip():
            raise ConfigError(f"{word} has no value after the equals sign")
        return [word]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{word}: a sweep takes lists, range(), choice() and glob() alone")
    key = override.get_key_element()
    values = [f"{key}={value}" for value in override.sweep_string_iterator()]
    if not values:
        raise ConfigError(f"{word}: the list is empty")
    return values


def _reason(error: Exception) -> str:
    drop = ("Error parsing override", "See ")
    lines = [line for line in str(error.__cause__ or error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith(drop)] or lines
    return kept[0].partition(" expecting {")[0]
