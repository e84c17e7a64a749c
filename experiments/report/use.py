"""Figures of what the hardware did: KV memory, power, phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.report.formats import amount, percent
from experiments.report.panel import Panel, clock, from_zero, lacks_series, steps, time_axis
from experiments.report.run_data import ServingRun, thinned

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

PHASES = {
    "prefill": theme.ORANGE,
    "mixed": theme.VIOLET,
    "decode": theme.BLUE,
    "waiting": theme.GREEN,
    "idle": theme.IDLE,
}


def draw_kv(figure: FigureBase, run: ServingRun) -> str:
    """Share of the KV pool in use."""
    axes = figure.subplots()
    series, pool = run.series, run.kv_blocks
    assert series is not None
    assert pool is not None
    unit_s, _ = clock(run)
    shown = thinned(series.time_s, 800)
    share = series["kv_blocks"][shown] * (100.0 / pool)
    at = series.time_s[shown] / unit_s
    if run.replicas > 1:
        low, high = share.min(axis=1), share.max(axis=1)
        axes.fill_between(at, low, high, color=theme.VIOLET, alpha=0.2, label="least to most")
        axes.plot(at, share.mean(axis=1), color=theme.VIOLET, label="mean of replicas")
        theme.legend(axes)
    else:
        axes.fill_between(at, share[:, 0], color=theme.VIOLET, alpha=0.12)
        axes.plot(at, share[:, 0], color=theme.VIOLET)
    if share.max() > 60.0:
        axes.set_ylim(0.0, 104.0)
    time_axis(axes, run)
    from_zero(axes)
    axes.set_ylabel("KV blocks in use (%)")
    return f"Of {pool:,.0f} blocks on each replica; {percent(float(share.max()) / 100)} at most."


def draw_power(figure: FigureBase, run: ServingRun) -> str:
    """Power of the replicas' GPUs."""
    axes = figure.subplots()
    assert run.series is not None
    unit_s, _ = clock(run)
    edges, watts = run.series.rate("energy_j")
    scale, unit = (1e3, "kW") if watts.max() >= 2000.0 else (1.0, "W")
    x, y = steps(edges / unit_s, watts / scale)
    axes.fill_between(x, y, color=theme.RED, alpha=0.1)
    axes.plot(x, y, color=theme.RED)
    time_axis(axes, run)
    from_zero(axes)
    axes.set_ylabel(f"power ({unit})")
    mean_w = float(np.average(watts, weights=np.diff(edges)))
    peak = amount(float(watts.max()), "W")
    overall = amount(mean_w, "W")
    return f"GPUs of all replicas, mean between samples; {overall} overall, {peak} at most."


def draw_phases(figure: FigureBase, run: ServingRun) -> str:
    """GPU time by phase: a stacked bar, each part on a line of its own."""
    axes = figure.subplots()
    shares = _phases(run)
    left = 0.0
    for line, phase in enumerate(shares):
        share, colour = 100.0 * shares[phase], PHASES[phase]
        axes.barh(line, 100.0, height=0.62, color=theme.GRID, alpha=0.6)
        axes.barh(line, share, left=left, height=0.62, color=colour)
        axes.annotate(
            percent(shares[phase]),
            (100.0, line),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
        left += share
    axes.set_yticks(range(len(shares)), list(shares))
    axes.set_ylim(len(shares) - 0.4, -0.6)
    axes.set_xlim(0.0, 100.0)
    axes.grid(visible=False)
    axes.set_xlabel("share of the replicas' time (%)")
    waits = " Waiting: for the host's part of an iteration." if "waiting" in shares else ""
    return f"Mixed iterations hold prefill and decodes together.{waits}"


def _phases(run: ServingRun) -> dict[str, float]:
    busy = {phase: run.figure(f"gpu_time_share.{phase}") or 0.0 for phase in list(PHASES)[:3]}
    waiting = run.figure("offload.gpu_wait_share")
    if waiting is not None:
        busy["waiting"] = waiting
    return busy | {"idle": max(0.0, 1.0 - sum(busy.values()))}


def _lacks_kv(run: ServingRun) -> str:
    return lacks_series(run) or ("" if run.kv_blocks else "The size of the KV pool is not known.")


def _lacks_phases(run: ServingRun) -> str:
    return "" if run.figure("gpu_busy_share") is not None else "No time passed."


KV = Panel("kv", "KV cache in use", draw_kv, _lacks_kv)
POWER = Panel("power", "Power", draw_power, lacks_series)
PHASE_TIME = Panel("phases", "GPU time by phase", draw_phases, _lacks_phases, top=12, right=52)
