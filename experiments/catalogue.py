"""What there is to choose from."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from experiments.compose import SHORT
from experiments.own_groups import groups_folder, yaml_files
from sim.core.errors import ConfigError

#: Groups in the order of interest, by the name used on the command line.
_GROUPS = {
    "experiment": "experiment",
    "model": "model",
    "gpu": "hardware/gpu",
    "node": "hardware/node",
    "ordering": "ordering",
    "batching": "batching",
    "host_attention": "host_attention",
    "routing": "routing",
    "predictor": "predictor",
    "tools": "tools",
    "call_predictor": "call_predictor",
    "profile": "profile",
    "workload": "workload",
    "arrivals": "arrivals",
    "client": "client",
    "engine": "engine",
    "efficiency": "efficiency",
    "shifting": "shifting",
    "jobs": "jobs",
    "scaling": "scaling",
    "forecast": "forecast",
    "cluster": "cluster",
    "refresh": "refresh",
    "capping": "capping",
    "sites": "sites",
    "carbon": "carbon",
    "carbon_device": "carbon/device",
    "carbon_intensity": "carbon/intensity",
    "carbon_farm": "carbon/farm",
    "carbon_power": "carbon/power",
    "carbon_pue": "carbon/pue",
    "timeline": "timeline",
    "laws": "laws",
    "cpu": "hardware/cpu",
    "smartnic": "hardware/smartnic",
    "fpga": "hardware/fpga",
    "link": "hardware/link",
    "network_function": "network_function",
    "traffic": "traffic",
    "partition": "partition",
    "goal": "goal",
    "packets": "packets",
    "packet_stack": "packet_stack",
    "queue_limits": "queue_limits",
    "traffic_monitor": "traffic_monitor",
}


def choices(group: str, folder: Path | None = None) -> dict[str, str]:
    """Choices of a group with the line that describes each, those of the user's `folder` marked.

    Raises ConfigError for no group.
    """
    places = _places(folder)
    if group not in places:
        raise ConfigError(f"{group}: no such group; there are {', '.join(places)}")
    found = _described(_shipped() / places[group])
    if folder is not None:
        yours = _described(folder / places[group])
        found |= {name: f"{line} (yours)".strip() for name, line in yours.items()}
    return found


def print_catalogue(group: str | None, config_dir: str | None = None) -> int:
    """Print one group, or all of them, with what the user's own folder adds."""
    folder = None if config_dir is None else groups_folder(config_dir)
    for name in _places(folder) if group is None else [group]:
        found = choices(name, folder)
        if not found:
            continue
        print(_usage(_places(folder)[name], folder))
        width = max(len(choice) for choice in found)
        for choice, line in found.items():
            print(f"  {choice:<{width}}  {line}".rstrip())
    return 0


def _shipped() -> Path:
    return Path(str(files("configs")))


def _places(folder: Path | None) -> dict[str, str]:
    """Folder of each group by its name, the user's own groups last."""
    if folder is None:
        return _GROUPS
    holding = {path.parent.relative_to(folder) for path in yaml_files(folder)}
    own = {str(place) for place in holding if not (_shipped() / place).is_dir()}
    return _GROUPS | {name: name for name in sorted(own)}


def _described(place: Path) -> dict[str, str]:
    return {path.stem: _description(path) for path in sorted(place.glob("*.yaml"))}


def _usage(group: str, folder: Path | None) -> str:
    """How a group is chosen from on the command line, and with which experiments."""
    keys = {target.partition("@")[0]: key for key, target in SHORT.items()}
    key = keys.get(group, group if "/" not in group else f"{group}@PLACE")
    named = re.compile(rf"[-\s]/?{group}(@\S+)?: ")
    if named.search((_shipped() / "run.yaml").read_text()):
        return f"{key}="
    having = [
        path.stem
        for root in [_shipped(), *([] if folder is None else [folder])]
        for path in sorted((root / "experiment").glob("*.yaml"))
        if named.search(path.read_text())
    ]
    if having:
        return f"{key}=  (with experiment={', '.join(having)})"
    if not (_shipped() / group).is_dir():
        return f"+{group}="
    return f"{key}=" if group in keys else f"{group}@PLACE="


def _description(path: Path) -> str:
    """The comment in a file's first lines."""
    for line in path.read_text().splitlines():
        if line.startswith("# @package"):
            continue
        return line.removeprefix("#").strip() if line.startswith("#") else ""
    return ""
