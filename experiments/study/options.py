"""Options that several commands share."""

from __future__ import annotations

from sim.core.errors import ConfigError


def workers(jobs: int | None) -> int:
    """Processes for `--jobs`. Raises ConfigError unless it is at least 1."""
    from experiments.study.processes import cores

    if jobs is None:
        return cores()
    if jobs < 1:
        raise ConfigError(f"--jobs: {jobs} is not a whole number >= 1")
    return jobs


def share_of(option: str, text: str) -> float:
    """A share > 0 from "2%" or "0.02". Raises ConfigError for anything else."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ConfigError(f"{option}: {text!r} is not a share > 0, such as 2% or 0.02")
    return value
