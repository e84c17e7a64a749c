"""Parts of the catalogue by file name, without composing a whole configuration."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import yaml

from models.efficiency import Efficiency
from models.errors import ConfigError
from models.gpu_spec import GpuSpec
from models.transformer import Transformer

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
T = TypeVar("T")


def gpu(name: str) -> GpuSpec:
    """A data sheet of `configs/hardware/gpu/`."""
    return _load(GpuSpec, "hardware/gpu", name)


def model(name: str) -> Transformer:
    """An architecture of `configs/model/`."""
    return _load(Transformer, "model", name)


def efficiency(name: str) -> Efficiency:
    """Constants of `configs/efficiency/`."""
    return _load(Efficiency, "efficiency", name)


def _load(kind: type[T], group: str, name: str) -> T:
    folder = CONFIGS / group
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "nothing"
        raise ConfigError(f"{group}: {name!r} is not in the catalogue, which has {known}")
    settings: dict[str, Any] = yaml.safe_load(path.read_text())
    module, _, attribute = settings.pop("_target_").rpartition(".")
    part = getattr(import_module(module), attribute)(**settings)
    if not isinstance(part, kind):
        raise ConfigError(f"{path}: makes a {type(part).__name__}, not a {kind.__name__}")
    return part
