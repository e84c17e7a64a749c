"""Several network functions, one after the other, as one program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from models.errors import ConfigError
from models.network_functions.program import Program


def chain(*, name: str, parts: Mapping[str, Program]) -> Program:
    """One program that runs the parts in the order of the mapping.

    Blocks and states are named `part.name`. A packet has one class for all parts, since they see
    the same flows. Raises ConfigError for fewer than two parts.
    """
    if len(parts) < 2:
        raise ConfigError(f"chain {name}: {len(parts)} parts; it needs at least two")
    for key, part in parts.items():
        if not isinstance(part, Program):
            raise ConfigError(f"chain {name}: parts.{key} is {part!r}; it must be a program")
    states = [
        replace(state, name=f"{key}.{state.name}")
        for key, part in parts.items()
        for state in part.states
    ]
    blocks = [
        replace(
            block,
            name=f"{key}.{block.name}",
            uses={f"{key}.{state}": item for state, item in block.uses.items()},
        )
        for key, part in parts.items()
        for block in part.blocks
    ]
    return Program(name=name, states=tuple(states), blocks=tuple(blocks))
