"""What there is to choose from."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from experiments.compose import SHORT
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


def choices(group: str) -> dict[str, str]:
    """Choices of a group with the line that describes each. Raises ConfigError for no group."""
    if group not in _GROUPS:
        raise ConfigError(f"{group}: no such group; there are {', '.join(_GROUPS)}")
    root = Path(str(files("configs")))
    return {
        path.stem: _description(path) for path in sorted((root / _GROUPS[group]).glob("*.yaml"))
    }


def print_catalogue(group: str | None) -> int:
    """Print one group, or all of them."""
    for name in _GROUPS if group is None else [group]:
        found = choices(name)
        if not found:
            continue
        print(_usage(_GROUPS[name]))
        width = max(len(choice) for choice in found)
        for choice, line in found.items():
            print(f"  {choice:<{width}}  {line}".rstrip())
    return 0


def _usage(group: str) -> str:
    """How a group is chosen from on the command line, and with which experiments."""
    keys = {target.partition("@")[0]: key for key, target in SHORT.items()}
    key = keys.get(group, group if "/" not in group else f"{group}@PLACE")
    root = Path(str(files("configs")))
    named = re.compile(rf"[-\s]/?{group}(@\S+)?: ")
    if named.search((root / "run.yaml").read_text()):
        return f"{key}="
    having = [
        path.stem
        for path in sorted((root / "experiment").glob("*.yaml"))
        if named.search(path.read_text())
    ]
    if having:
        return f"{key}=  (with experiment={', '.join(having)})"
    return f"{key}=" if group in keys else f"{group}@PLACE="


def _description(path: Path) -> str:
    """The comment in a file's first lines."""
    for line in path.read_text().splitlines():
        if line.startswith("# @package"):
            continue
        return line.removeprefix("#").strip() if line.startswith("#") else ""
    return ""
