"""What to say of settings that do not exist, and what there is in their place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sim.core.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: What a newcomer may look for under another name.
_INSTEAD = {"duration_s": "until_s ends a run at a time"}
#: Of a part's keys, what is no setting.
_NO_SETTINGS = ("_target_", "_partial_", "source")


def top_key(key: str) -> str:
    """The first part of a key, or of the place that a group goes to."""
    return key.lstrip("+~").split("@")[-1].split(".")[0].split("/")[0]


def top_keys(name: str) -> set[str]:
    """Top-level keys and groups of a shipped configuration."""
    from omegaconf import DictConfig, OmegaConf

    config = OmegaConf.load(str(files("configs") / f"{name}.yaml"))
    assert isinstance(config, DictConfig)
    keys = {str(key) for key in config} - {"defaults"}
    for entry in config.get("defaults", []):
        for group in [entry] if isinstance(entry, str) else entry:
            keys.add(top_key(str(group).split()[-1]))
    return keys - {"_self_"}


def near(key: str, name: str) -> str:
    """What else a top-level key may have been meant for."""
    there = top_keys(name)
    if key in there:
        return ", since this experiment has none"
    found = get_close_matches(key, sorted(there), n=2)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def check_hydra_words(words: Sequence[str]) -> None:
    """Raises ConfigError for settings of Hydra's own program, which is not what runs here."""
    for word in words:
        key = word.partition("=")[0].lstrip("+~")
        if re.match(r"hydra\.(run|sweep)\b", key):
            raise ConfigError(f"{key}: means nothing here; -o DIR (--out) sets the folder")
        if key.startswith("hydra/launcher"):
            raise ConfigError(f"{key}: means nothing here; `orrery sweep` takes a launcher")
        if key.startswith(("hydra.", "hydra/")) and key != "hydra.searchpath":
            raise ConfigError(f"{key}: means nothing here, since Hydra's own program does not run")


def explain(error: Exception, name: str, words: Sequence[str], folder: Path | None) -> str:
    """The lines of a message of Hydra's that help, on one line."""
    text = str(error.__cause__ or error)
    unknown = re.match(r"Key '([^']+)' (?:is not in struct|not in)", text)
    if unknown:
        where = re.search(r"full_key: (\S+)", text)
        key = where.group(1) if where else unknown.group(1)
        part, _, leaf = key.rpartition(".")
        rest = [word for word in words if word.partition("=")[0] != key]
        return f"{key}: no such setting{_beside(part, leaf, name, rest, folder)}"
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


def _beside(part: str, leaf: str, name: str, words: Sequence[str], folder: Path | None) -> str:
    """What a part of the settings has, where it does not have `leaf`, and which choices have it."""
    if not part:
        return near(leaf, name)
    found = _part(part, name, words, folder)
    if found is None:
        return ""
    keys = [str(key) for key in found if key not in (*_NO_SETTINGS, leaf)]
    said = [_INSTEAD[leaf]] if leaf in _INSTEAD else []
    close = get_close_matches(leaf, keys, n=2, cutoff=0.7)
    if close:
        said.insert(0, f"did you mean {' or '.join(close)}?")
    elif keys:
        said.insert(0, f"{part} has {', '.join(keys)}")
    having = _choices_with(part, leaf)
    if having and not close:
        said.append(f"these have it: {part}={', '.join(having)}")
    return "".join(f"; {each}" for each in said)


def _part(part: str, name: str, words: Sequence[str], folder: Path | None) -> DictConfig | None:
    """A part of the settings without what was wrong; None where more is wrong."""
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from experiments.composition import composed

    try:
        found = OmegaConf.select(composed(name, words, folder), part)
    except (HydraException, OmegaConfBaseException):
        return None
    return found if isinstance(found, DictConfig) else None


def _choices_with(group: str, key: str) -> list[str]:
    """Shipped choices of a group that have such a key."""
    from omegaconf import OmegaConf

    root = Path(str(files("configs"))) / group
    return [path.stem for path in sorted(root.glob("*.yaml")) if key in OmegaConf.load(path)]
