"""One run from a configuration: build, simulate, write."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.core.errors import ConfigError, OrreryError
from sim.core.folders import draft_beside, put_in_place, stepless
from sim.core.keys import explained
from sim.core.kinds import check_kinds
from sim.core.result import Result
from sim.core.simulation import Simulation

if TYPE_CHECKING:
    from omegaconf import DictConfig

_SIMULATION_KEYS = ("seed", "mode", "until_s", "idle_until_s")


def run(
    config: Mapping[str, Any] | DictConfig,
    folder: str | Path | None = None,
    *,
    overrides: list[str] | None = None,
    progress: bool = False,
) -> Result:
    """Simulate what `config` describes.

    `config` holds `simulation` (seed, mode, until_s, idle_until_s), `cluster`, `sites`, `systems`
    and `observers`, each part with the `_target_` that Hydra instantiates. With a `folder` the
    result is written there, whole or not at all: an error or Ctrl-C leaves nothing behind, and an
    earlier run in it is replaced at the end. Raises ConfigError for settings that cannot be, and
    for a folder that holds anything else.
    """
    settings, plain = _resolve(config)
    written = _as_written(settings)
    target = None if folder is None else stepless(folder)
    draft = None if target is None else draft_beside(target)
    try:
        began = time.perf_counter()
        simulation = _assemble(plain, written, draft)
        if progress:
            from sim.core.progress import Progress

            simulation.observe(Progress())
        built = time.perf_counter()
        simulation.run()
        simulation.finish()
        provenance = _provenance(built - began, time.perf_counter() - built)
        result = simulation.results.close(plain, provenance)
        if target is not None and draft is not None:
            _write_settings(draft, settings, overrides or [])
            put_in_place(draft, target)
            result.folder = target
        return result
    except BaseException:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
        raise


def build(config: Mapping[str, Any] | DictConfig, folder: Path | None = None) -> Simulation:
    """The simulation that `config` describes, ready to run (see `run`)."""
    settings, plain = _resolve(config)
    return _assemble(plain, _as_written(settings), folder)


def _resolve(config: Mapping[str, Any] | DictConfig) -> tuple[Any, dict[str, Any]]:
    """The configuration as given and as plain values. Raises ConfigError where it has gaps."""
    from omegaconf import OmegaConf
    from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

    register_resolvers()
    settings = config if OmegaConf.is_config(config) else OmegaConf.create(dict(config))
    try:
        try:
            resolved = OmegaConf.to_container(settings, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as error:
            missing = sorted(OmegaConf.missing_keys(settings), key=len)
            if missing:
                raise ConfigError(f"{missing[0]}: must be given") from error
            raise
    except InterpolationToMissingValueError as error:
        raise ConfigError(f"{_first_line(error).rpartition(': ')[2]}: must be given") from error
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{where}{_first_line(error)}") from error
    assert isinstance(resolved, dict)
    return settings, {str(key): value for key, value in resolved.items()}


def _as_written(settings: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(settings, resolve=False)


def _assemble(config: dict[str, Any], written: Any, folder: Path | None) -> Simulation:
    parts = dict(config.get("simulation") or {})
    unknown = sorted(set(parts) - set(_SIMULATION_KEYS))
    if unknown:
        raise ConfigError(
            f"simulation.{unknown[0]}: unknown key; there are {', '.join(_SIMULATION_KEYS)}"
        )
    if not config.get("systems"):
        raise ConfigError("systems: nothing to simulate")
    cluster = instantiate("cluster", config.get("cluster"), written)
    sites = instantiate("sites", config.get("sites"), written)
    simulation = Simulation(**parts, cluster=cluster, folder=folder, sites=sites)
    for name, part in config["systems"].items():
        system = instantiate(f"systems.{name}", part, written)
        if not all(hasattr(system, each) for each in ("name", "start", "done", "finish")):
            made = f"makes a {type(system).__name__}, which is" if part else "is null, which is"
            raise ConfigError(f"systems.{name}: {made} no system; ~systems.{name} leaves it out")
        simulation.add(system)
    for name, part in (config.get("observers") or {}).items():
        observer = instantiate(f"observers.{name}", part, written)
        if observer is not None:
            simulation.observe(observer)
    return simulation


def instantiate(key: str, part: Any, written: Any = None) -> Any:
    """The object that a part of a configuration describes.

    `written`: the whole configuration, plain and unresolved, for messages to name the key whose
    value was given and not one that refers to it. Raises ConfigError naming the key.
    """
    from hydra.errors import HydraException
    from hydra.utils import instantiate as build

    check_kinds(key, part, written or {})
    try:
        return build(part, _convert_="all")
    except HydraException as error:
        cause = error.__cause__
        if type(cause) is ConfigError:
            raise ConfigError(explained(cause, error, key, part, written or {})) from None
        if isinstance(cause, OrreryError):
            where = re.search(r"full_key: (\S+)", str(error))
            if key == "sites" and where and re.match(r"\w+ is ", str(cause)):
                # A setting's name alone does not say of which site.
                raise type(cause)(f"{key}.{where.group(1)}.{cause}") from None
            raise cause from None
        if isinstance(cause, TypeError):
            said = explained(cause, error, key, part, written or {})
            if said != str(cause):
                raise ConfigError(said) from error
        raise ConfigError(f"{key}: {_first_line(cause or error)}") from error


def register_resolvers() -> None:
    """Arithmetic for configurations: `${product:a,b,...}` and `${ceil_div:a,b}`."""
    from math import prod

    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("product", lambda *xs: prod(xs), replace=True)
    OmegaConf.register_new_resolver("ceil_div", lambda a, b: -(-a // b), replace=True)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def _write_settings(folder: Path, settings: Any, overrides: list[str]) -> None:
    from omegaconf import OmegaConf

    hydra = folder / ".hydra"
    hydra.mkdir()
    OmegaConf.save(settings, hydra / "config.yaml")
    OmegaConf.save(OmegaConf.create(overrides), hydra / "overrides.yaml")


def _provenance(build_s: float, run_s: float) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "packages": dict(_versions()),
        "git": _git_revision(),
        "build_s": round(build_s, 3),
        "run_s": round(run_s, 3),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


@cache
def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("orrery-sim", "simpy", "numpy", "scipy", "pandas", "pyarrow", "hydra-core"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


@cache
def _git_revision() -> str | None:
    """Revision of the checkout that Orrery runs from; None where it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
