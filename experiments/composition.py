"""Hydra's composition of a configuration, with what was composed before kept in mind.

Reading and merging some forty files takes Hydra a fifth of a second. Members of a sweep and
replications differ in values more often than in files: those are then all there is to do.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.own_groups import yaml_files

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: What OmegaConf raises, rather than an error of its own, of a word where a list has numbers.
NO_PLACE = (TypeError, ValueError, IndexError)


def composed(name: str, words: Sequence[str], folder: Path | None = None) -> DictConfig:
    """What Hydra composes of the configuration `name` and overrides, as an object of its own.

    `folder`: the user's own groups, searched after the shipped ones. Raises what Hydra raises.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    places = roots(folder)
    alone = values_alone(words, places)
    if alone:
        try:
            return _with_values(_copy(name, [w for w in words if w not in alone], places), alone)
        except (HydraException, OmegaConfBaseException, *NO_PLACE):
            pass  # of which the whole composition tells
    return _copy(name, words, places)


def roots(folder: Path | None) -> list[Path]:
    """Folders of groups: the shipped ones, and the user's own."""
    return [Path(str(files("configs"))), *([] if folder is None else [folder])]


def values_alone(words: Sequence[str], roots: Sequence[Path]) -> list[str]:
    """The words that set a value and may come last: others choose files, add or take away."""
    keys = {word: word.partition("=")[0] for word in words}
    found = [
        word
        for word, key in keys.items()
        if key[:1] not in "+~"
        and not key.startswith("hydra.")
        and "@" not in key
        and not any((root / key).is_dir() for root in roots)
    ]
    changed = [key.lstrip("+~") + "." for key in keys.values() if key[:1] in "+~"]
    for word in found:
        key = keys[word] + "."
        if any(key.startswith(other) or other.startswith(key) for other in changed):
            return []
    return found


def _with_values(config: DictConfig, words: Sequence[str]) -> DictConfig:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    for override in OverridesParser.create().parse_overrides(list(words)):
        if override.is_sweep_override():
            raise HydraException("a list where one value must be")
        OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
    return config


def _copy(name: str, words: Sequence[str], roots: Sequence[Path]) -> DictConfig:
    found: DictConfig = pickle.loads(_compose(name, tuple(words), _state(roots), *roots[1:]))
    return found


@lru_cache(maxsize=256)
def _compose(name: str, words: tuple[str, ...], state: int, folder: Path | None = None) -> bytes:
    """Pickled. `state`: of all files that may be read."""
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException

    place = [] if folder is None else [f"hydra.searchpath=['file://{folder}']"]
    with initialize_config_module("configs", version_base="1.3"):
        try:
            return pickle.dumps(compose(name, overrides=[*words, *place]))
        except NO_PLACE as error:
            raise HydraException(str(error)) from error


def _state(roots: Sequence[Path]) -> int:
    """Of the files that may be read, by their times of change."""
    return hash(
        tuple((str(path), path.stat().st_mtime_ns) for root in roots for path in yaml_files(root))
    )
