"""Configurations from the shipped groups and a user's overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.own_groups import groups_folder
from experiments.wrong_keys import check_hydra_words, explain, near, top_key, top_keys
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
    alone: bool = True,
) -> DictConfig:
    """The configuration `name` with Hydra overrides (`key=value`, `group=choice`).

    `config_dir`: a folder of the user's own groups, searched after the shipped ones. `alone`: false
    for one of several runs, of which another may read what this one does not. Raises ConfigError
    for a key or choice that does not exist, or that nothing reads.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from experiments.composition import composed

    register_resolvers()
    check_hydra_words(overrides)
    words = [_expand(word) for word in overrides]
    for word, expanded in zip(overrides, words, strict=True):
        _check_choice(word, expanded, config_dir)
    folder = None if config_dir is None else groups_folder(config_dir)
    try:
        added = [word for word in overrides if _adds(word, name)]
        if added:
            # To what the experiment has, then.
            rest = [word for word in words if not word.startswith("+")]
            present = composed(name, rest, folder)
            for word in added:
                _check_addition(word, name, present)
        config = composed(name, words, folder)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, name, words, folder)) from error
    except YAMLError as error:
        raise ConfigError(" ".join(str(error).split())) from error
    if "systems" in config:
        _check_read(words, config)
    if alone:
        _check_host(words, config)
    for key in _COUNTS:
        value = config.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{key}: {value!r} is not a whole number >= 1")
    if OmegaConf.select(config, "workload.count") == 0:
        raise ConfigError("workload.count: 0 leaves nothing to simulate; give at least 1")
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
    return key.startswith("+") and not key.startswith("++") and top_key(key) not in top_keys(name)


def _check_addition(word: str, name: str, present: DictConfig) -> None:
    """`+key=value` may add to a part, but a new top-level key would mean nothing to anyone."""
    top = top_key(word.partition("=")[0])
    if top not in present:
        raise ConfigError(f"{top}: no such setting, so nothing would read it{near(top, name)}")


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


def _check_host(words: Sequence[str], config: DictConfig) -> None:
    """What is said of attention on the host means nothing to a policy that never wants it."""
    from hydra.utils import get_class

    keys = [word.partition("=")[0] for word in words if word != "host_attention=none"]
    said = [key for key in keys if top_key(key) == "host_attention"]
    batching = config.get("batching")
    if not said or batching is None:
        return
    try:
        policy = get_class(batching._target_)
    except Exception:  # whatever a user's own module raises; told as the policy is made
        return
    if batching.get("gpu_only", getattr(policy, "gpu_only", False)):
        raise ConfigError(
            f"{said[0].lstrip('+~')}: nothing would read it, since {policy.__name__} computes all "
            "attention on the GPUs; choose batching=neo, say"
        )


def _names(part: object) -> set[str]:
    """Top-level keys that a part of a configuration refers to."""
    if isinstance(part, dict):
        return {name for value in part.values() for name in _names(value)}
    if isinstance(part, list):
        return {name for value in part for name in _names(value)}
    return set(_REFERENCE.findall(part)) if isinstance(part, str) else set()
