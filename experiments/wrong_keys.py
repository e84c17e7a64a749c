"""What to say of settings that do not exist, and what there is in their place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from experiments.composition import NO_PLACE, composed, roots, values_alone
from experiments.places import nearest, told
from sim.core.errors import ConfigError

_UNKNOWN = re.compile(
    r"Key '([^']+)' (?:is not in struct|not in)"
    r"|Could not delete from config\. '([^']+)' does not exist"
)


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
    found = nearest(key, sorted(there))
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
    if isinstance(error.__cause__, NO_PLACE):
        keys = [word.partition("=")[0] for word in words if word[:1] not in "+~"]
        found = [said for key in keys if (said := _instead(key, name, words, folder))]
        if found:
            return found[0]
    unknown = _UNKNOWN.match(text)
    if unknown:
        where = re.search(r"full_key: (\S+)", text) or unknown
        key = re.sub(r"\[(\d+)\]", r".\1", where.group(1) or where.group(2))
        said = near(key, name) if "." not in key else ""
        return _instead(key, name, words, folder) or f"{key}: no such setting{said}"
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


def _instead(key: str, name: str, words: Sequence[str], folder: Path | None) -> str:
    """What is to be told of a key by the settings that choices make; nothing where one of those is
    wrong, or where it is not a key of a part."""
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    keys = {word: word.partition("=")[0].lstrip("+~") for word in words}
    below = [word for word in words if f"{keys[word]}.".startswith(f"{key}.")]
    mappings = [word for word in words if word.partition("=")[2].startswith("{")]
    without = [*below, *mappings, *values_alone(words, roots(folder))]
    try:
        config = composed(name, [word for word in words if word not in without], folder)
    except (HydraException, OmegaConfBaseException):
        return ""
    written = OmegaConf.to_container(config)
    typed = keys[below[0]] if below else key
    assert isinstance(written, dict)
    if typed.partition(".")[0] not in written or "." not in typed:
        return ""
    return told(typed, written)
