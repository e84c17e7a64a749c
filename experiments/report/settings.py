"""The settings of a run, in short and in full."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.core.errors import ConfigError
from sim.core.result import Result

_PARTS = (
    "workload",
    "arrivals",
    "client",
    "ordering",
    "batching",
    "routing",
    "predictor",
    "efficiency",
)
#: Of a run with batch jobs.
_OF_JOBS = ("jobs", "shifting")
_OF_THE_RUN = ("seed", "mode", "until_s")


def resolved(result: Result) -> dict[str, Any]:
    """The settings with references followed; as they stand where that fails."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from sim.core.run import register_resolvers

    register_resolvers()
    try:
        settings = OmegaConf.to_container(OmegaConf.create(result.config), resolve=True)
    except OmegaConfBaseException:
        return result.config
    assert isinstance(settings, dict)
    found = {str(key): value for key, value in settings.items()}
    # What the run has taken, if somebody has set that where it usually refers to these.
    taken = _mapping(found, "simulation")
    return found | {key: taken[key] for key in _OF_THE_RUN if key in found and key in taken}


def title(settings: Mapping[str, Any]) -> str:
    """What was run: model, GPUs, replicas, or the systems where none serves a model. Empty where
    the settings do not say."""
    if not _serves(settings):
        return ", ".join(_mapping(settings, "systems"))
    model = _name(settings.get("model"))
    if not model:
        return ""
    gpu = _name(_mapping(_mapping(settings, "node"), "gpu")) or _name(settings.get("gpu"))
    tensor, pipeline = settings.get("tensor_parallel", 1), settings.get("pipeline_parallel", 1)
    shards = [f"{kind}{n}" for kind, n in (("TP", tensor), ("PP", pipeline)) if n not in (1, None)]
    text = f"{model} on {gpu}" if gpu else model
    if shards:
        text += f", {' '.join(shards)}"
    replicas = settings.get("replicas")
    if isinstance(replicas, int):
        text += f", {replicas} replica{'' if replicas == 1 else 's'}"
    return text


def in_short(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The choices of a run, a line each."""
    client = settings.get("client")
    unused = {"arrivals"} if isinstance(client, Mapping) and "arrivals" not in client else set()
    serves = _serves(settings)
    parts = [part for part in _PARTS if serves and part not in unused]
    rows = [(part, _describe(part, settings)) for part in [*parts, *_OF_JOBS]]
    of_serving = ("weight_dtype", "kv_dtype", "slo_ttft_s", "slo_tpot_s") if serves else ()
    for key in (*of_serving, *_OF_THE_RUN):
        value = settings.get(key)
        if value is not None:
            rows.append((key, str(value)))
    return [(name, text) for name, text in rows if text]


def in_full(folder: Path) -> str:
    """The settings' file as it is."""
    path = folder / ".hydra" / "config.yaml"
    return path.read_text() if path.is_file() else ""


def command(folder: Path) -> str:
    """The command line that made the run, as its overrides tell; empty where there are none."""
    import shlex

    from omegaconf import OmegaConf
    from yaml import YAMLError

    path = folder / ".hydra" / "overrides.yaml"
    if not path.is_file():
        return ""
    try:
        words = OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, UnicodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as settings: {error}") from error
    if not isinstance(words, list) or not words:
        return ""
    return " ".join(["orrery run", *(shlex.quote(str(word)) for word in words)])


def _serves(settings: Mapping[str, Any]) -> bool:
    """Whether a system serves a model, as far as the settings say."""
    parts = _mapping(settings, "systems").values()
    return not parts or any("served" in part for part in parts if isinstance(part, Mapping))


def _describe(key: str, settings: Mapping[str, Any]) -> str:
    """A part by its name or class, with those of its settings that have no line of their own."""
    part = settings.get(key)
    if not isinstance(part, Mapping):
        return ""
    name = _name(part) or str(part.get("_target_", "")).rsplit(".", 1)[-1]
    if part.get("name"):
        return name
    plain = [
        f"{inner} {value}"
        for inner, value in part.items()
        if not str(inner).startswith("_") and isinstance(value, (int, float, str))
    ]
    nested = [
        _name(value) or str(value["_target_"]).rsplit(".", 1)[-1]
        for inner, value in part.items()
        if isinstance(value, Mapping) and "_target_" in value and settings.get(inner) != value
    ]
    details = ", ".join([*plain, *nested])
    return f"{name} ({details})" if details else name


def _name(part: Any) -> str:
    return str(part.get("name") or "") if isinstance(part, Mapping) else ""


def _mapping(settings: Any, key: str) -> Mapping[str, Any]:
    value = settings.get(key) if isinstance(settings, Mapping) else None
    return value if isinstance(value, Mapping) else {}
