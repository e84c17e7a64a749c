"""Programs from plain data, as a user writes them in YAML, with errors that name the key."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import Any

from models.errors import ConfigError
from models.network_functions.program import (
    CLASSES,
    CONSISTENCIES,
    Block,
    Operations,
    Program,
    State,
)

_STATE = ("entry_bytes", "consistency", "entries", "entries_per_flow")
_BLOCK = (
    "name",
    "classes",
    "cpu_cycles",
    "npu_cycles",
    "cycles_per_byte",
    "accelerator",
    "match_action",
    "uses",
)
_OPERATIONS = ("reads", "writes", "adds", "inserts")


def program(
    *,
    name: str,
    states: Mapping[str, Any],
    blocks: Sequence[Mapping[str, Any]],
    source: Mapping[str, str],
) -> Program:
    """A program from plain data. Raises ConfigError that names the key and what would be right.

    states: name -> {entry_bytes, consistency: ro | add | rmw, and one of entries and
    entries_per_flow}. blocks, in order: {name, classes: some of the letters N (first packet of a
    flow), E (established), T (last), cpu_cycles, npu_cycles (left out: not on a network
    processor), cycles_per_byte, accelerator, match_action, uses: {state: {reads, writes, adds,
    inserts}}}. source: where the numbers of `states` and `blocks` are from.
    """
    where = f"program {name}" if name else "program"
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}: name is {name!r}; give the program a name")
    if not isinstance(source, Mapping):
        raise ConfigError(f"{where}: source is {source!r}; it must map states and blocks to texts")
    for part in ("states", "blocks"):
        if not source.get(part):
            raise ConfigError(f"{where}: source.{part} is missing; say where its numbers are from")
    if not isinstance(states, Mapping):
        raise ConfigError(f"{where}: states is {states!r}; it must map names to states")
    if isinstance(blocks, str | Mapping) or not isinstance(blocks, Sequence) or not blocks:
        raise ConfigError(f"{where}: blocks is {blocks!r}; it must be a list of at least one block")
    made = tuple(_state(f"{where}: states.{key}", key, data) for key, data in states.items())
    result = Program(
        name=name,
        states=made,
        blocks=tuple(_block(where, index, data) for index, data in enumerate(blocks)),
    )
    _check(where, result)
    return result


def _state(where: str, name: str, data: Any) -> State:
    _keys(where, data, _STATE)
    consistency = data.get("consistency")
    if consistency not in CONSISTENCIES:
        raise ConfigError(
            f"{where}.consistency is {consistency!r}; it must be one of {', '.join(CONSISTENCIES)}"
        )
    counts = [key for key in ("entries", "entries_per_flow") if data.get(key) is not None]
    if len(counts) != 1:
        raise ConfigError(
            f"{where}: {' and '.join(counts) or 'neither'} given; it needs one of entries (a "
            "fixed number) and entries_per_flow (the key contains the flow's)"
        )
    return State(
        name=name,
        entry_bytes=_number(where, data, "entry_bytes", above_zero=True),
        consistency=consistency,
        **{counts[0]: _number(where, data, counts[0], above_zero=True)},
    )


def _block(program_where: str, index: int, data: Any) -> Block:
    where = f"{program_where}: blocks[{index}]"
    _keys(where, data, _BLOCK)
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}.name is {name!r}; give the block a name")
    where = f"{program_where}: blocks.{name}"
    classes = data.get("classes")
    if not isinstance(classes, str) or not classes or set(classes) - set(CLASSES):
        raise ConfigError(
            f"{where}.classes is {classes!r}; it must be letters out of N (first packet of a "
            "flow), E (established), T (last)"
        )
    accelerator = data.get("accelerator")
    if accelerator is not None and not isinstance(accelerator, str):
        raise ConfigError(f"{where}.accelerator is {accelerator!r}; it must be an engine's name")
    match_action = data.get("match_action", False)
    if not isinstance(match_action, bool):
        raise ConfigError(f"{where}.match_action is {match_action!r}; it must be true or false")
    uses = data.get("uses", {})
    if not isinstance(uses, Mapping):
        raise ConfigError(f"{where}.uses is {uses!r}; it must map states to operations")
    npu = data.get("npu_cycles")
    return Block(
        name=name,
        classes="".join(letter for letter in CLASSES if letter in classes),
        cpu_cycles=_number(where, data, "cpu_cycles"),
        npu_cycles=None if npu is None else _number(where, data, "npu_cycles"),
        cycles_per_byte=_number(where, data, "cycles_per_byte", default=0.0),
        accelerator=accelerator,
        match_action=match_action,
        uses={key: _operations(f"{where}.uses.{key}", item) for key, item in uses.items()},
    )


def _operations(where: str, data: Any) -> Operations:
    _keys(where, data, _OPERATIONS)
    made = Operations(**{key: _number(where, data, key, default=0.0) for key in _OPERATIONS})
    if not made.count > 0.0:
        raise ConfigError(f"{where} is {dict(data)!r}; it needs at least one operation above 0")
    return made


def _check(where: str, made: Program) -> None:
    """What holds between the parts."""
    names = [block.name for block in made.blocks]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: blocks.{name} stands twice; give each its own name")
    known = {state.name: state for state in made.states}
    for block in made.blocks:
        for key, operations in block.uses.items():
            here = f"{where}: blocks.{block.name}.uses.{key}"
            if key not in known:
                raise ConfigError(f"{here}: no such state; there are {', '.join(known) or 'none'}")
            _check_use(here, block, known[key], operations)
    used = {key for block in made.blocks for key in block.uses}
    for key in known:
        if key not in used:
            raise ConfigError(f"{where}: states.{key} is used by no block; take it out")


def _check_use(where: str, block: Block, state: State, operations: Operations) -> None:
    changes = operations.writes > 0.0 or operations.inserts > 0.0
    if state.consistency == "add" and operations.writes > 0.0:
        raise ConfigError(f"{where}.writes: the state's consistency is add; writes need rmw")
    if state.consistency == "ro" and operations.adds > 0.0:
        raise ConfigError(f"{where}.adds: the state's consistency is ro; adds need add or rmw")
    if state.consistency == "ro" and changes and "E" in block.classes:
        raise ConfigError(
            f"{where}: established packets change it, the state's consistency is ro; writes need "
            "rmw"
        )
    if block.match_action and changes and operations.inserts > 0.0:
        raise ConfigError(f"{where}.inserts: match_action is true; match tables insert nothing")


def _keys(where: str, data: Any, known: Collection[str]) -> None:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where} is {data!r}; it must map {', '.join(known)} to values")
    for key in data:
        if key not in known:
            raise ConfigError(f"{where}.{key}: no such key; there are {', '.join(known)}")


def _number(
    where: str,
    data: Mapping[str, Any],
    key: str,
    *,
    default: float | None = None,
    above_zero: bool = False,
) -> float:
    value = data.get(key, default)
    wanted = "a number above 0" if above_zero else "a number of at least 0"
    if value is None:
        raise ConfigError(f"{where}.{key} is missing; it must be {wanted}")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or value < 0.0 or (above_zero and value == 0.0):
        raise ConfigError(f"{where}.{key} is {value!r}; it must be {wanted}")
    return float(value)
