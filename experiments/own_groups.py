"""A user's own folder of configuration groups: read with care before Hydra reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from sim.core.errors import ConfigError


def groups_folder(config_dir: str | Path) -> Path:
    """The folder, resolved. Raises ConfigError for none, for a file that hides behind a shipped one
    of its name, and for a key given twice, of which YAML would take the last in silence."""
    folder = Path(config_dir).resolve()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir: {config_dir} is not a folder")
    shipped = Path(str(files("configs"))).resolve()
    for path in yaml_files(folder):
        place = path.relative_to(folder)
        if folder != shipped and (shipped / place).is_file():
            raise ConfigError(
                f"{Path(config_dir) / place}: there is a shipped {place} already, which would be "
                "taken; choose another name"
            )
        check_keys(path.read_text(errors="replace"), str(Path(config_dir) / place))
    return folder


def yaml_files(folder: Path) -> Iterator[Path]:
    """All YAML files of a folder, but for hidden places and links."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from yaml_files(Path(entry.path))
            elif entry.name.endswith((".yaml", ".yml")) and entry.is_file():
                yield Path(entry.path)


def check_keys(text: str, name: str) -> None:
    """Raises ConfigError naming file, line and key where a mapping has a key twice.

    What is no YAML at all is left to who reads it.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with suppress(yaml.YAMLError):
        for node in yaml.compose_all(text, Loader=loader):
            _check_node(node, name)


def _check_node(node: object, name: str) -> None:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        for part in node.value:
            _check_node(part, name)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.value in lines:
            raise ConfigError(
                f"{name}, line {line}: {key.value} is given twice, first in line {lines[key.value]}"
            )
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            lines[key.value] = line
        _check_node(value, name)
