"""One member of a sweep: its name, whether it is finished, its run."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: File that a sweep's folder is known by: settings as given, name -> overrides of its members.
PLAN = "sweep.yaml"
_LONGEST = 150


def member_name(overrides: Sequence[str]) -> str:
    """Name of a member's folder: its overrides, sorted, with characters that every shell takes.

    Where some had to be replaced or cut, a digest of the exact overrides follows.
    """
    exact = ",".join(sorted(overrides))
    name = re.sub(r"[^A-Za-z0-9._=,+-]", "_", exact)[:_LONGEST] or "default"
    if name in (exact, "default"):
        return name
    return f"{name}-{hashlib.sha256(exact.encode()).hexdigest()[:10]}"


def prepare(overrides: Sequence[str], config_dir: str | None, folder: Path) -> bytes | None:
    """A member's configuration, pickled; None where its run lies finished in `folder`.

    Raises ConfigError for settings that do not exist.
    """
    from experiments.compose import compose

    config = compose(overrides, config_dir=config_dir, alone=False)
    return None if _finished(folder, config) else pickle.dumps(config)


def run_member(config: bytes, overrides: Sequence[str], folder: Path) -> None:
    """Simulate a prepared member and write its folder, whole or not at all."""
    from sim.core.run import run

    run(pickle.loads(config), folder, overrides=list(overrides))


def _finished(folder: Path, config: DictConfig) -> bool:
    """Whether a whole summary of a run with exactly these settings lies in `folder`."""
    from omegaconf import OmegaConf

    stored = folder / ".hydra" / "config.yaml"
    try:
        json.loads((folder / "summary.json").read_text())
        text = stored.read_text()
        if text == OmegaConf.to_yaml(config):
            return True
        before, now = (OmegaConf.to_container(each) for each in (OmegaConf.load(stored), config))
        return before == now
    except (OSError, ValueError):
        return False
