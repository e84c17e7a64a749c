"""Configurations from the shipped groups and a user's overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sim.core.errors import ConfigError
from sim.core.run import register_resolvers

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Settings that must be whole numbers before others are computed from them.
_COUNTS = ("replicas", "tensor_parallel", "pipeline_parallel")
#: Keys that a run reads itself (`sim.core.run`), and references from one key to another.
_PARTS = ("simulation", "cluster", "sites", "systems", "observers")
_REFERENCE = re.compile(r"\$\{(?:oc\.select:)?\s*(\w+)(?!\w|\s*:)")
#: Short names of groups that carry a package.
SHORT = {
    "gpu": "hardware/gpu@node.gpu",
    "node": "hardware/node@node",
    "smartnic": "hardware/smartnic@node.smartnic",
    "program": "network_function@program",
    "stack": "packet_stack@stack",
}


def compose(
    overrides: Sequence[str] = (),
    *,
    name: str = "run",
    config_dir: str | Path | None = None,
) -> DictConfig:
    """The configuration `name` with Hydra overrides (`key=value`, `group=choice`).

    `config_dir`: a folder of the user's own groups, searched after the shipped ones. Raises
    ConfigError for a key or choice that does not exist.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    register_resolvers()
    words = [_expand(word) for word in overrides]
    for word, expanded in zip(overrides, words, strict=True):
        _check_choice(word, expanded, config_dir)
    if config_dir is not None:
        folder = Path(config_dir).resolve()
        if not folder.is_dir():
            raise ConfigError(f"--config-dir: {config_dir} is not a folder")
        words.append(f"hydra.searchpath=['file://{folder}']")
    try:
        with initialize_config_module("configs", version_base="1.3"):
            added = [word for word in overrides if _adds(word, name)]
            if added:
                # To what the experiment has, then.
                rest = [word for word in words if not word.startswith("+")]
                present = hydra_compose(name, overrides=rest)
                for word in added:
                    _check_addition(word, name, present)
            config = hydra_compose(name, overrides=words)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error, name)) from error
    except YAMLError as error:
        raise ConfigError(" ".join(str(error).split())) from error
    if "systems" in config:
        _check_read(words, config)
    for key in _COUNTS:
        value = config.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{key}: {value!r} is not a whole number >= 1")
    return config


def _expand(word: str) -> str:
    key, sign, value = word.partition("=")
    return f"{SHORT[key]}={value}" if sign and key in SHORT else word


def _check_choice(word: str, expanded: str, config_dir: str | Path | None) -> None:
    """Raises ConfigError where a group is given no choice."""
    from importlib.resources import files

    key, sign, value = expanded.partition("=")
    if not sign or value.strip() not in ("", "null"):
        return
    group = key.lstrip("+").partition("@")[0]
    own = [] if config_dir is None else [Path(config_dir)]
    found: set[str] = set()
    for root in (files("configs"), *own):
        folder = root / group
        if folder.is_dir():
            found |= {each.name[:-5] for each in folder.iterdir() if each.name.endswith(".yaml")}
    if found:
        without = f"; {word.partition('=')[0]}=none leaves it out" if "none" in found else ""
        raise ConfigError(f"{word}: names no choice; there are {', '.join(sorted(found))}{without}")


def _adds(word: str, name: str) -> bool:
    """Whether a word adds to something that the shipped configuration alone does not have."""
    key = word.partition("=")[0]
    return key.startswith("+") and not key.startswith("++") and _top(key) not in _top_keys(name)


def _top(key: str) -> str:
    return key.lstrip("+").split("@")[-1].split(".")[0].split("/")[0]


def _check_addition(word: str, name: str, present: DictConfig) -> None:
    """`+key=value` may add to a part, but a new top-level key would mean nothing to anyone."""
    top = _top(word.partition("=")[0])
    if top not in present:
        raise ConfigError(f"{top}: no such setting, so nothing would read it{_near(top, name)}")


def _check_read(words: Sequence[str], config: DictConfig) -> None:
    """A setting that exists may still be of parts that this experiment does not have."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    read: set[str] = set()
    found = set(_PARTS)
    while found:
        read |= found
        found = {name for key in found for name in _names(plain.get(key))} - read
    for word in words:
        key = word.partition("=")[0].lstrip("+~").split("@")[-1]
        top = key.split(".")[0].split("/")[0]
        if top in plain and top not in read:
            has = ", ".join(map(str, config.systems))
            raise ConfigError(
                f"{top}: no such setting here, since nothing of this experiment reads it (its "
                f"systems: {has})"
            )


def _names(part: object) -> set[str]:
    """Top-level keys that a part of a configuration refers to."""
    if isinstance(part, dict):
        return {name for value in part.values() for name in _names(value)}
    if isinstance(part, list):
        return {name for value in part for name in _names(value)}
    return set(_REFERENCE.findall(part)) if isinstance(part, str) else set()


def _top_keys(name: str) -> set[str]:
    """Top-level keys and groups of a shipped configuration."""
    from importlib.resources import files

    from omegaconf import DictConfig, OmegaConf

    config = OmegaConf.load(str(files("configs") / f"{name}.yaml"))
    assert isinstance(config, DictConfig)
    keys = {str(key) for key in config} - {"defaults"}
    for entry in config.get("defaults", []):
        for group in [entry] if isinstance(entry, str) else entry:
            keys.add(str(group).split()[-1].split("@")[-1].split(".")[0].split("/")[0])
    return keys - {"_self_"}


def _near(key: str, name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, sorted(_top_keys(name)), n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _explain(error: Exception, name: str) -> str:
    """The lines of a Hydra message that help, on one line."""
    text = str(error.__cause__ or error)
    unknown = re.match(r"Key '([^']+)' (?:is not in struct|not in)", text)
    if unknown:
        where = re.search(r"full_key: (\S+)", text)
        key = where.group(1) if where else unknown.group(1)
        return f"{key}: no such setting{_near(key, name)}"
    elsewhere = re.match(r"(?:In '.*': )?Could not override '([^']+)'\.\s*(.*)", text)
    if elsewhere:
        group, place = elsewhere.group(1), elsewhere.group(2).rstrip("?")
        meant = place.removeprefix("Did you mean to override ").removeprefix("one of ")
        if meant != place:
            return f"{group}: no such choice at this place; it is made as {meant}=..."
        return f"{group}: no such choice here, since nothing of this configuration has that part"
    lines = [line.strip() for line in text.splitlines()]
    drop = ("full_key", "object_type", "reference_type", "Config search path", "provider=", "See ")
    kept = [line for line in lines if line and not line.startswith(drop)]
    if str(error) not in text and error.__cause__ is not None:
        kept.insert(0, str(error).splitlines()[0])
    return " ".join(kept)
