"""Pictures: latency along the rates, gains by host, NEO by work, effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.reproduce.papers.neo import measures
from experiments.reproduce.papers.neo.hosts import PUBLISHED
from experiments.reproduce.papers.neo.online import PUBLISHED_NEO, PUBLISHED_VLLM
from experiments.reproduce.papers.neo.settings import HOSTS
from experiments.reproduce.papers.neo.studies import (
    EFFECTS,
    EFFECTS_AT,
    ONLINE,
    OUTPUTS,
    VLLM,
    Point,
    Rates,
    Runs,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HOSTS = dict(zip(HOSTS, (theme.VIOLET, theme.ORANGE, theme.BLUE, theme.GREEN), strict=True))
_SYSTEMS = {"NEO": theme.BLUE, "full offload": theme.ORANGE, "NEO by work": theme.GREEN}
#: Latencies above this are of queues that grow without end.
_SHOWN_S = 1.0


def draw_latency(figure: Figure, rates: Rates) -> None:
    """Latency of a token along the rates, and the figure's points."""
    axes = figure.subplots()
    shown = {VLLM: theme.RED, "GPU only": theme.ORANGE, "NEO": theme.BLUE}
    for system, colour in shown.items():
        at = ONLINE[system]
        values = [measures.latency(rates, system, rate).value for rate in at]
        label = {"GPU only": "SwiftLLM", VLLM: "vLLM"}.get(system, system)
        axes.plot(at, values, "o-", markersize=3, color=colour, label=label)
    for points, colour in ((PUBLISHED_VLLM, theme.RED), (PUBLISHED_NEO, theme.BLUE)):
        at = tuple(float(name.removesuffix("/s")) for name in points)
        axes.plot(at, list(points.values()), "x", color=colour, label=None)
    axes.plot([], [], "x", color=theme.INK, label="published")
    axes.set_xscale("log")
    axes.set_xticks([0.2, 0.5, 1.0, 2.0, 4.0], ["0.2", "0.5", "1", "2", "4"])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0.0, _SHOWN_S)
    axes.set_xlabel("requests/s")
    axes.set_ylabel("latency of a token (s)")
    theme.legend(axes)


def draw_hosts(figure: Figure, runs: Runs) -> None:
    """NEO's gain by host and output length, by both measures of throughput."""
    panels = ((measures.MAKESPAN, "until the last is done"), (measures.WINDOW, "30th to 70th"))
    grid = figure.subplots(1, 2, sharey=True)
    for axes, (of, title) in zip(grid, panels, strict=True):
        for host, colour in _HOSTS.items():
            _draw(axes, runs, host, "NEO", of, colour, host)
            if host in PUBLISHED:
                axes.plot(OUTPUTS, list(PUBLISHED[host].values()), "x", color=colour)
        axes.plot([], [], "x", color=theme.INK, label="published")
        _finish(axes, title)
    grid[0].set_ylabel("throughput over SwiftLLM's")
    _legend(figure)


def draw_work(figure: Figure, runs: Runs) -> None:
    """NEO, full offload and NEO by work, a panel for each host."""
    grid = figure.subplots(1, len(HOSTS), sharey=True)
    for axes, host in zip(grid, HOSTS, strict=True):
        for system, colour in _SYSTEMS.items():
            _draw(axes, runs, host, system, measures.MAKESPAN, colour, system)
        _finish(axes, host, OUTPUTS[::2])
    grid[0].set_ylabel("throughput over SwiftLLM's")
    _legend(figure)


def draw_machines(figure: Figure, runs: Runs) -> None:
    """The same on another machine, a group of bars for each load."""
    axes = figure.subplots()
    loads = list(dict.fromkeys((point.where, point.li, point.lo) for point in runs))
    width = 0.8 / len(_SYSTEMS)
    for i, (system, colour) in enumerate(_SYSTEMS.items()):
        heights = [
            measures.gain(runs, Point(where, li, lo, system)).value for where, li, lo in loads
        ]
        axes.bar(
            np.arange(len(loads)) + (i - 1) * width, heights, width, color=colour, label=system
        )
    axes.axhline(1.0, color=theme.EDGE, linewidth=0.8)
    axes.set_xticks(range(len(loads)), [f"{li} / {lo}" for _, li, lo in loads])
    axes.set_xlabel("tokens of prompt / output")
    axes.set_ylabel("throughput over SwiftLLM's")
    _legend(figure)


def draw_effects(figure: Figure, runs: Runs) -> None:
    """Gain and share of split iterations with the mechanism's parts changed."""
    colours = (theme.INK, theme.GREEN, theme.BLUE, theme.ORANGE, theme.VIOLET, theme.RED)
    grid = figure.subplots(1, 2)
    for change, colour in zip(("", *EFFECTS), colours, strict=True):
        points = [Point("8xlarge", 1000, lo, "NEO", change) for lo in EFFECTS_AT]
        gains = [measures.gain(runs, point).value for point in points]
        split = [measures.figure(runs, point, "pipelined").value for point in points]
        for axes, values in zip(grid, (gains, split), strict=True):
            axes.plot(
                EFFECTS_AT, values, "o-", markersize=3, color=colour, label=change or "as it is"
            )
    grid[0].axhline(1.0, color=theme.EDGE, linewidth=0.8)
    grid[1].set_ylim(0.0, 1.0)
    for axes, label in zip(
        grid, ("throughput over SwiftLLM's", "share of split iterations"), strict=True
    ):
        axes.set_xticks(EFFECTS_AT)
        axes.set_xlabel("output tokens")
        axes.set_ylabel(label)
    _legend(figure, 3)


def _draw(axes: Axes, runs: Runs, host: str, system: str, of: str, colour: str, label: str) -> None:
    style = "o--" if system == "NEO by work" else "o-"
    found = list(measures.gains(runs, host, system, of).values())
    axes.plot(OUTPUTS, [one.value for one in found], style, markersize=3, color=colour, label=label)
    lows, highs = [one.low for one in found], [one.high for one in found]
    axes.fill_between(OUTPUTS, lows, highs, color=colour, alpha=0.15, linewidth=0.0)


def _finish(axes: Axes, title: str, ticks: Sequence[int] = OUTPUTS) -> None:
    axes.axhline(1.0, color=theme.EDGE, linewidth=0.8)
    axes.set_xticks(ticks)
    axes.set_xlabel("output tokens")
    axes.set_title(title, loc="left", fontsize=8)


def _legend(figure: Figure, columns: int | None = None) -> None:
    """One legend for all axes, below them."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns or len(labels))
