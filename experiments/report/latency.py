"""Figures of latency."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.report.formats import plural, seconds
from experiments.report.panel import (
    Panel,
    clock,
    from_zero,
    grouped,
    lacks_finished,
    latency_unit,
    time_axis,
)
from experiments.report.run_data import ServingRun, thinned

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

#: Latencies with their names and colours.
LATENCIES = {
    "ttft_s": ("Time to first token", "TTFT", theme.BLUE),
    "tpot_s": ("Time per output token", "TPOT", theme.ORANGE),
    "e2e_latency_s": ("End-to-end latency", "E2E", theme.GREEN),
    "queue_s": ("Wait in queue", "Queue", theme.VIOLET),
}
#: Fewer requests than these are shown one by one.
_FEW = 150
_DASHED = (0, (4, 3))


def draw_distributions(figure: FigureBase, run: ServingRun) -> str:
    """Cumulative distributions of all latencies, beside each other."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    row = figure.subplots(1, len(LATENCIES), sharey=True)
    for axes, (key, (_, short, colour)) in zip(row, LATENCIES.items(), strict=True):
        values = np.sort(run.of_finished(key))
        axes.set_title(short, loc="left", fontsize=9, fontweight="bold", color=theme.INK)
        axes.set_yticks([0.0, 0.25, 0.5, 0.75, 0.9, 1.0], ["0", "25", "50", "75", "90", "100 %"])
        axes.set_ylim(0.0, 1.02)
        if not len(values):
            axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes, color=theme.MUTED)
            axes.set_xticks([])
            continue
        p50, p99 = np.percentile(values, [50, 99])
        unit_s, unit = latency_unit(float(p99))
        spread_out = values[0] > 0.0 and values[-1] > 30.0 * p50
        shown = thinned(values, 2000)
        share = (shown + 1) / len(values)
        x, y = np.append(values[0], values[shown]) / unit_s, np.append(0.0, share)
        axes.plot(x, y, color=colour, drawstyle="steps-post" if len(values) < 200 else "default")
        if spread_out:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_xlim(0.0, max(float(values[-1]), 1e-9) / unit_s * 1.04)
        axes.plot([p50 / unit_s, p99 / unit_s], [0.5, 0.99], "o", color=colour, markersize=4)
        marked = f"p50 {seconds(float(p50))}, p99 {seconds(float(p99))}"
        axes.set_title(marked, loc="right", fontsize=8, color=theme.MUTED)
        objective = run.objective(key)
        if objective is not None:
            axes.axvline(objective / unit_s, color=theme.RED, linestyle=_DASHED, linewidth=1.0)
        axes.set_xlabel(unit)
    limit = " Dashed: the objective." if _has_objective(run) else ""
    count = plural(int(run.finished.sum()), "finished request")
    return f"Share of {count} at or below. Dots: p50 and p99.{limit}"


def draw_over_time(figure: FigureBase, run: ServingRun, latency: str) -> str:
    """A latency by time of arrival (by order of arrival, where all came at nearly one time):
    percentiles of bins, or every request where they are few."""
    axes = figure.subplots()
    colour = LATENCIES[latency][2]
    chosen = run.finished & ~np.isnan(run.columns[latency])
    at, values = run.columns["arrival_s"][chosen], run.columns[latency][chosen]
    unit_s, _ = clock(run)
    first, last = run.arrivals_s
    together = len(values) > 1 and last - first < 0.01 * run.simulated_s
    if together:
        order = np.lexsort((values, at))
        at, values = np.arange(1.0, len(values) + 1.0), values[order]
        first, last, unit_s = 1.0, float(len(values)), 1.0
    if len(values) < _FEW:
        per, unit = latency_unit(float(values.max()))
        axes.plot(at / unit_s, values / per, "o", color=colour, markersize=3.5, alpha=0.8)
        caption = "One dot for each request"
    else:
        count = int(np.clip(len(values) // 40, 4, 80))
        width = (last - first) / count
        bins = np.clip((at - first) // width, 0, count - 1).astype(np.intp)
        parts = [(i, part) for i, part in enumerate(grouped(values, bins, count)) if len(part)]
        centres = np.array([first + (i + 0.5) * width for i, _ in parts]) / unit_s
        p50, p99 = np.array([np.percentile(part, [50, 99]) for _, part in parts]).T
        per, unit = latency_unit(float(p99.max()))
        axes.fill_between(centres, p50 / per, p99 / per, color=colour, alpha=0.14)
        axes.plot(centres, p50 / per, color=colour, linewidth=1.8, label="p50")
        axes.plot(centres, p99 / per, color=colour, linewidth=0.9, label="p99")
        caption = f"In bins of {plural(round(width), 'request') if together else seconds(width)}"
    objective = run.objective(latency)
    if objective is not None:
        axes.axhline(
            objective / per, label="objective", color=theme.RED, linestyle=_DASHED, linewidth=1.0
        )
    if axes.get_legend_handles_labels()[0]:
        theme.legend(axes)
    if together:
        axes.set_xlabel("requests in order of arrival")
        caption += "; all arrived at nearly one time."
    else:
        time_axis(axes, run)
        caption += ", by time of arrival."
    from_zero(axes)
    axes.set_ylabel(f"{LATENCIES[latency][1]} ({unit})")
    return caption


def _has_objective(run: ServingRun) -> bool:
    return any(run.objective(key) is not None for key in LATENCIES)


def _lacks_tpot(run: ServingRun) -> str:
    missing = "No request made more than one token."
    return lacks_finished(run) or ("" if len(run.of_finished("tpot_s")) else missing)


CDF = Panel(
    "cdf",
    "Latency distributions",
    draw_distributions,
    lacks_finished,
    wide=True,
    height=260,
    left=44,
    top=24,
    gap=0.09,
    right=18,
)
TTFT = Panel(
    "ttft", "Time to first token", partial(draw_over_time, latency="ttft_s"), lacks_finished
)
TPOT = Panel(
    "tpot", "Time per output token", partial(draw_over_time, latency="tpot_s"), _lacks_tpot
)
