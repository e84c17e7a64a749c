"""Configurations from the shipped groups and a user's overrides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sim.core.errors import ConfigError
from sim.core.run import register_resolvers

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Short names of groups that carry a package.
_SHORT = {"gpu": "hardware/gpu@node.gpu", "node": "hardware/node@node"}


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

    register_resolvers()
    words = [_expand(word) for word in overrides]
    if config_dir is not None:
        folder = Path(config_dir).resolve()
        if not folder.is_dir():
            raise ConfigError(f"--config-dir: {config_dir} is not a folder")
        words.append(f"hydra.searchpath=['file://{folder}']")
    try:
        with initialize_config_module("configs", version_base="1.3"):
            return hydra_compose(name, overrides=words)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error)) from error


def _expand(word: str) -> str:
    key, sign, value = word.partition("=")
    return f"{_SHORT[key]}={value}" if sign and key in _SHORT else word


def _explain(error: Exception) -> str:
    """The lines of a Hydra message that help, on one line."""
    text = str(error.__cause__ or error)
    lines = [line.strip() for line in text.splitlines()]
    drop = ("full_key", "object_type", "reference_type", "Config search path", "provider=", "See ")
    kept = [line for line in lines if line and not line.startswith(drop)]
    if str(error) not in text and error.__cause__ is not None:
        kept.insert(0, str(error).splitlines()[0])
    return " ".join(kept)
