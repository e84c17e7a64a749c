"""What a reader must be told of a run's settings and figures, whatever its systems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.report.formats import known, seconds
from experiments.report.overview import Notice
from sim.core.result import Value


def cautions(settings: Mapping[str, Any], summary: Mapping[str, Value]) -> list[Notice]:
    """By the settings, references followed, and the summary."""
    found = [_idle(settings, summary)]
    return [each for each in found if each is not None]


def _idle(settings: Mapping[str, Any], summary: Mapping[str, Value]) -> Notice | None:
    """A time to go on to, idle, that had passed when the run was done."""
    simulation = settings.get("simulation")
    idle_s = known(simulation.get("idle_until_s")) if isinstance(simulation, Mapping) else None
    end_s = known(summary.get("simulated_s"))
    if idle_s is None or end_s is None or end_s <= idle_s:
        return None
    return Notice(
        "warn",
        f"idle_until_s = {idle_s:g} did nothing",
        f"The run lasted longer, {seconds(end_s)}. Runs that are compared end together with a time "
        "that none of them has passed when it is done.",
    )
