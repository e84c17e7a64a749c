"""What a reader must be told of a run's settings and figures, whatever its systems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.report.formats import digits, known, percent, seconds
from experiments.report.overview import Notice
from sim.core.result import Value

#: Of the rate, and of a second: by how much halves of a run that has settled differ at most, and a
#: queue grows in one. Runs of shipped programs that had were within 0.7 %, others outside 2.8 %.
_SETTLED = 0.02


def cautions(settings: Mapping[str, Any], summary: Mapping[str, Value]) -> list[Notice]:
    """By the settings, references followed, and the summary."""
    ending = ".throughput_mpps.second_half"
    windows = [key.removesuffix(ending) for key in summary if key.endswith(ending)]
    found = [_idle(settings, summary), *(_unsettled(name, summary) for name in windows)]
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


def _unsettled(system: str, summary: Mapping[str, Value]) -> Notice | None:
    """A highest rate, of a window of packets, that a longer run would not have."""
    keys = ("throughput_mpps", *(f"throughput_mpps.{n}_half" for n in ("first", "second")))
    whole, first, second = (known(summary.get(f"{system}.{key}")) for key in keys)
    growth = known(summary.get(f"{system}.queue_growth"))
    if whole is None or first is None or second is None or growth is None:
        return None
    apart = abs(second - first) > _SETTLED * whole
    if not apart and growth <= _SETTLED:
        return None
    queue = summary.get(f"{system}.growing_queue")
    grew = f", in which the queue of {queue} grew by {digits(growth)} s of work a second"
    return Notice(
        "warn",
        "The highest rate has not settled",
        f"{digits(first)} Mpkt/s in the first half of what was measured, {digits(second)} in the "
        f"second{grew if growth > _SETTLED else ''}. Where a window of packets has settled both "
        f"stay within {percent(_SETTLED)}; a longer run (until_s, warm_up_s) has another rate.",
    )
