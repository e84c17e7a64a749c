"""Pictures: savings by function and along flow length, highest rates, changes of traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.report import theme
from experiments.reproduce.papers.cora.changes import (
    CHANGES,
    LASTS_S,
    POLICIES,
    PROGRAMS,
    Runs,
)
from experiments.reproduce.papers.cora.cores import Savings, simulated
from experiments.reproduce.papers.cora.plans import AGILIO, BY_STATE, BY_TRAFFIC, CORA, CPU_ONLY
from experiments.reproduce.papers.cora.reference import LONG, SAVINGS
from experiments.reproduce.papers.cora.sweeps import AXES, Swept, along
from experiments.reproduce.papers.cora.throughput import (
    BEST_NAIVE,
    CORES,
    MIXED,
    Rates,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WAYS = {BY_STATE: theme.ORANGE, BY_TRAFFIC: theme.GREEN, CORA: theme.BLUE}
_POLICIES = dict(zip(POLICIES, (theme.ORANGE, theme.BLUE, theme.INK), strict=True))
_LABELS = {
    "length": "packets of a flow",
    "exponent": "Zipf exponent",
    "flows": "flows",
    "size": "bytes of a packet",
}


def draw_savings(figure: Figure, found: Savings) -> None:
    """Savings in packets by function and way, and the reference."""
    axes = figure.subplots()
    programs = list(SAVINGS[LONG])
    width = 0.8 / len(_WAYS)
    for i, (way, colour) in enumerate(_WAYS.items()):
        at = np.arange(len(programs)) + (i - 1) * width
        values = [simulated(found, (AGILIO, LONG, p, way)).value for p in programs]
        axes.bar(at, values, width, color=colour, label=way)
        reference = [SAVINGS[LONG][p][i] for p in programs]
        axes.plot(at, reference, "x", color=theme.INK, markersize=4)
    axes.plot([], [], "x", color=theme.INK, label="reference")
    names = [program.replace("_", "\n") for program in programs]
    axes.set_xticks(range(len(programs)), names)
    axes.set_ylabel("host cores saved (%)")
    _legend(figure)


def draw_crossover(figure: Figure, found: Swept) -> None:
    """Savings along flow length, where plans part."""
    grid = figure.subplots(1, 3, sharey=True)
    for axes, program in zip(grid, ("upf", "rate_limiter", "firewall"), strict=True):
        _draw(axes, found, program, "length")
        axes.set_xscale("log")
        axes.set_xticks([10, 20, 40, 80, 160], ["10", "20", "40", "80", "160"])
        axes.set_xticks([], minor=True)
        axes.set_title(program.replace("_", " "), loc="left", fontsize=8)
    grid[0].set_ylabel("host cores saved (%)")
    _legend(figure)


def draw_axes(figure: Figure, found: Swept) -> None:
    """Savings of the UPF along everything else."""
    grid = figure.subplots(1, 3, sharey=True)
    for axes, axis in zip(grid, ("exponent", "flows", "size"), strict=True):
        _draw(axes, found, "upf", axis)
        if axis != "exponent":
            axes.set_xscale("log")
    sizes = [128, 256, 512, 1024]
    grid[2].set_xticks(sizes, [str(size) for size in sizes])
    grid[2].set_xticks([], minor=True)
    grid[0].set_ylabel("host cores saved (%)")
    _legend(figure)


def draw_rates(figure: Figure, found: Rates) -> None:
    """Highest rates with few cores, in packets."""
    grid = figure.subplots(1, len(MIXED), sharey=True)
    shown = {CPU_ONLY: theme.IDLE, BEST_NAIVE: theme.ORANGE, CORA: theme.BLUE}
    for axes, program in zip(grid, MIXED, strict=True):
        for i, (way, colour) in enumerate(shown.items()):
            at = np.arange(len(CORES)) + (i - 1) * 0.27
            rates = [found[AGILIO, program, cores, way] for cores in CORES]
            means = [1e-6 * float(np.mean(rate.simulated)) for rate in rates]
            axes.bar(at, means, 0.27, color=colour, label=way)
            axes.plot(at, [1e-6 * rate.modelled for rate in rates], "x", color=theme.INK)
        axes.plot([], [], "x", color=theme.INK, label="model")
        axes.set_xticks(range(len(CORES)), [str(cores) for cores in CORES])
        axes.set_xlabel("host cores")
        axes.set_title(program.replace("_", " "), loc="left", fontsize=8)
    grid[0].set_ylabel("highest rate (Mpkt/s)")
    _legend(figure)


def draw_changes(figure: Figure, runs: Runs) -> None:
    """Busy cores and drops over time, one seed."""
    grid = figure.subplots(2, len(PROGRAMS), sharex=True, sharey="row")
    for column, name in enumerate(PROGRAMS):
        busy, drops = grid[0][column], grid[1][column]
        for by, colour in _POLICIES.items():
            run = runs[name, by][0]
            busy.plot(run.time_s, run.busy, color=colour, linewidth=1.0, label=by)
            lost = 100.0 * run.dropped_pps / run.offered_pps
            drops.plot(run.time_s, lost, color=colour, linewidth=1.0)
        for axes in (busy, drops):
            for i in range(1, len(CHANGES) + 1):
                axes.axvline(LASTS_S * i, color=theme.EDGE, linewidth=0.6)
        busy.set_title(name, loc="left", fontsize=8)
        drops.set_xlabel("seconds")
    grid[0][0].set_ylabel("busy host cores")
    grid[1][0].set_ylabel("dropped (%)")
    _legend(figure)


def _draw(axes: Axes, found: Swept, program: str, axis: str) -> None:
    for way, colour in _WAYS.items():
        values = along(found, AGILIO, program, axis, way)
        points = [(at, value) for at, value in values.items() if value is not None]
        axes.plot(*zip(*points, strict=True), "o-", markersize=3, color=colour, label=way)
    axes.set_ylim(0.0, 100.0)
    axes.set_xlabel(_LABELS[axis])
    axes.set_xlim(*_room(AXES[axis]))


def _room(values: tuple[float, ...]) -> tuple[float, float]:
    return 0.9 * min(values), 1.1 * max(values)


def _legend(figure: Figure) -> None:
    """One legend for all axes, below them."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
